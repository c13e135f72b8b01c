import PageTables
import TableMemory

// Giving up pages that can be read again (after Linux's __remove_mapping, v6.19, mm/vmscan.c), with the file's lock held:
//
//   1. Make the references zero, if the cache's is the only one: nobody maps or pins the page, and nobody can take a
//      reference any more.
//   2. Is the page dirty? Then it gets its reference back.                                    [freezeBeforeDirtyTest]
//   3. Take it out of the cache, clear its mapping word, free its frame.
//
// A page on its way to the store is clean already, and writeback has a reference to it (`CachedFile`).  [keepPageDuringWriteback]
//
// Whoever wrote through a pin marks the page dirty before the pin goes. Either step 1 still sees the pin, or step 2 sees the mark.

extension SafetyRule {
    public static var freezeBeforeDirtyTest: SafetyRule {
        SafetyRule(
            name: "freezeBeforeDirtyTest",
            demand: "Whether a page is dirty is asked when nobody has a reference to it any more.",
            history:
                "A page was found clean, then written and marked through the last pin, and dropped (Linux, reclaim).")
    }
}

extension PageCache {
    /// Gives up the pages that nobody maps or has pinned, and that are not dirty.
    ///
    /// - Returns: How many.
    /// - Complexity: The pages in memory.
    public func reclaim<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> Int {
        let memory = copy memory
        // Of shared memory there is nothing that could be read again.
        guard kind == .file else { return 0 }
        return try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            var count = 0
            for (index, frame) in pages.sorted(by: { $0.key < $1.key }) where try isGivenUp(frame, memory) {
                pages[index] = nil
                try memory.store(0, to: owner(of: frame), .release)
                try references.allocator.free(frame, in: memory)
                count += 1
            }
            return count
        }
    }

    /// Steps 1 and 2.
    private func isGivenUp<Memory: SharedMemory>(_ frame: Frame, _ memory: Memory) throws(Memory.Failure) -> Bool {
        let count = map.descriptor(of: frame).references
        var isFrozen = false
        if memory.enforces(.freezeBeforeDirtyTest) {
            isFrozen = try memory.compareExchange(count, expected: 1, desired: 0, .full).isExchanged
            if !isFrozen { return false }
        }
        if try references.owner(of: frame, in: memory).isDirty {
            if isFrozen { try memory.store(1, to: count, .release) }
            return false
        }
        if isFrozen { return true }
        return try memory.compareExchange(count, expected: 1, desired: 0, .full).isExchanged
    }
}
