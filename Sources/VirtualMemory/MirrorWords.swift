import PageTables
import TableMemory

// The words of a device mirror that several threads look at:
//
// | offset | word      | written by                                                                        |
// |--------|-----------|-----------------------------------------------------------------------------------|
// | 0      | lock      | whoever programs the device, and whoever begins an invalidation                   |
// | 8      | sequence  | invalidations in progress (bits 0-31), and how many ever began (bits 32-63)       |
//
// Who wants to program a device with what a space translates:
//   1. waits until no invalidation is in progress, and notes how many have begun;                  [waitForInvalidations]
//   2. looks at the space;                                                                  [readSequenceBeforeFault]
//   3. takes the mirror's lock, and programs the device if no other has begun since.   [recheckSequenceUnderMirrorLock]
//
// Who begins an invalidation counts it and makes the device forget with that lock held: either step 3 sees the count, or the
// device forgets what step 3 has told it.                                                        [forgetUnderMirrorLock]
//
// A reading that is 2^32 invalidations old would be taken for a new one.

extension SafetyRule {
    @inlinable
    public static var waitForInvalidations: SafetyRule {
        SafetyRule(
            name: "waitForInvalidations",
            demand: "A space is looked at for a device when no invalidation is in progress that began before.",
            history: "The entry is still there while its end is announced (Linux, mmu_interval_read_begin).")
    }

    @inlinable
    public static var forgetUnderMirrorLock: SafetyRule {
        SafetyRule(
            name: "forgetUnderMirrorLock",
            demand: "An invalidation is counted, and the device forgets, with the lock under which it is programmed.",
            history:
                "A test is worth nothing without the lock that the notifier takes as well (Linux, mmu_interval_read_retry)."
        )
    }
}

/// Where the words of one device mirror are.
public struct MirrorWords: Hashable, Sendable {
    @usableFromInline
    let address: PhysicalAddress

    /// - Parameter address: `byteCount` bytes of bookkeeping, zero, aligned to 64.
    @inlinable
    public init(at address: PhysicalAddress) {
        precondition(address.rawValue % 64 == 0, "the words of a mirror are aligned to 64 bytes")
        self.address = address
    }

    @inlinable
    public static var byteCount: UInt64 { 64 }

    /// All words of the mirror.
    public var range: PhysicalRange {
        PhysicalRange(first: address, last: PhysicalAddress(address.rawValue + (Self.byteCount - 1)))
    }

    @inlinable
    public var lock: TicketLock { TicketLock(at: address) }
    @inlinable
    public var sequence: Word<UInt64> { Word(aligned: PhysicalAddress(address.rawValue &+ 8)) }

    static var inProgress: UInt64 { 0xffff_ffff }
    static var begun: UInt64 { 1 << 32 }

    /// Step 1.
    ///
    /// - Precondition: The caller is in no section, and has neither the mirror's lock nor, for writing, that of a
    ///   space that is mirrored.
    public func beginReading<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> MirrorReading
    {
        MirrorReading(words: self, number: try numberOfReading(memory) >> 32)
    }

    private func numberOfReading<Memory: SharedMemory>(_ memory: borrowing Memory) throws(Memory.Failure) -> UInt64 {
        if memory.enforces(.waitForInvalidations) {
            return try memory.wait(for: sequence) { $0 & Self.inProgress == 0 }
        }
        return try memory.load(sequence, .acquire)
    }

    /// An invalidation begins, and `forget` ends what the device makes of it.
    func begin<Memory: SharedMemory>(
        in memory: borrowing Memory, _ forget: () throws(Memory.Failure) -> Void
    ) throws(Memory.Failure) {
        let memory = copy memory
        try memory.withLock(lock, holds: memory.enforces(.forgetUnderMirrorLock)) { () throws(Memory.Failure) in
            _ = try memory.add(Self.begun + 1, to: sequence, .full)
            try forget()
        }
    }

    func end<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        _ = try memory.add(0 &- 1, to: sequence, .full)
    }
}

/// A time from which on somebody looks at a space for a device.
public struct MirrorReading: Hashable, Sendable {
    let words: MirrorWords
    let number: UInt64

    /// Whether an invalidation has begun since: what was seen of the space may be void. With the mirror's lock held, none begins
    /// until the lock is released.
    public func isStale<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> Bool {
        try memory.load(words.sequence, .acquire) >> 32 != number
    }
}
