import CHostAtomics
import TableMemory

// The words of the protocol that `HostProcessors` opens with, in one piece of memory outside of Swift's objects: an access to a
// property of a class would be checked for exclusivity, and a reference counted.

/// The two kinds of read sections.
@usableFromInline
enum SectionKind: Int {
    case interruptsBlocked
    case reader
}

/// The words that all processors share, and behind them the slots.
@usableFromInline
struct SharedState {
    @usableFromInline
    let words: UnsafeMutablePointer<UInt64>

    @inlinable
    init(words: UnsafeMutablePointer<UInt64>) { self.words = words }

    /// Two cache lines, because some processors fetch them in pairs.
    @inlinable
    static var wordsPerSlot: Int { 16 }

    init(allocatedFor arena: HostArena, usesFences: Bool, poison: UInt64?) {
        // The first two pieces are the shared words: what readers load, and what only attaching and waiting threads do.
        let bytes = (2 + 64) * Self.wordsPerSlot * 8
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: Self.wordsPerSlot * 8)
        words = memory.bindMemory(to: UInt64.self, capacity: bytes / 8)
        words.initialize(repeating: 0, count: bytes / 8)
        epoch.pointee = 1
        words[1] = usesFences ? 1 : 0
        words[2] = UInt64(arena.byteCount)
        words[3] = poison == nil ? 0 : 1
        words[4] = poison ?? 0
    }

    func deallocate() { words.deallocate() }

    @inlinable
    var epoch: UnsafeMutablePointer<UInt64> { words }
    @inlinable
    var usesFences: Bool { words[1] != 0 }
    /// Bytes of the arena.
    @inlinable
    var byteCount: UInt64 { words[2] }
    @inlinable
    var poisons: Bool { words[3] != 0 }
    var poison: UInt64 { words[4] }
    /// The processors that share the words. Found by way of them, so that what is copied into every witness is one word less.
    var owner: Unmanaged<HostProcessors> {
        get {
            guard let place = UnsafeRawPointer(bitPattern: UInt(words[5])) else {
                preconditionFailure("shared words belong to their processors from the beginning")
            }
            return .fromOpaque(place)
        }
        nonmutating set { words[5] = UInt64(UInt(bitPattern: newValue.toOpaque())) }
    }
    /// A bit for each processor.
    @inlinable
    var attached: UnsafeMutablePointer<UInt64> { words + Self.wordsPerSlot }

    func slot(_ number: Int) -> ProcessorSlot { ProcessorSlot(words: words + (2 + number) * Self.wordsPerSlot) }
}

/// What belongs to one processor. Others only load its section words.
@usableFromInline
struct ProcessorSlot {
    @usableFromInline
    let words: UnsafeMutablePointer<UInt64>

    @inlinable
    init(words: UnsafeMutablePointer<UInt64>) { self.words = words }

    @inlinable
    func section(_ kind: SectionKind) -> UnsafeMutablePointer<UInt64> { words + kind.rawValue }
    /// Sections within the outermost one. A counter of its own and not a part of the section's word: entering and leaving
    /// then only test what they load, and a loop of them is not a chain of loads that wait for stores.
    @inlinable
    func nested(_ kind: SectionKind) -> UnsafeMutablePointer<UInt64> { words + 2 + kind.rawValue }
    @inlinable
    var number: Int { Int(truncatingIfNeeded: words[4]) }
    /// Allocations that a failure policy has counted.
    var allocations: UnsafeMutablePointer<UInt64> { words + 5 }

    /// Events of one kind that the processor has counted since it was attached.
    @inlinable
    @inline(__always)
    func events(_ event: SpaceEvent) -> UnsafeMutablePointer<UInt64> {
        // Written out, because a constant event is then a constant place.
        switch event {
        case .retreat: words + 6
        case .tableFreed: words + 7
        case .growth: words + 8
        case .split: words + 9
        case .fault: words + 10
        }
    }

    func reset(_ number: Int) {
        words[4] = UInt64(number)
        allocations.pointee = 0
        for event in SpaceEvent.allCases { events(event).pointee = 0 }
    }

    /// R1 to R3.
    @inlinable
    @inline(__always)
    func enter(_ kind: SectionKind, _ shared: SharedState) {
        if _fastPath(host_load_relaxed64(section(kind)) == 0) {
            host_store_release64(section(kind), host_load_acquire64(shared.epoch))
            if _fastPath(!shared.usesFences) { host_compiler_barrier() } else { host_fence_full() }
        } else {
            nested(kind).pointee &+= 1
        }
    }

    /// R5.
    @inlinable
    @inline(__always)
    func leave(_ kind: SectionKind) {
        if _fastPath(nested(kind).pointee == 0) {
            host_store_release64(section(kind), 0)
        } else {
            nested(kind).pointee &-= 1
        }
    }

    /// For its own processor.
    func isInside(_ kind: SectionKind) -> Bool { host_load_relaxed64(section(kind)) != 0 }

    /// Whether no section is left that began before `epoch`.
    func isOutside(_ kind: SectionKind, before epoch: UInt64) -> Bool {
        let began = host_load_acquire64(section(kind))
        return began == 0 || began >= epoch
    }
}
