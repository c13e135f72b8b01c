import PageTables
import TableMemory

// A space that needs more addresses gets another top level above the one it has (after Linux on s390x, v6.19,
// arch/s390/mm/pgalloc.c, crst_table_upgrade).
//
//   1. Take a table for the new top, empty.
//   2. Take the growth lock, and look again whether the root is still the one to grow.                      [growUnderLock]
//   3. Let slot 0 of the new top point to the old top.
//   4. Publish table and depth as the root, in one word.
//
// Nothing below the old top changes, and the old top is not freed: a walker that has loaded the old root translates what it
// translated before, and does not find addresses above the old limit. A walker that loads the new root comes through slot 0.

extension SafetyRule {
    @inlinable
    public static var growUnderLock: SafetyRule {
        SafetyRule(
            name: "growUnderLock",
            demand: "Whether a space has to grow is asked again with the growth lock held.",
            history: "Two processors grew the same space, and each made its own new root (AMD IOMMU, 2019).")
    }
}

extension LiveSpace {
    /// Makes the space deep enough for a range.
    ///
    /// - Returns: The root that covers the range; `nil` with the reason if none can.
    @inlinable
    func grow<Memory: SharedMemory>(
        toCover range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Result<SpaceRoot, Refusal> {
        let memory = copy memory
        while true {
            let root = try Structure.loadRoot(words, memory)
            if format.covers(range, topLevel: root.topLevel) { return .success(root) }
            let level = Level(root.topLevel.rawValue + 1)
            guard format.topLevels.contains(level), format.covers(range, topLevel: format.topLevels.upperBound) else {
                return .failure(.invalidRange(range))
            }
            guard let top = try newTable(level, in: memory) else { return .failure(.outOfMemory) }
            let isGrown = try memory.withLock(words.growthLock) { (_) throws(Memory.Failure) in
                var isStill = true
                if memory.enforces(.growUnderLock) { isStill = try Structure.loadRoot(words, memory) == root }
                guard isStill else { return false }
                let entry = tableEntry(root.table, at: level)
                try memory.store(entry, format, at: place(0, of: top), .relaxed)
                try Structure.publish(SpaceRoot(table: top, topLevel: level), words, memory)
                return true
            }
            if isGrown { memory.count(.growth) } else { try freeUnseen(top, level, in: memory) }
        }
    }

    /// Makes the space deep enough for a range, while any number of walkers run.
    ///
    /// - Throws: `.invalidRange` if no space of the format is; `.outOfMemory`.
    /// - Complexity: One table for each new level.
    @inlinable
    public func grow<Memory: SharedMemory>(
        toCover range: VirtualRange, lock: borrowing ReadLockHeld<Memory>
    ) throws(SpaceError<Memory.Failure>) {
        let memory = lock.memory
        try SpaceError.throwing { () throws(Memory.Failure) in
            if case .failure(let refusal) = try grow(toCover: range, in: memory) { return refusal }
            return nil
        }
    }
}
