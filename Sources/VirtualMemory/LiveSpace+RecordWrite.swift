import PageTables
import TableMemory

// The record of a write by somebody who leaves no trace in entries: a device, a guest. With the space's lock held for reading:
//
//   1. The leaf is looked at with its table's lock held (`LiveSpace+LockedLeaves`). If it allows writing and does not say that its
//      page was written, it is made to say so, by one atomic operation: processors record at any moment.
//                                                                                         [recordWriteBeforeDevice]
//   2. Whoever asked looks at the leaf again. He may let his own write only if it still says so, and somebody who takes the record
//      away tells him before (`InvalidationObserver`).

extension SafetyRule {
    @inlinable
    public static var recordWriteBeforeDevice: SafetyRule {
        SafetyRule(
            name: "recordWriteBeforeDevice",
            demand: "The leaf of a page says that it was written before a device or a guest may write to it.",
            history: "Whoever looks at entries only does not find what devices write (Linux, MMU_NOTIFY_SOFT_DIRTY).")
    }
}

extension WritableFormat {
    /// Whether leaves can say that pages were written: whoever records writes, records them then, be it hardware, one of our
    /// processors, or a device. Nobody does in entries that are accessed in halves.
    @usableFromInline
    static var leavesSayWritten: Bool { notions.flags.contains(.dirty) && !isAccessedInHalves }

    /// Whether a page was not written whose leaf does not say so: hardware, which does not ask, records as well. Where it does
    /// not (arm64 without FEAT_HAFDBS), leaves say of some writes only, and what could have been written counts as written.
    @usableFromInline
    var leavesSayAllWrites: Bool { recordsWrites && Self.leavesSayWritten }
}

extension LiveSpace {
    /// Records a write to a page in its leaf, if the leaf allows writing. Somebody may have taken the record when this returns.
    ///
    /// - Precondition: The space's lock is held for reading.
    func recordWrite<Memory: SharedMemory>(
        at address: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) {
        _ = try visitLeaves(from: address, to: address, in: memory) { (leaf) throws(Memory.Failure) in
            var entry = leaf.entry
            while true {
                var decoded = format.decode(entry, at: leaf.level)
                let used = decoded.attributes.flags.union(
                    EntryFlags([.accessed, .dirty]).intersection(Format.notions.flags))
                let isWritable = !decoded.attributes.rights.isDisjoint(with: .writes)
                guard isWritable, used != decoded.attributes.flags else { return }
                decoded.attributes.flags = used
                let outcome = try memory.compareExchange(
                    expected: entry, desired: format.encode(decoded, at: leaf.level), format, at: leaf.place, .full)
                if outcome.isExchanged { return }
                entry = Entry(outcome.original)
            }
        }
    }
}
