import PageTables
import TableMemory

// Taking the records of use from leaves, so that what is used from then on is recorded anew.
//
// Hardware sets flags at any moment, and asks nobody for a lock. Each time it does, the flag is either taken or stays in the
// entry:
//   1. Hold the space's lock for reading and the table's lock (`LiveSpace+LockedLeaves`): nobody but hardware changes the leaf.
//   2. Clear the flags that the leaf has, in one update that fails if the entry has changed; then look at what it is now.
//                                                                                          [clearRecordsAtomically]
//   3. When all locks of tables are released, have processors forget the range (`flush`): until then they go on writing
//      through a translation that they remember as dirty, and record nothing.
//
// So whoever copies a page after the call has all that was written before it, and what is written later is recorded again. Two
// who take from the same range at the same time share what there is: neither may copy a page that only the other was told of.

extension SafetyRule {
    @inlinable
    public static var clearRecordsAtomically: SafetyRule {
        SafetyRule(
            name: "clearRecordsAtomically",
            demand: "What hardware has recorded in a leaf is cleared in one update, if the leaf is what it was.",
            history: "Clearing one flag with a load and a store lost the other, which hardware had set in between.")
    }
}

extension LiveSpace where Format: RecordingFormat {
    /// Takes the records of writes in a range: each page that was written since they were last taken is told once.
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
        var address = range.first
        while true {
            var clearing = RecordClearing(format, .leafTable, wanted)
            let end = try visitLeaves(from: address, to: range.last, in: memory) { (leaf) throws(Memory.Failure) in
                if leaf.level != clearing.level { clearing = RecordClearing(format, leaf.level, wanted) }
                let flags = try take(&clearing, from: leaf, in: memory)
                guard !flags.isEmpty else { return }
                let mask = format.offsetMask(leaf.level)
                let whole = VirtualRange(
                    first: VirtualAddress(leaf.first.rawValue & ~mask),
                    last: VirtualAddress(leaf.first.rawValue | mask))
                taken.add(whole, flags, isLarge: leaf.level > .leafTable)
            }
            if end == range.last { break }
            address = VirtualAddress(end.rawValue &+ 1)
        }
        if let hull = taken.hull { try flush(hull, in: memory) }
        return taken
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
            if memory.enforces(.clearRecordsAtomically) {
                let found = try memory.replace(entry, with: rest, format, at: leaf.place, .full)
                if found == entry { return flags }
                entry = found
                continue
            }
            try memory.store(rest, format, at: leaf.place, .release)
            return flags
        }
    }
}
