import PageTables
import TableMemory

// Pinning pages, whatever it takes: first without a lock; what is left, with the space's lock held for reading.
//
//   1. Find the leaf. A page that is not mapped, or not with the rights that are asked for, is a fault.
//   2. For a pin that is kept for long the region decides: a shared one of a file that has to know when it is written
//      refuses it for writing; a private one copies the page first, also for reading, so that who reads through the pin sees
//      what is written to the region later.                                          [unshareBeforeLongTermPin]
//   3. Take the pins, and look at the leaf again: if it has changed, give them back and start again. What step 2 took the
//      page for, and that it could not be pinned, is then void as well.            [recheckEntryAfterLockedPin]
//
// The lock keeps tables and most pages, but not a page of a file in a private region: a fault that copies it holds the lock
// for reading too, and then only the file keeps it, which gives it up with no lock but its own (`PageCache.reclaim`).

extension SafetyRule {
    public static var recheckEntryAfterLockedPin: SafetyRule {
        SafetyRule(
            name: "recheckEntryAfterLockedPin",
            demand: "After the pins were taken under the lock for reading, the leaf still is what it was.",
            history:
                "A page was copied on a write, given up by its file and used again, and then pinned (found by exploration)."
        )
    }
}

extension LiveSpace {
    /// Pins all pages of a range, mapping those that a region says are to be there.
    ///
    /// - Parameters:
    ///   - range: Of whole pages.
    ///   - longTerm: Whether the pins may be kept for as long as somebody likes: what is written through one may then come
    ///     long after its page was written back.
    ///   - pins: What is pinned is appended; nothing, if the call fails.
    /// - Throws: `.notMapped`, `.accessDenied`, `.notPinnable`, `.notLongTermPinnable`, `.beyondEnd`, `.unreadable` with
    ///   the first such address; `.outOfMemory`; `.invalidRange`.
    /// - Precondition: The caller is in no section and holds no lock.
    public func pin<Memory: SharedMemory>(
        _ range: VirtualRange, for access: PageAccess, longTerm: Bool = false, in memory: borrowing Memory,
        into pins: inout [Pin]
    ) throws(SpaceError<Memory.Failure>) {
        guard (range.first.rawValue | ~range.last.rawValue) & (format.pageBytes &- 1) == 0,
            format.covers(range, topLevel: format.topLevels.upperBound)
        else { throw .refused(.invalidRange(range)) }
        var taken: [Pin] = []
        let memory = copy memory
        try SpaceError.throwing { () throws(Memory.Failure) in
            try pin(range, access, longTerm, in: memory, &taken)
        }
        pins += taken
    }

    private func pin<Memory: SharedMemory>(
        _ range: VirtualRange, _ access: PageAccess, _ longTerm: Bool, in memory: borrowing Memory, _ pins: inout [Pin]
    ) throws(Memory.Failure) -> Refusal? {
        let rest = try memory.withInterruptsBlocked { (section) throws(Memory.Failure) in
            try pinFast(range, for: access, longTerm: longTerm, in: section, into: &pins)
        }
        guard let rest else { return nil }
        let refusal = try memory.withReadLock(words.lock) { (lock) throws(Memory.Failure) in
            try pinLocked(VirtualRange(first: rest, last: range.last), access, longTerm, lock, &pins)
        }
        if refusal != nil {
            for pin in pins { try unpin(pin, in: memory) }
            pins = []
        }
        return refusal
    }

    private func pinLocked<Memory: SharedMemory>(
        _ range: VirtualRange, _ access: PageAccess, _ longTerm: Bool, _ lock: borrowing ReadLockHeld<Memory>,
        _ pins: inout [Pin]
    ) throws(Memory.Failure) -> Refusal? {
        var address = range.first
        while true {
            // Of a file, and to be looked at more closely.
            var region: (region: Region, view: FileView)?
            if longTerm, let found = regions.region(at: address), case .file(let view) = found.content {
                if access == .write, view.sharing == .shared, view.file.kind == .file {
                    return .notLongTermPinnable(address)
                }
                if access == .read, view.sharing == .private { region = (found, view) }
            }
            if let found = try leaf(of: address, lock), allows(access, found) {
                if let (region, view) = region, try pageOfFile(found.entry, view, in: lock.memory) != nil,
                    lock.memory.enforces(.unshareBeforeLongTermPin)
                {
                    let refusal = try makeWritable(
                        found.entry, at: found.place, of: found.table, address, region, view, in: lock.memory)
                    if let refusal { return refusal }
                    continue
                }
                let end = format.last(of: found.entry, at: found.level, from: address, limit: range.last)
                let physical = format.physical(of: found.entry, at: found.level, for: address)
                let pages = pageCount(address, end)
                guard let frame = map.frame(of: physical) else { return .notPinnable(address) }
                let head = try references.takePins(pages, on: frame, in: lock.memory)
                var isStill = true
                if lock.memory.enforces(.recheckEntryAfterLockedPin) {
                    isStill = try self.isStill(LoadedEntry(value: found.entry, place: found.place), in: lock.memory)
                }
                guard isStill else {
                    if let head { try references.unpin(pages, on: head, in: lock.memory) }
                    continue
                }
                guard let head else { return .notPinnable(address) }
                pins.append(makePin(frame, pages, head))
                if end == range.last { return nil }
                address = VirtualAddress(end.rawValue + 1)
            } else if let refusal = try fault(address, .access(access), lock) {
                return refusal
            }
        }
    }

    /// The leaf of an address, with the space's lock held for reading; `nil` if there is none.
    ///
    /// The section keeps an empty leaf table; one in which a leaf is found stays anyway.
    func leaf<Memory: SharedMemory>(
        of address: VirtualAddress, _ lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> FoundLeaf? {
        let root = try Structure.loadRoot(words, lock.memory)
        guard format.covers(address, topLevel: root.topLevel) else { return nil }
        return try lock.memory.withRCUReader { (section) throws(Memory.Failure) in
            try leaf(of: address, cameFrom: address, root, in: section)
        }
    }
}
