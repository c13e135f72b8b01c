import PageTables
import TableMemory

// Which translations of a space are void, for processors that keep some.
//
// Whoever has changed entries:
//   1. writes their range into the log, under the log's lock: the slot of the next number first, then the number;
//                                                                                              [writeRangeBeforeNumber]
//   2. interrupts the processors that keep translations of the space, and waits until each has taken the interrupt.
//                                                                                                        [interruptKeepers]
// A processor uses what it keeps with interrupts blocked. When it has blocked them, it looks into the log:  [lookAtFlushLog]
//   1. It loads the number. If that is the one it knows, nothing was flushed since.
//   2. It forgets the ranges since then, and loads the number again: if a slot may have been written meanwhile, or there
//      were more ranges than slots, it forgets everything.                                [recheckNumberAfterRanges]
//
// An interrupt is taken at the end of a section at the latest, and a section that begins after it was sent sees the number. So
// after step 2 of the flush no processor uses what it kept of the range.

extension SafetyRule {
    @inlinable
    public static var interruptKeepers: SafetyRule {
        SafetyRule(
            name: "interruptKeepers",
            demand: "A flush is over when every processor that keeps translations has been interrupted.",
            history: "A flush by hypercall did not wait for who was using a page at that moment (Linux under Xen).")
    }

    @inlinable
    public static var writeRangeBeforeNumber: SafetyRule {
        SafetyRule(
            name: "writeRangeBeforeNumber",
            demand: "The log of flushes counts a range when the range is in it.",
            history:
                "A processor that looked in between took for the range what its slot had before, and kept the page.")
    }

    @inlinable
    public static var recheckNumberAfterRanges: SafetyRule {
        SafetyRule(
            name: "recheckNumberAfterRanges",
            demand: "Ranges count as read from the log if no slot was used again before they were.",
            history: "Two flushes while a processor read a log that was almost full: it never saw the oldest range.")
    }

    @inlinable
    public static var lookAtFlushLog: SafetyRule {
        SafetyRule(
            name: "lookAtFlushLog",
            demand: "A processor forgets what was flushed before it uses anything that it keeps.",
            history:
                "A processor that skipped a flush while it was idle came back with old translations (Linux, lazy TLB).")
    }
}

/// The ranges of a space that were flushed last, in words.
public struct FlushLog: Hashable, Sendable {
    @usableFromInline
    let lock: TicketLock
    @usableFromInline
    let address: PhysicalAddress

    @inlinable
    init(lock: TicketLock, at address: PhysicalAddress) {
        self.lock = lock
        self.address = address
    }

    @inlinable
    static var slotCount: UInt64 { 8 }

    /// How many ranges were ever written.
    @inlinable
    var number: Word<UInt64> { Word(aligned: address) }

    /// First and last address of a range.
    @inlinable
    func slot(_ number: UInt64) -> (first: Word<UInt64>, last: Word<UInt64>) {
        let place = address.rawValue &+ 8 &+ number % Self.slotCount &* 16
        return (Word(aligned: PhysicalAddress(place)), Word(aligned: PhysicalAddress(place &+ 8)))
    }

    @inlinable
    func append<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        let memory = copy memory
        try memory.withLock(lock) { (_) throws(Memory.Failure) in
            let slot = slot(try memory.load(number, .relaxed))
            var isWritten = false
            if memory.enforces(.writeRangeBeforeNumber) {
                try write(range, to: slot, in: memory)
                isWritten = true
            }
            _ = try memory.add(1, to: number, .full)
            if !isWritten { try write(range, to: slot, in: memory) }
        }
    }

    @inlinable
    func write<Memory: SharedMemory>(
        _ range: VirtualRange, to slot: (first: Word<UInt64>, last: Word<UInt64>), in memory: borrowing Memory
    ) throws(Memory.Failure) {
        // Releasing: who sees the range sees the number that was there before it.
        try memory.store(range.first.rawValue, to: slot.first, .release)
        try memory.store(range.last.rawValue, to: slot.last, .release)
    }

    /// Hands over what was flushed since the log had `known` ranges: each range, or `nil` for everything.
    ///
    /// - Parameter now: How many ranges it has.
    @usableFromInline
    func read<Memory: SharedMemory>(
        _ known: inout UInt64, _ now: UInt64, in memory: borrowing Memory, forget: (VirtualRange?) -> Void
    ) throws(Memory.Failure) {
        let oldest = known
        known = now
        // The slot of the oldest range is the first to be used again.
        guard now &- oldest < Self.slotCount else { return forget(nil) }
        for number in oldest..<now {
            let slot = slot(number)
            let first = try memory.load(slot.first, .acquire)
            let last = try memory.load(slot.last, .acquire)
            guard first <= last else { return forget(nil) }
            forget(VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last)))
        }
        if memory.enforces(.recheckNumberAfterRanges), try memory.load(number, .acquire) &- oldest >= Self.slotCount {
            forget(nil)
        }
    }
}
