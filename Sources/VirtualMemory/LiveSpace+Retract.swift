import PageTables
import TableMemory

// Taking back leaf tables that map nothing, with the space's lock held for reading (after Linux's pt_reclaim and
// retract_page_tables, v6.19): faults, slow pins, walks and other retractions run at the same time.
//
// Who unlinks:
//   1. Finds a leaf table without leaves, inside an RCU section: another one may take it back meanwhile.
//   2. Takes the locks of both tables, the upper one and the leaf table: of tables in one frame the lock they share, once
//      [lockSharedFrameOnce]; of others, the one at the lower address first [lockTablesInOrder].
//   3. Looks again: the upper entry still leads to the table, and the table is still empty.          [revalidateUnderLock]
//   4. Clears the upper entry, flushes, releases the locks and leaves the section.
//   5. Waits for a grace period, whatever the policy of the space, and frees the table.          [deferTableFree]
//
// Who changes entries of leaf tables (`LiveSpace+Fault`):
//   1. Goes down from the root inside an RCU section, so that the table is not freed.                   [blockTableFreeing]
//   2. Takes the leaf table's lock, and looks whether the entry that led to it still does.  [revalidateTableUnderLock]
//      Clearing that entry takes the leaf table's lock, so the answer holds for as long as the lock is held. If it does not
//      lead there any more, starts again from the root.
//   3. Only then changes the entry.
//
// Who only walks with the lock for reading is in an RCU section as well: the lock alone keeps tables of higher levels and
// leaf tables that map something.
//
// Only leaf tables go. Tables above them are freed by writers, so an entry of one may be read and locked by whoever
// holds the space's lock. Nobody waits for a grace period with a table's lock held, so locks may be waited for inside a section.

extension SafetyRule {
    @inlinable
    public static var revalidateTableUnderLock: SafetyRule {
        SafetyRule(
            name: "revalidateTableUnderLock",
            demand: "An entry of a leaf table is changed only if, under the table's lock, the space still leads to it.",
            history:
                "Since tables vanish under the lock for reading, finding a table and locking it may fail (Linux 6.5).")
    }

    @inlinable
    public static var lockSharedFrameOnce: SafetyRule {
        SafetyRule(
            name: "lockSharedFrameOnce",
            demand: "Of two tables in one frame the lock is taken once.",
            history: "A lock per frame covers all tables in it: who wants the locks of two waits for itself.")
    }

    @inlinable
    public static var lockTablesInOrder: SafetyRule {
        SafetyRule(
            name: "lockTablesInOrder",
            demand: "Locks of two tables are taken in the order of their addresses.",
            history: "Where frames hold tables of any level, upper before lower is no order.")
    }
}

extension LiveSpace {
    /// Frees leaf tables that map nothing. Not where entries are accessed in halves: what is cleared under the lock for reading
    /// could be set again before its readers were waited for (`SpaceEditor+Reuse`).
    ///
    /// - Parameter range: Tables that cover part of it are looked at.
    /// - Returns: How many were freed.
    /// - Precondition: The caller is in no section.
    /// - Complexity: The entries of the tables below the range; one grace period where a table is freed.
    @discardableResult
    public func reclaimEmptyTables<Memory: SharedMemory>(
        in range: VirtualRange, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Int {
        if Format.isAccessedInHalves { return 0 }
        let memory = lock.memory
        let root = try Structure.loadRoot(words, memory)
        let trees = format.addressSpace(root: root.table, topLevel: root.topLevel)
        var retraction = Retraction(
            unlinked: UnlinkedTables(tables, TableReclaimer(.rcu, users: words.users), isAlone: false))
        for tree in [trees.lower, trees.upper] {
            guard let tree, let part = tree.range.intersection(range) else { continue }
            try retract(&retraction, root.table, root.topLevel, part.first, part.last, in: memory)
        }
        try retraction.unlinked.free(in: memory)
        return retraction.count
    }

    private func retract<Memory: SharedMemory>(
        _ retraction: inout Retraction<Structure>, _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress,
        _ last: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) {
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            guard format.shape(of: entry, at: level) == .table else { continue }
            let below = format.table(of: entry, at: level)
            if level > Level(1) {
                try retract(&retraction, below, level.below, part.first, part.last, in: memory)
            } else if try retract(below, linkedBy: entry, at: part.place, of: table, part.first, in: memory) {
                retraction.count += 1
                try retraction.unlinked.add(below, log2Bytes: format.log2TableBytes(.leafTable), in: memory)
            }
        }
    }

    /// Steps 1 to 4 for one table.
    ///
    /// - Returns: Whether no entry leads to it any more.
    private func retract<Memory: SharedMemory>(
        _ table: PhysicalAddress, linkedBy entry: Entry, at place: PhysicalAddress, of upper: PhysicalAddress,
        _ address: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) -> Bool {
        try memory.withRCUReader { (section) throws(Memory.Failure) in
            // The entry was loaded before the section began.
            guard try section.load(format, place) == entry, try isEmpty(table, in: memory) else { return false }
            return try withTableLocks(of: upper, table, in: memory) { () throws(Memory.Failure) in
                var isStill = true
                if memory.enforces(.revalidateUnderLock) {
                    isStill = try memory.load(format, place) == entry
                    if isStill { isStill = try isEmpty(table, in: memory) }
                }
                guard isStill else { return false }
                try memory.store(format.emptyEntry(at: Level(1)), format, at: place, .release)
                if memory.enforces(.flushBeforeFree) {
                    try flush(format.range(of: address, at: Level(1)), in: memory)
                }
                return true
            }
        }
    }

    private func isEmpty<Memory: SharedMemory>(
        _ table: PhysicalAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        for index in 0..<format.entryCount(.leafTable) {
            let entry = try memory.load(format, place(index, of: table))
            if format.shape(of: entry, at: .leafTable) != .invalid { return false }
        }
        return true
    }

    /// Runs `body` with the locks of two tables held.
    func withTableLocks<Memory: SharedMemory, Result>(
        of one: PhysicalAddress, _ other: PhysicalAddress, in memory: Memory,
        _ body: () throws(Memory.Failure) -> Result
    ) throws(Memory.Failure) -> Result {
        var (first, second) = (tableLock(of: one), tableLock(of: other))
        var isShared = false
        if memory.enforces(.lockSharedFrameOnce) { isShared = first == second }
        if isShared { return try memory.withLock(first) { (_) throws(Memory.Failure) in try body() } }
        if memory.enforces(.lockTablesInOrder), other < one { swap(&first, &second) }
        return try memory.withLock(first) { (_) throws(Memory.Failure) in
            try memory.withLock(second) { (_) throws(Memory.Failure) in try body() }
        }
    }
}

/// What one call has taken back so far.
private struct Retraction<Structure: SpaceStructure> {
    var unlinked: UnlinkedTables<Structure>
    var count = 0
}
