import PageTables
import TableMemory

// Making the tables that are missing: one, or where tables are smaller than a frame a whole frame of them.
//
// A frame of 64 KiB holds 16 directories of ppc64, or 256 of its leaf tables; two page tables of s390x share one. If one is
// missing, whoever makes it can make those of the neighbouring entries as well:
//
//   1. The group of an entry is the aligned entries of its table that a frame has tables for. It is filled as a whole if all
//      of them map nothing and nobody is going to put a large leaf there: no region that allows one, nor what is being mapped.
//      Otherwise the one table is made that is missing.
//   2. Take a frame, all of it tables (`TableAllocator`). If no frame is free, take one table.
//   3. Make them empty, while nobody sees them.                                     [initialiseTableBeforePublishing]
//   4. A fault takes the lock of the upper table, and looks again: at its own entry [revalidateUnderLock], and at the
//      others [revalidateGroupUnderLock]. If one is not empty any more, it gives the tables back, and looks what is there now.
//      An editor has the space to itself.
//   5. Set the entries, each with one store. A walk may see some of them; each leads to an empty table.
//
// Afterwards a table of the group is a table like any other: unlinked alone, and its fragment freed after its own readers were
// waited for. The frame comes back with the last of them.
//
// An empty table keeps a fault from using a large leaf. An editor that maps one puts it in the place of the table.

/// What is made where a table is missing that is smaller than a frame.
public enum TableFilling: String, CaseIterable, Sendable {
    /// The table that is missing.
    case single
    /// The tables of the neighbouring entries with it, as many as a frame holds: a fault there finds its table.
    case wholeFrame
}

extension SafetyRule {
    @inlinable
    public static var revalidateGroupUnderLock: SafetyRule {
        SafetyRule(
            name: "revalidateGroupUnderLock",
            demand:
                "A fault sets the entries beside its own only if, under their table's lock, they still map nothing.",
            history:
                "An empty table takes the place of what another fault has just mapped beside it, and nobody frees that."
        )
    }
}

/// Entries of one table that get tables at once.
@usableFromInline
struct EntryGroup {
    /// The place of the first.
    @usableFromInline
    let place: PhysicalAddress
    @usableFromInline
    let count: Int

    @inlinable
    init(place: PhysicalAddress, count: Int) {
        self.place = place
        self.count = count
    }
}

extension LiveSpace {
    /// How many tables are made at once for entries at a level.
    @inlinable
    func tablesAtOnce(_ level: Level) -> Int {
        guard filling == .wholeFrame else { return 1 }
        let log2Count = Int(truncatingIfNeeded: format.log2FrameBytes) &- format.log2TableBytes(level.below)
        return log2Count > 0 ? min(1 &<< log2Count, format.entryCount(level)) : 1
    }

    /// Step 1: the entries that get tables if the one at `place` does, which maps nothing.
    @inlinable
    func group<Memory: SharedMemory>(
        around place: PhysicalAddress, of table: PhysicalAddress, _ level: Level, _ address: VirtualAddress,
        in memory: borrowing Memory
    ) throws(Memory.Failure) -> EntryGroup {
        let single = EntryGroup(place: place, count: 1)
        let count = tablesAtOnce(level)
        guard count > 1 else { return single }
        let first = format.index(of: address, at: level) & ~(count - 1)
        let group = EntryGroup(place: self.place(first, of: table), count: count)
        guard try isEmpty(group, besides: place, level, in: memory) else { return single }
        let mask = format.offsetMask(level) | UInt64(count - 1) &<< format.shift(level)
        let range = VirtualRange(
            first: VirtualAddress(address.rawValue & ~mask), last: VirtualAddress(address.rawValue | mask))
        return mayFaultsUseLeaves(level, in: range) ? single : group
    }

    @usableFromInline
    func mayFaultsUseLeaves(_ level: Level, in range: VirtualRange) -> Bool {
        hasRegions && format.canMapLeaf(level)
            && regions.mayUseLeaves(PageSize(log2Bytes: Int(format.shift(level))), in: range)
    }

    @inlinable
    func isEmpty<Memory: SharedMemory>(
        _ group: EntryGroup, besides own: PhysicalAddress, _ level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        for index in 0..<group.count {
            let place = place(index, of: group.place)
            guard place != own else { continue }
            if format.shape(of: try memory.load(format, place), at: level) != .invalid { return false }
        }
        return true
    }

    /// Steps 2 and 3.
    ///
    /// - Parameter group: Becomes the single entry at `place` if there is one table only.
    /// - Returns: The first table; `nil` if there is no memory.
    @inlinable
    func newTables<Memory: SharedMemory>(
        for group: inout EntryGroup, around place: PhysicalAddress, _ level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress? {
        if group.count == 1 { return try newTable(level.below, in: memory) }
        let log2Bytes = format.log2TableBytes(level.below)
        guard let made = try tables.allocate(together: group.count, log2Bytes: log2Bytes, in: memory) else {
            return nil
        }
        if made.count == 1 { group = EntryGroup(place: place, count: 1) }
        if memory.enforces(.initialiseTableBeforePublishing) {
            let bytes = UInt64(made.count) &<< UInt64(log2Bytes)
            let range = PhysicalRange(first: made.first, last: PhysicalAddress(made.first.rawValue &+ bytes &- 1))
            try memory.fill(range, with: format.emptyEntry(at: level.below), format)
        }
        return made.first
    }

    /// Step 5.
    ///
    /// - Parameter tables: The first of as many as the group has entries.
    @inlinable
    func publish<Memory: SharedMemory>(
        _ tables: PhysicalAddress, in group: EntryGroup, _ level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        for index in 0..<group.count {
            let entry = tableEntry(table(index, from: tables, level.below), at: level)
            try memory.store(entry, format, at: place(index, of: group.place), .release)
        }
    }

    /// One of several tables that follow one another.
    @inlinable
    func table(_ index: Int, from first: PhysicalAddress, _ level: Level) -> PhysicalAddress {
        PhysicalAddress(first.rawValue &+ UInt64(truncatingIfNeeded: index) &<< UInt64(format.log2TableBytes(level)))
    }

    /// For a fault: makes the table that an entry is to lead to, and others with it. Whoever comes back looks at the entry
    /// again, as somebody else may have been faster.
    ///
    /// - Returns: False if there is no memory.
    @inlinable
    func addTables<Memory: SharedMemory>(
        around entry: LoadedEntry, of table: PhysicalAddress, _ level: Level, _ address: VirtualAddress,
        in memory: Memory
    ) throws(Memory.Failure) -> Bool {
        var group = try group(around: entry.place, of: table, level, address, in: memory)
        guard let tables = try newTables(for: &group, around: entry.place, level, in: memory) else { return false }
        let isMine = try memory.withLock(tableLock(of: table)) { (_) throws(Memory.Failure) in
            if memory.enforces(.revalidateUnderLock), try !isStill(entry, in: memory) { return false }
            if memory.enforces(.revalidateGroupUnderLock),
                try !isEmpty(group, besides: entry.place, level, in: memory)
            {
                return false
            }
            try publish(tables, in: group, level, in: memory)
            return true
        }
        if !isMine {
            for index in 0..<group.count {
                try freeUnseen(self.table(index, from: tables, level.below), level.below, in: memory)
            }
        }
        return true
    }
}

extension SpaceEditor where Memory: SharedMemory {
    /// Makes the table that an entry which maps nothing is to lead to, and others with it.
    ///
    /// - Parameter isAlone: Whether the table is to be made alone.
    /// - Returns: The table; `nil` if there is no memory.
    @inlinable
    func addTable(
        at place: PhysicalAddress, of table: PhysicalAddress, _ level: Level, _ address: VirtualAddress, isAlone: Bool
    ) throws(Memory.Failure) -> PhysicalAddress? {
        if !isAlone, space.tablesAtOnce(level) > 1 { return try addTables(around: place, of: table, level, address) }
        guard let below = try space.newTable(level.below, in: memory) else { return nil }
        try memory.store(space.tableEntry(below, at: level), space.format, at: place, .release)
        return below
    }

    @inlinable
    @inline(never)
    func addTables(
        around place: PhysicalAddress, of table: PhysicalAddress, _ level: Level, _ address: VirtualAddress
    ) throws(Memory.Failure) -> PhysicalAddress? {
        var group = try space.group(around: place, of: table, level, address, in: memory)
        guard let tables = try space.newTables(for: &group, around: place, level, in: memory) else { return nil }
        try space.publish(tables, in: group, level, in: memory)
        let index = Int(truncatingIfNeeded: place.rawValue &- group.place.rawValue) / Format.entryBytes
        return space.table(index, from: tables, level.below)
    }

    /// Whether what is being mapped has an entry at `level`, from `first` to `last`, for which it may use a leaf.
    @inlinable
    func mayUseLeaf(_ job: MapJob, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress) -> Bool {
        guard space.filling == .wholeFrame, encoding.leaf(at: level) != nil else { return false }
        let size = PageSize(log2Bytes: Int(space.format.shift(level)))
        return size <= job.largestLeaf && job.delta & size.offsetMask == 0
            && VirtualRange(first: first, last: last).hasPage(of: size)
    }

    /// Puts a leaf in the place of a table, if the table maps nothing and what is being mapped may use the leaf.
    ///
    /// - Returns: Whether it did.
    @inlinable
    @inline(never)
    mutating func mapLeaf(
        _ job: MapJob, over table: PhysicalAddress, _ level: Level, _ part: TouchedEntries<Format>.Part
    ) throws(Memory.Failure) -> Bool {
        guard mayUseLeaf(job, level, part.first, part.last),
            try firstMapped(table, level.below, part.first, part.last) == nil,
            let leaf = try leaf(job, part.first, level)
        else { return false }
        try waitBeforeReuse()
        try beginChange(of: VirtualRange(first: part.first, last: part.last))
        try memory.store(leaf, space.format, at: part.place, .release)
        try unlink(table, level.below)
        return true
    }
}

extension VirtualRange {
    /// Whether the range has a whole page of some size, aligned.
    @inlinable
    func hasPage(of size: PageSize) -> Bool {
        let (end, isOver) = first.rawValue.addingReportingOverflow(size.offsetMask)
        guard !isOver else { return false }
        let start = end & ~size.offsetMask
        return last.rawValue >= start && last.rawValue &- start >= size.offsetMask
    }
}
