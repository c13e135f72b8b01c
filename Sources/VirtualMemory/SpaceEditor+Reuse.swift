import PageTables
import TableMemory

// When an entry that is accessed in halves may map something else.
//
// A reader that loads the halves of an entry while it is cleared and set again may take one half of each for a whole
// (`TableMemory/EntryHalves.swift`). So an entry that readers may have seen gets another mapping only after they were waited for:
//
//   - An editor that has cleared or replaced entries waits before it releases the space's lock, so that faults and the next
//     editor need not know.                                                                    [waitBeforeEntryReuse]
//   - The same editor waits before it sets or replaces entries again. One operation changes each entry once; one that sets
//     begins with the wait for those before it.
//   - Under the lock for reading nothing is cleared: a leaf of a device is split like any other (`LiveSpace+Walk`). An
//     entry then goes from nothing to a leaf and from the leaf to a table, and stays that.
//
// Who is waited for is whoever the freeing of tables waits for, and what a reader must hold is the same. Nobody waits for
// a lock inside a section, so readers can be waited for with the lock held. Other formats pay nothing for this.

extension SafetyRule {
    @inlinable
    public static var waitBeforeEntryReuse: SafetyRule {
        SafetyRule(
            name: "waitBeforeEntryReuse",
            demand: "An entry in halves that was cleared maps something again only after its readers were waited for.",
            history:
                "The low half was the same again, and the high half another page's (Linux, PAE: ptep_get_lockless)."
        )
    }
}

extension SpaceEditor where Memory: SharedMemory {
    /// Notes that entries which readers may have seen are cleared or replaced.
    @inlinable
    @inline(__always)
    mutating func noteChangedEntries() {
        if Format.isAccessedInHalves { hasChangedEntries = true }
    }

    /// To be called before entries are set, and at the end.
    @inlinable
    @inline(__always)
    mutating func waitBeforeReuse() throws(Memory.Failure) {
        if Format.isAccessedInHalves, hasChangedEntries {
            hasChangedEntries = false
            if memory.enforces(.waitBeforeEntryReuse) { try space.reclaimer.wait(in: memory) }
        }
    }
}
