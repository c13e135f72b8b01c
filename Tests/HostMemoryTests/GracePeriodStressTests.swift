import HostMemory
import PageTables
import TableMemory
import Testing

/// Pages that one thread replaces and poisons while others read them.
///
/// A protocol that does not wait is found in every build. One without a barrier is found in optimised builds only
/// (`swift test -c release`): the other code of a debug build leaves the store buffer the time to drain.
@Suite("Readers against a freeing thread", .serialized)
struct GracePeriodStressTests {
    enum Waiting: CaseIterable, CustomTestStringConvertible {
        case interrupt
        case synchronize
        case poll

        var testDescription: String { "\(self)" }
    }

    /// The address of the page that readers are to use.
    private static let current = word64(0)
    private static let isOver = word64(128)
    private static let poison: UInt64 = 0xdead_dead_dead_dead
    private static let pageBytes: UInt64 = 4096

    /// Words in cache lines that both sides write to.
    private static func contended(_ line: UInt64) -> Word<UInt64> { word64(pageBytes * 8 + line * 64) }

    /// Reads until the freeing thread is done; returns the number of poisoned words that it met.
    private static func read(in memory: HostMemory, blocking: Bool) -> Int {
        func look() -> Int {
            let page = memory.load(current, .acquire)
            // Time for the freeing thread, should it not wait.
            for line in 0..<32 as Range<UInt64> { _ = memory.load(contended(line % 8), .relaxed) }
            var poisoned = 0
            for offset in stride(from: 0, to: pageBytes, by: 1024) {
                if memory.load(word64(page + offset), .relaxed) == poison { poisoned += 1 }
            }
            return poisoned
        }
        var poisoned = 0
        while memory.load(isOver, .relaxed) == 0 {
            // The store that begins the section waits behind these in the store buffer, and its load does not.
            for line in 0..<8 as Range<UInt64> { memory.store(1, to: contended(line), .relaxed) }
            poisoned += blocking ? memory.withInterruptsBlocked { _ in look() } : memory.withRCUReader { _ in look() }
        }
        return poisoned
    }

    private static func replacePages(_ count: UInt64, in memory: HostMemory, _ waiting: Waiting) {
        for round in 1...count {
            let (old, new) = (pageBytes * (1 + (round - 1) % 3), pageBytes * (1 + round % 3))
            memory.fill(range(new, bytes: pageBytes), with: round)
            for line in 0..<8 as Range<UInt64> { memory.store(2, to: contended(line), .relaxed) }
            memory.store(new, to: current, .release)
            switch waiting {
            case .interrupt: memory.interrupt(.all)
            case .synchronize: memory.synchronize()
            case .poll:
                let period = memory.startGracePeriod()
                while !memory.isOver(period) {}
            }
            memory.fill(range(old, bytes: pageBytes), with: poison)
        }
        memory.store(1, to: isOver, .release)
    }

    @Test(arguments: SectionTests.allBarriers, Waiting.allCases)
    func `a reader inside a section never sees a page that was freed`(
        barriers: SectionBarriers, waiting: Waiting
    ) throws {
        for blocking in waiting == .interrupt ? [true] : [true, false] {
            let processors = try makeProcessors(barriers: barriers)
            processors.withProcessor { $0.store(Self.pageBytes, to: Self.current, .relaxed) }
            processors.run(threads: 3) { number, memory in
                if number == 0 {
                    Self.replacePages(2000, in: memory, waiting)
                } else {
                    #expect(Self.read(in: memory, blocking: blocking) == 0)
                }
            }
        }
    }
}
