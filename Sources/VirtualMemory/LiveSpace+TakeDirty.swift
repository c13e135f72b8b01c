import PageTables
import TableMemory

// Taking the records of use from leaves, so that what is used from then on is recorded anew.
//
// Processors set flags at any moment, and ask nobody for a lock. Each time they do, the flag is either taken or stays in the
// entry:
//   1. Hold the space's lock for reading and the table's lock (`LiveSpace+LockedLeaves`): nobody but processors changes the leaf.
//   2. Clear the flags that the leaf has, in one update that fails if the entry has changed; then look at what it is now.
//                                                                                           [changeEntryAtomically]
//   3. When all locks of tables are released, and before anybody hears of it, flush what was taken: until then processors go on
//      writing by a translation that they keep as written, and record nothing.                    [flushTakenRecords]
//
// All of that between the beginning and the end of a flush, as with everybody who changes leaves under the lock for reading
// (`LiveSpace+DirtyRecord`): who finds a leaf clean that was cleaned a moment ago flushes as well, and a device that mirrors the
// range has to ask for the right to write again, which records a write.           [announceFlush, flushWholeRangeWhenNested]
//
// So whoever copies a page after the call has all that was written before it, and what is written later is recorded again. What is
// written through a pin leaves no trace in entries: who pins says so when he unpins (`LiveSpace.unpin`), and of the frame only. Two
// who take from the same range at the same time share what there is: neither may copy a page that only the other was told of.

extension SafetyRule {
    @inlinable
    public static var flushTakenRecords: SafetyRule {
        SafetyRule(
            name: "flushTakenRecords",
            demand: "Who is told that a page was written hears so when no processor keeps it as written any more.",
            history:
                "A page was cleaned, and written by a translation that did not record it again (Linux, page_mkclean).")
    }
}

extension LiveSpace where Format: RecordingFormat {
    /// Takes the records of writes in a range: each page that was written since they were last taken is told once.
    ///
    /// Writes by processors, guests and mirrored devices are recorded; those through pins are known to who pins.
    ///
    /// - Precondition: The caller is in no section.
    /// - Complexity: The entries of the leaf tables of the range, and a flush where something is taken.
    @inlinable
    public func takeDirty<Memory: SharedMemory>(
        in range: VirtualRange, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> TakenRecords { try takeRecords(.dirty, in: range, lock: lock) }

    /// Takes what leaves of a range have recorded of the use of their pages.
    ///
    /// - Parameters:
    ///   - wanted: `.dirty`, `.accessed` or both. Other flags are no records.
    ///   - range: A large leaf that reaches beyond it is taken as a whole, and told as a whole.
    /// - Precondition: The caller is in no section.
    /// - Complexity: The entries of the leaf tables of the range, and a flush where something is taken.
    @inlinable
    public func takeRecords<Memory: SharedMemory>(
        _ wanted: EntryFlags, in range: VirtualRange, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> TakenRecords {
        let memory = lock.memory
        let wanted = wanted.intersection([.accessed, .dirty])
        var taken = TakenRecords()
        if isWatched {
            try changeAndFlush(rangeOfWholeLeaves(range), in: memory) { () throws(Memory.Failure) in
                try takeRecords(wanted, in: range, &taken, memory)
                var changed: VirtualRange?
                if memory.enforces(.flushTakenRecords) { changed = taken.hull }
                return changed
            }
        } else {
            try takeRecords(wanted, in: range, &taken, memory)
        }
        return taken
    }

    /// A range with all of the leaves that reach into it, however large they are.
    @usableFromInline
    func rangeOfWholeLeaves(_ range: VirtualRange) -> VirtualRange {
        var level = format.topLevels.upperBound
        while level > .leafTable, !format.canMapLeaf(level) { level = level.below }
        return VirtualRange(
            first: format.range(of: range.first, at: level).first, last: format.range(of: range.last, at: level).last)
    }

    /// Steps 1 and 2.
    @inlinable
    func takeRecords<Memory: SharedMemory>(
        _ wanted: EntryFlags, in range: VirtualRange, _ taken: inout TakenRecords, _ memory: Memory
    ) throws(Memory.Failure) {
        var address = range.first
        while true {
            var clearing = RecordClearing(format, .leafTable, wanted)
            let end = try visitLeaves(from: address, to: range.last, in: memory) { (leaf) throws(Memory.Failure) in
                if leaf.level != clearing.level { clearing = RecordClearing(format, leaf.level, wanted) }
                let flags = try take(&clearing, from: leaf, in: memory)
                guard !flags.isEmpty else { return }
                let whole = format.range(of: leaf.first, at: leaf.level)
                taken.add(whole, flags, isLarge: leaf.level > .leafTable)
            }
            if end == range.last { return }
            address = VirtualAddress(end.rawValue &+ 1)
        }
    }

    /// Step 2.
    @inlinable
    func take<Memory: SharedMemory>(
        _ clearing: inout RecordClearing<Format>, from leaf: LockedLeaf, in memory: Memory
    ) throws(Memory.Failure) -> EntryFlags {
        var entry = leaf.entry
        while true {
            let (flags, rest) = clearing.cleared(entry)
            if flags.isEmpty { return flags }
            if memory.enforces(.changeEntryAtomically) {
                let outcome = try memory.compareExchange(
                    expected: entry, desired: rest, format, at: leaf.place, .full)
                if outcome.isExchanged { return flags }
                entry = Entry(outcome.original)
                continue
            }
            try memory.store(rest, format, at: leaf.place, .release)
            return flags
        }
    }
}
