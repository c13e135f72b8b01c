import PageTables
import TableMemory

// Pinning pages, whatever it takes: first without a lock; what is left, with the space's lock held for reading.
//
// Under that lock no page is unmapped, so a leaf that is found keeps its frame alive, and the pins need no second look. A
// page that is not mapped, or not with the rights that are asked for, is a fault.

extension LiveSpace {
    /// Pins all pages of a range, mapping those that a region says are to be there.
    ///
    /// - Parameters:
    ///   - range: Of whole pages.
    ///   - pins: What is pinned is appended; nothing, if the call fails.
    /// - Throws: `.notMapped`, `.accessDenied`, `.notPinnable` with the first such address; `.outOfMemory`;
    ///   `.invalidRange`.
    /// - Precondition: The caller is in no section and holds no lock.
    public func pin<Memory: SharedMemory>(
        _ range: VirtualRange, for access: PageAccess, in memory: borrowing Memory, into pins: inout [Pin]
    ) throws(SpaceError<Memory.Failure>) {
        guard (range.first.rawValue | ~range.last.rawValue) & (format.pageBytes &- 1) == 0,
            format.covers(range, topLevel: format.topLevels.upperBound)
        else { throw .refused(.invalidRange(range)) }
        var taken: [Pin] = []
        let refusal: Refusal?
        do throws(Memory.Failure) { refusal = try pin(range, access, in: memory, &taken) } catch {
            throw .memory(error)
        }
        if let refusal { throw .refused(refusal) }
        pins += taken
    }

    private func pin<Memory: SharedMemory>(
        _ range: VirtualRange, _ access: PageAccess, in memory: borrowing Memory, _ pins: inout [Pin]
    ) throws(Memory.Failure) -> Refusal? {
        let rest = try memory.withInterruptsBlocked { (section) throws(Memory.Failure) in
            try pinFast(range, for: access, in: section, into: &pins)
        }
        guard let rest else { return nil }
        let refusal = try memory.withReadLock(words.lock) { (lock) throws(Memory.Failure) in
            try pinLocked(VirtualRange(first: rest, last: range.last), access, lock, &pins)
        }
        if refusal != nil {
            for pin in pins { try unpin(pin, in: memory) }
            pins = []
        }
        return refusal
    }

    private func pinLocked<Memory: SharedMemory>(
        _ range: VirtualRange, _ access: PageAccess, _ lock: borrowing ReadLockHeld<Memory>, _ pins: inout [Pin]
    ) throws(Memory.Failure) -> Refusal? {
        var address = range.first
        while true {
            let root = try Structure.loadRoot(words, lock.memory)
            let isCovered = format.covers(VirtualRange(first: address, last: address), topLevel: root.topLevel)
            // The section keeps an empty leaf table; one in which a leaf is found stays anyway.
            let found = try lock.memory.withRCUReader { (section) throws(Memory.Failure) -> FoundLeaf? in
                isCovered ? try leaf(of: address, cameFrom: address, root, in: section) : nil
            }
            if let found, allows(access, found) {
                let end = format.last(of: found.entry, at: found.level, from: address, limit: range.last)
                let physical = format.physical(of: found.entry, at: found.level, for: address)
                let bytes = end.rawValue - address.rawValue
                let pages = UInt32(truncatingIfNeeded: bytes >> UInt64(format.log2FrameBytes)) + 1
                guard let frame = map.frame(of: physical),
                    let head = try references.takePins(pages, on: frame, in: lock.memory)
                else { return .notPinnable(address) }
                let last = PhysicalAddress(physical.rawValue + bytes)
                pins.append(Pin(range: PhysicalRange(first: physical, last: last), head: head, pages: pages))
                if end == range.last { return nil }
                address = VirtualAddress(end.rawValue + 1)
            } else if let refusal = try fault(address, access, atMost: PageSize(log2Bytes: 63), lock) {
                return refusal
            }
        }
    }
}
