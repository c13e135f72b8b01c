import Foundation
import HostMemory
import PageTables
import TableMemory
import Testing

/// An arena of one mebibyte and its processors.
func makeProcessors(
    failures: FailurePolicy = .never, barriers: SectionBarriers = .asymmetric
) throws -> HostProcessors {
    HostProcessors(arena: try HostArena(byteCount: 1 << 20), failures: failures, barriers: barriers)
}

func word64(_ address: UInt64) -> Word<UInt64> { Word(PhysicalAddress(address)) }
func word32(_ address: UInt64) -> Word<UInt32> { Word(PhysicalAddress(address)) }

func range(_ first: UInt64, bytes: UInt64) -> PhysicalRange {
    PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(first + bytes - 1))
}

extension HostProcessors {
    /// Threads that run at the same time, each as a processor of its own, to their ends. All are attached before any of them
    /// begins.
    func run(threads count: Int, _ body: @escaping @Sendable (Int, HostMemory) -> Void) {
        let (attached, begin, end) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        for number in 0..<count {
            let thread = Thread {
                self.withProcessor { memory in
                    attached.signal()
                    begin.wait()
                    body(number, memory)
                }
                end.signal()
            }
            thread.start()
        }
        for _ in 0..<count { attached.wait() }
        for _ in 0..<count { begin.signal() }
        for _ in 0..<count { end.wait() }
    }
}

/// Random numbers that a seed repeats (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

/// A seed of the test's own, or the one that a failure printed and `PAGEWALK_SEED` repeats.
func seed(or own: UInt64) -> UInt64 {
    ProcessInfo.processInfo.environment["PAGEWALK_SEED"].flatMap { UInt64($0) } ?? own
}
