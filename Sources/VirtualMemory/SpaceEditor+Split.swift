import PageTables
import TableMemory

// Splitting a large leaf: a new table gets leaves that map what the large one mapped, with the same attributes, and takes its
// place with one store. A walker sees the one or the other. References stay as they are: they are counted by pages.

extension SpaceEditor where Memory: SharedMemory {
    /// Splits the leaves that reach beyond either end of a range.
    @usableFromInline
    mutating func splitEnds(of range: VirtualRange, _ root: SpaceRoot) throws(Memory.Failure) -> Refusal? {
        if let refusal = try split(at: range.first, isStart: true, root) { return refusal }
        return try split(at: range.last, isStart: false, root)
    }

    /// Makes a leaf begin at an address, or end at it.
    @inlinable
    mutating func split(
        at address: VirtualAddress, isStart: Bool, _ root: SpaceRoot
    ) throws(Memory.Failure) -> Refusal? {
        let format = space.format
        var (table, level) = (root.table, root.topLevel)
        while level > .leafTable {
            let mask = format.offsetMask(level)
            if address.rawValue & mask == (isStart ? 0 : mask) { return nil }
            let place = space.place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table: table = format.table(of: entry, at: level)
            case .leaf:
                guard let below = try split(entry, of: address, at: place, level) else { return .outOfMemory }
                table = below
            case .invalid, .malformed: return nil
            }
            level = level.below
        }
        return nil
    }

    /// Puts a table in the place of a large leaf.
    ///
    /// - Returns: The table; `nil` if there is no memory.
    @inlinable
    mutating func split(
        _ leaf: Entry, of address: VirtualAddress, at place: PhysicalAddress, _ level: Level
    ) throws(Memory.Failure) -> PhysicalAddress? {
        guard let below = try space.tableOfSplit(leaf, at: level, in: memory) else { return nil }
        try waitBeforeReuse()
        try beginChange(of: space.format.range(of: address, at: level))
        try change(leaf, at: place) { (last) throws(Memory.Failure) in
            if last != leaf { try space.fill(below, withPartsOf: last, at: level, in: memory) }
            return space.tableEntry(below, at: level)
        }
        memory.count(.split)
        return below
    }
}

extension LiveSpace {
    /// A table that maps what a leaf maps; `nil` if there is no memory.
    @inlinable
    func tableOfSplit<Memory: SharedMemory>(
        _ leaf: Entry, at level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress? {
        guard let table = try newTable(level.below, in: memory) else { return nil }
        try fill(table, withPartsOf: leaf, at: level, in: memory)
        let start = format.physical(of: leaf, at: level, for: VirtualAddress(0))
        if map.frame(of: start) != nil { try setMapsFrames(table, in: memory) }
        return table
    }

    /// Makes a table that nobody sees map what a leaf at `level` maps.
    @inlinable
    func fill<Memory: SharedMemory>(
        _ table: PhysicalAddress, withPartsOf leaf: Entry, at level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let start = format.physical(of: leaf, at: level, for: VirtualAddress(0))
        let attributes = format.attributes(of: leaf, at: level)
        let size = PageSize(log2Bytes: Int(format.shift(level.below)))
        let first = format.canonical(.leaf(start, size), attributes, at: level.below)
        let bits = first & ~format.addressBits(start, at: level.below)
        for index in 0..<format.entryCount(level.below) {
            let page = PhysicalAddress(start.rawValue + UInt64(index) << UInt64(size.log2Bytes))
            let small = Entry(bits | format.addressBits(page, at: level.below))
            try memory.store(small, format, at: place(index, of: table), .relaxed)
        }
    }
}
