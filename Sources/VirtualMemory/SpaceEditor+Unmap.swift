import PageTables
import TableMemory

extension SpaceEditor where Memory: SharedMemory {
    /// See `LiveSpace.unmap`.
    ///
    /// - Returns: Why nothing was unmapped; `nil` if it was.
    @inlinable
    public mutating func unmap(_ range: VirtualRange) throws(Memory.Failure) -> Refusal? {
        guard let (root, part) = try root(for: range) else { return .invalidRange(range) }
        guard let range = part else { return nil }
        if let refusal = try splitEnds(of: range, root) { return refusal }
        forgetRegions(range)
        try unmapEntries(root.table, Format.fixedTopLevel ?? root.topLevel, range.first, range.last)
        return nil
    }

    /// The root, if a range is of whole pages and some space of the format translates it, and the part of the range that
    /// this space translates already: a space that can grow may translate none of it, or its beginning.
    @inlinable
    func root(for range: VirtualRange) throws(Memory.Failure) -> (SpaceRoot, part: VirtualRange?)? {
        let format = space.format
        guard (range.first.rawValue | ~range.last.rawValue) & (format.pageBytes &- 1) == 0 else { return nil }
        let root = try Structure.loadRoot(space.words, memory)
        if format.covers(range, topLevel: root.topLevel) { return (root, range) }
        guard format.covers(range, topLevel: format.topLevels.upperBound) else { return nil }
        let limit =
            format.offsetMask(root.topLevel) &<< format.indexBits(root.topLevel)
            | ((1 &<< format.indexBits(root.topLevel)) &- 1)
        let translated = VirtualRange(first: VirtualAddress(0), last: VirtualAddress(limit))
        return (root, range.intersection(translated))
    }

    @usableFromInline
    mutating func forgetRegions(_ range: VirtualRange) {
        if !space.regions.regions.isEmpty { space.regions.remove(range) }
    }

    /// Unmaps entries none of which reaches beyond the range.
    @inlinable
    mutating func unmapEntries(
        _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) {
        if level == .leafTable { return try unmapPages(table, first, last) }
        let format = space.format
        let mask = format.offsetMask(level)
        var address = first
        while true {
            let end = VirtualAddress(min(address.rawValue | mask, last.rawValue))
            let place = space.place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table:
                let below = format.table(of: entry, at: level)
                if address.rawValue & mask == 0 && end.rawValue & mask == mask {
                    try memory.store(format.emptyEntry(at: level), format, at: place, .release)
                    try unlink(below, level.below)
                } else {
                    try unmapEntries(below, level.below, address, end)
                }
            case .leaf:
                try memory.store(format.emptyEntry(at: level), format, at: place, .release)
                try dropFrames(of: entry, at: level)
            case .invalid, .malformed: break
            }
            if end == last { return }
            address = VirtualAddress(end.rawValue &+ 1)
        }
    }

    @inlinable
    func unmapPages(
        _ table: PhysicalAddress, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) {
        let format = space.format
        let empty = format.emptyEntry(at: .leafTable)
        let mapsFrames = try space.mapsFrames(table, in: memory)
        var place = space.place(format.index(of: first, at: .leafTable), of: table).rawValue
        var left = (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)
        while true {
            if mapsFrames {
                let entry = try memory.load(format, PhysicalAddress(place))
                if format.shape(of: entry, at: .leafTable) == .leaf {
                    try memory.store(empty, format, at: PhysicalAddress(place), .release)
                    try dropFrames(of: entry, at: .leafTable)
                }
            } else {
                try memory.store(empty, format, at: PhysicalAddress(place), .release)
            }
            if left == 0 { return }
            left &-= 1
            place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
        }
    }

    /// Puts a table that no entry leads to any more, and all tables below it, into the batch.
    ///
    /// The entries of leaf tables are left as they are: whoever pinned a page through one of them finds the entry cleared
    /// that led to the table.
    @inlinable
    mutating func unlink(_ table: PhysicalAddress, _ level: Level) throws(Memory.Failure) {
        let format = space.format
        let mapsFrames = try space.mapsFrames(table, in: memory)
        if level > .leafTable || mapsFrames {
            var place = table.rawValue
            for _ in 0..<format.entryCount(level) {
                let entry = try memory.load(format, PhysicalAddress(place))
                switch format.shape(of: entry, at: level) {
                case .leaf:
                    if level > .leafTable {
                        try memory.store(format.emptyEntry(at: level), format, at: PhysicalAddress(place), .release)
                    }
                    try dropFrames(of: entry, at: level)
                case .table where level > .leafTable:
                    try memory.store(format.emptyEntry(at: level), format, at: PhysicalAddress(place), .release)
                    try unlink(format.table(of: entry, at: level), level.below)
                default: break
                }
                place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
            }
        }
        try addToBatch(table, level)
    }

    @usableFromInline
    mutating func addToBatch(_ table: PhysicalAddress, _ level: Level) throws(Memory.Failure) {
        try unlinked.add(table, log2Bytes: space.format.log2TableBytes(level), in: memory)
    }

    /// Gives up the mappings of a leaf that is cleared.
    @inlinable
    func dropFrames(of leaf: Entry, at level: Level) throws(Memory.Failure) {
        let physical = space.format.physical(of: leaf, at: level, for: VirtualAddress(0))
        guard let frame = space.map.frame(of: physical) else { return }
        let order = space.format.shift(level) &- UInt64(space.format.log2FrameBytes)
        try space.references.dropMappings(1 &<< UInt32(truncatingIfNeeded: order), of: frame, in: memory)
    }

    /// Unlinks everything, the top table included.
    @usableFromInline
    mutating func unlinkRoot() throws(Memory.Failure) {
        space.regions = RegionMap()
        let root = try Structure.loadRoot(space.words, memory)
        try unlink(root.table, root.topLevel)
        try memory.store(0, to: space.words.root, .release)
    }
}

extension LiveSpace {
    /// Whether entries of a table may map frames of the map.
    @inlinable
    func mapsFrames<Memory: SharedMemory>(
        _ table: PhysicalAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        guard let frame = map.frame(of: table) else { return true }
        return try memory.load(map.descriptor(of: frame).mapping, .relaxed) & TableState.mapsFrames != 0
    }
}
