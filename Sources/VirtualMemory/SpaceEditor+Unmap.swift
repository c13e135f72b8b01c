import PageTables
import TableMemory

extension SpaceEditor where Memory: SharedMemory {
    /// See `LiveSpace.unmap`.
    ///
    /// - Returns: Why nothing was unmapped; `nil` if it was.
    @inlinable
    @inline(__always)
    public mutating func unmap(_ range: VirtualRange) throws(Memory.Failure) -> Refusal? {
        if isInRecentTable(range), !isWholeTable(range), isOfPages(range), !space.hasRegions, invalidation == nil {
            noteChangedEntries()
            try unmapPages(recentTable, range.first, range.last, mapsFrames: recentMapsFrames)
            return nil
        }
        return try unmapFromRoot(range)
    }

    @inlinable
    @inline(never)
    mutating func unmapFromRoot(_ range: VirtualRange) throws(Memory.Failure) -> Refusal? {
        guard let (root, part) = try root(for: range) else { return .invalidRange(range) }
        guard let part else { return nil }
        if let refusal = try splitEnds(of: part, root) { return refusal }
        if space.hasRegions { forgetRegions(part) }
        try beginChange(of: part)
        try unmapEntries(root.table, Format.fixedTopLevel ?? root.topLevel, part.first, part.last)
        if !leftFiles.isEmpty { try leaveFiles() }
        return nil
    }

    @inlinable
    func isOfPages(_ range: VirtualRange) -> Bool {
        (range.first.rawValue | ~range.last.rawValue) & (space.format.pageBytes &- 1) == 0
    }

    /// Whether a range that one leaf table maps is all that it maps: the table goes then.
    @inlinable
    func isWholeTable(_ range: VirtualRange) -> Bool {
        range.last.rawValue &- range.first.rawValue == space.format.offsetMask(Level(1))
    }

    /// The root, if a range is of whole pages and some space of the format translates it; and the part of the range that this
    /// one translates already: there is nothing, and no region, in the rest.
    @inlinable
    func root(for range: VirtualRange) throws(Memory.Failure) -> (value: SpaceRoot, part: VirtualRange?)? {
        let format = space.format
        guard isOfPages(range) else { return nil }
        let root = try Structure.loadRoot(space.words, memory)
        if format.covers(range, topLevel: root.topLevel) { return (root, range) }
        guard format.covers(range, topLevel: format.topLevels.upperBound) else { return nil }
        // A space that can grow has one tree, from address 0 upward.
        let tree = format.addressSpace(root: root.table, topLevel: root.topLevel).lower
        return (root, tree?.range.intersection(range))
    }

    @usableFromInline
    mutating func forgetRegions(_ range: VirtualRange) {
        leftFiles += space.regions.remove(range).compactMap(\.file)
        space.hasRegions = !space.regions.regions.isEmpty
    }

    /// Unmaps entries none of which reaches beyond the range.
    @inlinable
    mutating func unmapEntries(
        _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) {
        if level == .leafTable {
            let mapsFrames = try space.mapsFrames(table, in: memory)
            remember(table, for: first, mapsFrames: mapsFrames)
            return try unmapPages(table, first, last, mapsFrames: mapsFrames)
        }
        let format = space.format
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            switch format.shape(of: entry, at: level) {
            case .table:
                let below = format.table(of: entry, at: level)
                if part.isWhole {
                    try memory.store(format.emptyEntry(at: level), format, at: part.place, .release)
                    try unlink(below, level.below)
                } else {
                    try unmapEntries(below, level.below, part.first, part.last)
                }
            case .leaf:
                try memory.store(format.emptyEntry(at: level), format, at: part.place, .release)
                try dropFrames(of: entry, at: level)
            case .invalid, .malformed: break
            }
        }
    }

    @inlinable
    @inline(__always)
    func unmapPages(
        _ table: PhysicalAddress, _ first: VirtualAddress, _ last: VirtualAddress, mapsFrames: Bool
    ) throws(Memory.Failure) {
        if mapsFrames { return try unmapFrames(table, first, last) }
        let format = space.format
        let empty = format.emptyEntry(at: .leafTable)
        var place = space.place(format.index(of: first, at: .leafTable), of: table).rawValue
        var left = (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)
        while true {
            try memory.store(empty, format, at: PhysicalAddress(place), .release)
            if left == 0 { return }
            left &-= 1
            place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
        }
    }

    /// As `unmapPages`, where pages may be frames of the map.
    @inlinable
    @inline(never)
    func unmapFrames(
        _ table: PhysicalAddress, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) {
        let format = space.format
        let empty = format.emptyEntry(at: .leafTable)
        var place = space.place(format.index(of: first, at: .leafTable), of: table).rawValue
        var left = (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)
        while true {
            let entry = try memory.load(format, PhysicalAddress(place))
            if format.shape(of: entry, at: .leafTable) == .leaf {
                try memory.store(empty, format, at: PhysicalAddress(place), .release)
                try dropFrames(of: entry, at: .leafTable)
            }
            if left == 0 { return }
            left &-= 1
            place &+= UInt64(truncatingIfNeeded: Format.entryBytes)
        }
    }

    /// Puts a table that no entry leads to any more, and all tables below it, into the batch.
    ///
    /// Leaves are left as they are: whoever pinned a page through one of them finds the entry cleared that led to its table.
    @inlinable
    mutating func unlink(_ table: PhysicalAddress, _ level: Level) throws(Memory.Failure) {
        let format = space.format
        let mapsFrames = try space.mapsFrames(table, in: memory)
        if level > .leafTable || mapsFrames {
            var place = table.rawValue
            for _ in 0..<format.entryCount(level) {
                let entry = try memory.load(format, PhysicalAddress(place))
                switch format.shape(of: entry, at: level) {
                case .leaf: try dropFrames(of: entry, at: level)
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

    @inlinable
    mutating func addToBatch(_ table: PhysicalAddress, _ level: Level) throws(Memory.Failure) {
        forgetRecentTable()
        let (memory, invalidation) = (memory, invalidation)
        try unlinked.add(table, log2Bytes: space.format.log2TableBytes(level), in: memory) {
            () throws(Memory.Failure) in
            if let invalidation, memory.enforces(.flushWhenBatchFails) { try invalidation.flush(in: memory) }
        }
    }

    /// Gives up the mappings of a leaf that is cleared.
    @inlinable
    func dropFrames(of leaf: Entry, at level: Level) throws(Memory.Failure) {
        let physical = space.format.physical(of: leaf, at: level, for: VirtualAddress(0))
        guard let frame = space.map.frame(of: physical) else { return }
        let order = space.format.shift(level) &- UInt64(space.format.log2FrameBytes)
        let pages: UInt32 = 1 &<< UInt32(truncatingIfNeeded: order)
        if let invalidation { return try invalidation.drop(pages, of: frame, in: memory) }
        try space.references.dropMappings(pages, of: frame, in: memory)
    }

    /// Unlinks everything, the top table included.
    @usableFromInline
    mutating func unlinkRoot() throws(Memory.Failure) {
        leftFiles += space.regions.regions.compactMap(\.file)
        space.regions = RegionMap()
        space.hasRegions = false
        let root = try Structure.loadRoot(space.words, memory)
        if invalidation != nil {
            let trees = space.format.addressSpace(root: root.table, topLevel: root.topLevel)
            for tree in [trees.lower, trees.upper] { if let tree { try beginChange(of: tree.range) } }
        }
        try unlink(root.table, root.topLevel)
        try memory.store(0, to: space.words.root, .release)
        if !leftFiles.isEmpty { try leaveFiles() }
    }
}

extension LiveSpace {
    /// Whether entries of a table may map frames of the map.
    @inlinable
    @inline(__always)
    func mapsFrames<Memory: SharedMemory>(
        _ table: PhysicalAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        guard let frame = map.frame(of: table) else { return true }
        return try memory.load(map.descriptor(of: frame).mapping, .relaxed) & TableState.mapsFrames != 0
    }
}
