import PageTables
import TableMemory

extension SpaceEditor where Memory: SharedMemory {
    /// See `LiveSpace.protect`.
    ///
    /// - Returns: Why nothing has changed; `nil` if it has.
    @inlinable
    public mutating func protect(_ range: VirtualRange, _ rights: Rights) throws(Memory.Failure) -> Refusal? {
        guard let (root, part) = try root(for: range) else { return .invalidRange(range) }
        if let refusal = inexpressible(rights) { return refusal }
        guard let part else { return nil }
        if space.hasRegions, let address = firstRefusal(of: rights, in: part) { return .notWritable(address) }
        try waitBeforeReuse()
        if let refusal = try splitEnds(of: part, root) { return refusal }
        if space.hasRegions { changeRegions(part, rights) }
        try beginChange(of: part)
        try protectEntries(root.table, Format.fixedTopLevel ?? root.topLevel, part.first, part.last, rights)
        return nil
    }

    /// Asks about a page without other attributes: those of pages that are mapped were expressible before.
    @inlinable
    mutating func inexpressible(_ rights: Rights) -> Refusal? {
        do throws(EncodingError) { try encoding.use(EntryAttributes(rights: rights)) } catch {
            return .notExpressible(error)
        }
        return nil
    }

    @usableFromInline
    func firstRefusal(of rights: Rights, in range: VirtualRange) -> VirtualAddress? {
        space.regions.firstRefusal(of: rights, in: range)
    }

    @usableFromInline
    mutating func changeRegions(_ range: VirtualRange, _ rights: Rights) {
        space.regions.change(range) { attributes in
            var changed = attributes
            changed.rights = rights
            return changed
        }
    }

    /// Changes a leaf that processors may keep, or that is a file's; out of the way of all others.
    @inlinable
    @inline(never)
    func changeWithCare(
        _ leaf: Entry, at place: PhysicalAddress, _ change: LeafChange<Format>
    ) throws(Memory.Failure) {
        var change = change
        try self.change(leaf, at: place) { change.changed($0) }
    }

    /// Changes entries none of which reaches beyond the range.
    @inlinable
    mutating func protectEntries(
        _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress, _ rights: Rights
    ) throws(Memory.Failure) {
        let format = space.format
        let mask = format.offsetMask(level)
        let sparesFiles = space.hasRegions && !rights.isDisjoint(with: .writes)
        let isKept = invalidation != nil
        if level == .leafTable, !isKept, !sparesFiles { return try protectPages(table, first, last, rights) }
        var change = LeafChange(format, level, rights)
        var place = space.place(format.index(of: first, at: level), of: table).rawValue
        var address = first
        while true {
            let end = VirtualAddress(min(address.rawValue | mask, last.rawValue))
            let entry = try memory.load(format, PhysicalAddress(place))
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                try protectEntries(format.table(of: entry, at: level), level.below, address, end, rights)
            case .leaf:
                let isSpared = sparesFiles ? try mapsPageOfFile(entry, level) : false
                if isKept || isSpared {
                    let rights = isSpared ? rights.subtracting(.writes) : rights
                    try changeWithCare(entry, at: PhysicalAddress(place), LeafChange(format, level, rights))
                } else {
                    try memory.store(change.changed(entry), format, at: PhysicalAddress(place), .release)
                }
            default: break
            }
            if end == last { return }
            address = VirtualAddress(end.rawValue &+ 1)
            place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
        }
    }
}

extension SpaceEditor where Memory: SharedMemory {
    /// Changes leaves of a leaf table that no processor keeps and no file has: the loop has little to remember.
    @inlinable
    func protectPages(
        _ table: PhysicalAddress, _ first: VirtualAddress, _ last: VirtualAddress, _ rights: Rights
    ) throws(Memory.Failure) {
        let format = space.format
        var change = LeafChange(format, .leafTable, rights)
        var place = space.place(format.index(of: first, at: .leafTable), of: table).rawValue
        var left = (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)
        while true {
            let entry = try memory.load(format, PhysicalAddress(place))
            if format.shape(of: entry, at: .leafTable) == .leaf {
                try memory.store(change.changed(entry), format, at: PhysicalAddress(place), .release)
            }
            if left == 0 { return }
            left &-= 1
            place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
        }
    }
}

/// Leaves of one level on their way to other rights: what is between a leaf and the changed one is the same for all leaves
/// with the same attributes.
@usableFromInline
struct LeafChange<Format: WritableFormat> {
    @usableFromInline
    let format: Format
    @usableFromInline
    let level: Level
    @usableFromInline
    let rights: Rights
    @usableFromInline
    var attributeBits: UInt64 = 0
    @usableFromInline
    var difference: UInt64?

    @inlinable
    init(_ format: Format, _ level: Level, _ rights: Rights) {
        self.format = format
        self.level = level
        self.rights = rights
    }

    @inlinable
    mutating func changed(_ leaf: Entry) -> Entry {
        let bits = format.attributeBits(of: leaf, at: level)
        if let difference, bits == attributeBits { return Entry(leaf.rawValue ^ difference) }
        attributeBits = bits
        let difference = self.difference(for: leaf)
        self.difference = difference
        return Entry(leaf.rawValue ^ difference)
    }

    @usableFromInline
    @inline(never)
    func difference(for leaf: Entry) -> UInt64 {
        var decoded = format.decode(leaf, at: level)
        decoded.attributes.rights = rights
        return format.encode(decoded, at: level).rawValue ^ leaf.rawValue
    }
}
