import CHostAtomics
import TableMemory

// Read sections and grace periods, by epochs.
//
// Words, all of 64 bits: one `epoch`, from 1 upward, of all; and in the slot of each processor one word for each kind of section:
// 0 outside of sections, otherwise the epoch at which the outermost one began. Only its processor writes it.
//
//     reader (ProcessorSlot)                      freeing side (this file)
//     R1  e = epoch                  acquire      W1  make it unreachable
//     R2  word = e                   release      W2  e = epoch += 1            full
//     R3  barrier: compiler only                  W3  membarrier: a full barrier in every running thread
//     R4  load entries …                          W4  for each attached processor: wait until word == 0
//     R5  word = 0                   release          or word >= e              acquire
//                                                 W5  free it
//
// Within its run of the program, a reader passes W3's barrier at some point.
//
// - Before R2: then R4 is behind the barrier, and sees W1. R3 keeps the compiler from moving R4 before R2; without it there
//   would be no such point.
// - After R2: then W4 sees the section's word, and waits until R5. R4 is complete before W5, because W4 acquires what R5
//   released.
// - A word >= e is of a section that read the epoch after W2, and R1 acquires W1 with it: without the acquire, a processor that
//   loads out of order could have loaded an entry before the epoch, and nobody would wait for it. R2 releases, so that W4,
//   when it sees the word, has everything of the processor's earlier sections behind it too.
// - Without W3 the store of R2 may still be in the processor's store buffer when R4 loads: W4 sees 0, W5 frees, R4 has
//   the entry from before W1. That was measured: uses after free within seconds.
//
// Where the system has no membarrier, R3 and W3 are full fences: of R2 before R4 and W2 before W4, one at least is seen.
//
// A processor attaches by setting its bit in `attached` before its first section, and R2 comes after that in its program: where W4
// does not see the bit, W3's barrier came before the sections did.
//
// Two kinds of sections have a word each. An interrupt waits for the one kind, on chosen processors; a grace period for both, on
// all. A section may begin and end within another one of either kind; only the outermost of its kind touches the word.

/// What orders a section's beginning before its loads.
public enum SectionBarriers: Sendable {
    /// Nothing in the section: who waits interrupts all threads with `membarrier`. Linux.
    case asymmetric
    /// A full fence at the beginning of each section.
    case fences
}

/// The at most 64 processors of an arena, and what they wait for one another with.
///
/// A thread becomes a processor by `attach()`, and has a number and a view of the memory of its own until `detach()`.
public final class HostProcessors: @unchecked Sendable {
    // Unchecked because of the pointers. What they point to lives as long as the object and is shared by atomic accesses,
    // but for the parts of a slot that belong to the thread that has it.

    public let arena: HostArena
    public let failures: FailurePolicy
    /// What is in use: fences where asymmetric barriers were asked for and the system has none.
    public let barriers: SectionBarriers
    let shared: SharedState

    /// - Parameter poison: What objects are filled with when their lives end, so that whoever still looks at one, or writes to
    ///   it, is found out. Memory that becomes an object must hold nothing else then: fill it first.
    public init(
        arena: HostArena, failures: FailurePolicy = .never, barriers: SectionBarriers = .asymmetric,
        poison: UInt64? = nil
    ) {
        self.arena = arena
        self.failures = failures
        self.barriers = barriers == .asymmetric && Self.hasMembarrier ? .asymmetric : .fences
        shared = SharedState(allocatedFor: arena, usesFences: self.barriers == .fences, poison: poison)
        shared.owner = .passUnretained(self)
    }

    deinit { shared.deallocate() }

    /// A process registers once.
    private static let hasMembarrier = host_membarrier_register()

    /// Makes the calling thread a processor, with the least number that is free.
    ///
    /// The memory is the thread's alone. The processors and the arena live until it is detached.
    /// - Precondition: Less than 64 are attached.
    public func attach() -> HostMemory {
        while true {
            let attached = host_load_relaxed64(shared.attached)
            guard attached != .max else { fatalError("a memory has at most 64 processors, and all are attached") }
            let number = (~attached).trailingZeroBitCount
            var seen = attached
            if host_compare_exchange64(shared.attached, &seen, attached | 1 &<< UInt64(number), host_full) {
                let slot = shared.slot(number)
                slot.reset(number)
                _ = shared.owner.retain()
                return HostMemory(base: arena.base, shared: shared, slot: slot)
            }
        }
    }

    /// Runs `body` with the calling thread as a processor.
    public func withProcessor<Result, Problem: Error>(
        _ body: (HostMemory) throws(Problem) -> Result
    ) throws(Problem) -> Result {
        let memory = attach()
        defer { memory.detach() }
        return try body(memory)
    }

    /// The processors that are attached just now.
    public var attached: ProcessorSet { ProcessorSet(rawValue: host_load_acquire64(shared.attached)) }

    /// W2 and W3: sections that begin from here on see what was done before. Returns the epoch of those.
    func advance() -> UInt64 {
        let epoch = host_add64(shared.epoch, 1, host_full) &+ 1
        switch barriers {
        case .asymmetric:
            // The kernel may be short of memory for a moment. It knows the command, or registration had failed.
            while !host_membarrier() { yieldProcessor() }
        case .fences:
            host_fence_full()
        }
        return epoch
    }

    /// W4 for one kind of section.
    func waitForSections(_ kind: SectionKind, of processors: ProcessorSet, before epoch: UInt64) {
        forEachAttached(in: processors) { slot in
            var backoff = Backoff()
            while !slot.isOutside(kind, before: epoch) { backoff.pause() }
            return true
        }
    }

    /// Whether W4 would not wait.
    func sectionsAreOver(before epoch: UInt64) -> Bool {
        forEachAttached(in: .all) { slot in
            slot.isOutside(.interruptsBlocked, before: epoch) && slot.isOutside(.reader, before: epoch)
        }
    }

    /// - Returns: Whether `body` returned true for all; the first false ends it.
    @discardableResult
    private func forEachAttached(in processors: ProcessorSet, _ body: (ProcessorSlot) -> Bool) -> Bool {
        var left = host_load_acquire64(shared.attached) & processors.rawValue
        while left != 0 {
            guard body(shared.slot(left.trailingZeroBitCount)) else { return false }
            left &= left &- 1
        }
        return true
    }

    func detach(_ slot: ProcessorSlot) {
        _ = host_update64(shared.attached, 1 &<< UInt64(slot.number), 0, host_full)
    }
}
