import PageTables
import TableMemory

// What a device makes of a space (after Linux's mmu_interval_notifier, v6.19). The device has tables of its own, which it uses at
// any time and without asking; the driver fills them, and the space says when they are wrong.
//
// The driver:                                                                                    (`LiveSpace.program`)
//   1. Begins a reading: `MirrorWords`.                              [waitForInvalidations, readSequenceBeforeFault]
//   2. With the space's lock held for reading, looks at the range and maps what is wanted (`LiveSpace+RangeFault`).
//   3. Releases that lock: devices are slow, and the space is not to wait for them.
//   4. With the mirror's lock held: if an invalidation has begun since step 1, starts again; else programs the device.
//                                                                                     [recheckSequenceUnderMirrorLock]
//
// The space, before it changes entries (`Invalidation`): counts, and makes the device forget, with the mirror's lock held.
//
// Lock order: space, mirror, and what the device has. Nobody waits for a space with the mirror's lock held.

extension SafetyRule {
    @inlinable
    public static var readSequenceBeforeFault: SafetyRule {
        SafetyRule(
            name: "readSequenceBeforeFault",
            demand: "A reading for a device begins before its space is looked at.",
            history: "An invalidation between the look and the number that is compared later goes unnoticed.")
    }

    @inlinable
    public static var recheckSequenceUnderMirrorLock: SafetyRule {
        SafetyRule(
            name: "recheckSequenceUnderMirrorLock",
            demand:
                "A device is programmed if, under the mirror's lock, no invalidation has begun since the reading did.",
            history:
                "A flag said that a range was valid; a whole invalidation had come and gone (Linux 5.4, hmm_mirror)."
        )
    }
}

/// The tables of a device, as its driver sees them.
public protocol MirroredDevice: AnyObject, Sendable {
    /// The device uses nothing of a range when this returns. With the mirror's lock held.
    ///
    /// Waits for the device, and for nobody who waits for a lock of a space.
    func forget<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure)

    /// What the device is to use from now on: pages from an address on, in order. With the mirror's lock held.
    func program<Memory: SharedMemory>(
        _ pages: [RangePage], from address: VirtualAddress, in memory: borrowing Memory
    ) throws(Memory.Failure)
}

/// A range of a space that a device uses. To be added to the space (`LiveSpace.add`) before it is programmed.
public final class DeviceMirror<Device: MirroredDevice>: InvalidationObserver {
    public let range: VirtualRange
    public let words: MirrorWords
    public let device: Device

    /// - Parameter words: `MirrorWords.byteCount` bytes of bookkeeping, zero.
    public init(_ range: VirtualRange, of device: Device, words: MirrorWords) {
        self.range = range
        self.words = words
        self.device = device
    }

    public func beginInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let memory = copy memory
        try words.begin(in: memory) { () throws(Memory.Failure) in try device.forget(range, in: memory) }
    }

    public func endInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) { try words.end(in: memory) }
}

extension LiveSpace {
    /// Makes a device use what a space has at a range, with faults for what is wanted and not there.
    ///
    /// When this returns, the device may have had to forget some of it already: it asks again where it finds nothing.
    ///
    /// - Throws: What is refused of a page that is wanted; nothing is programmed then.
    /// - Precondition: The mirror was added to the space, and has the whole range. The caller is in no section and holds no
    ///   lock.
    /// - Complexity: As `faultRange`, once more for each invalidation of the mirror that begins meanwhile.
    public func program<Device: MirroredDevice, Memory: SharedMemory>(
        _ mirror: DeviceMirror<Device>, _ request: RangeRequest, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        precondition(
            mirror.range.intersection(request.range) == request.range, "a device is programmed inside of its mirror")
        let memory = copy memory
        try SpaceError.throwing { () throws(Memory.Failure) in
            while true {
                if let outcome = try programOnce(mirror, request, in: memory) { return outcome.refusal }
            }
        }
    }

    /// - Returns: `nil` if it was in vain.
    private func programOnce<Device: MirroredDevice, Memory: SharedMemory>(
        _ mirror: DeviceMirror<Device>, _ request: RangeRequest, in memory: Memory
    ) throws(Memory.Failure) -> ProgramOutcome? {
        var begun: MirrorReading?
        if memory.enforces(.readSequenceBeforeFault) { begun = try mirror.words.beginReading(in: memory) }
        let answer = try memory.withReadLock(words.lock) { (lock) throws(Memory.Failure) in
            try faultRange(request, validSince: begun, lock: lock)
        }
        switch answer.end {
        case .stale: return nil
        case .refused(let refusal): return ProgramOutcome(refusal: refusal)
        case .complete: break
        }
        let reading: MirrorReading
        if let begun { reading = begun } else { reading = try mirror.words.beginReading(in: memory) }
        return try memory.withLock(mirror.words.lock) { (_) throws(Memory.Failure) in
            if memory.enforces(.recheckSequenceUnderMirrorLock), try reading.isStale(in: memory) { return nil }
            try mirror.device.program(answer.pages, from: request.range.first, in: memory)
            return ProgramOutcome(refusal: nil)
        }
    }
}

private struct ProgramOutcome {
    let refusal: Refusal?
}
