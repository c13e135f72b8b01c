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
    mutating func changeRegions(_ range: VirtualRange, _ rights: Rights) {
        space.regions.change(range) { attributes in
            var changed = attributes
            changed.rights = rights
            return changed
        }
    }

    /// Changes entries none of which reaches beyond the range.
    @inlinable
    mutating func protectEntries(
        _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress, _ rights: Rights
    ) throws(Memory.Failure) {
        let format = space.format
        let mask = format.offsetMask(level)
        let sparesFiles = space.hasRegions && !rights.isDisjoint(with: .writes)
        var change = LeafChange(format, level, rights)
        var changeOfFiles = LeafChange(format, level, rights.subtracting(.writes))
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
                try self.change(entry, at: PhysicalAddress(place)) {
                    isSpared ? changeOfFiles.changed($0) : change.changed($0)
                }
            default: break
            }
            if end == last { return }
            address = VirtualAddress(end.rawValue &+ 1)
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
