import CMeasure
import Foundation
import HostMemory
import Synchronization

/// One thing done in two ways by one or more threads, in turns, in one run.
struct Contest {
    enum Clock {
        /// From when the first thread starts until the last one is done.
        case wall
        /// The processor time of the threads: where one of the ways waits for a disk.
        case processor
    }

    /// Work of one thread. What it returns says how much was done.
    typealias Work = @Sendable (_ thread: Int, HostMemory) -> UInt64

    let name: String
    let unit: String
    /// Units of work in one run of all threads, by which the time is divided.
    let count: Int
    var threads = 1
    var clock = Clock.wall
    /// What all threads together return.
    let answer: UInt64
    /// Before each turn of one of the ways; not measured.
    var prepare: (_ isOurs: Bool) throws -> Void = { _ in }
    let ours: Work
    let other: Work
}

/// What each of two ways took, or needed.
struct ContestResult {
    let name: String
    let unit: String
    let ours: Double
    let other: Double
    let repetitions: Int

    var ratio: Double { ours / other }
}

extension Contest {
    /// - Returns: The least of many runs of each, in nanoseconds a unit.
    /// - Throws: `Disagreement` where one has not done what it should.
    func run(on processors: HostProcessors, repetitions: Int) throws -> ContestResult {
        var (leastOurs, leastOther) = (UInt64.max, UInt64.max)
        // The first round warms caches and is not counted.
        for round in 0...repetitions {
            try prepare(false)
            let their = turn(other, on: processors)
            try prepare(true)
            let our = turn(ours, on: processors)
            guard their.answer == answer, our.answer == answer else { throw Disagreement(name: name) }
            if round > 0 {
                leastOther = min(leastOther, their.nanoseconds)
                leastOurs = min(leastOurs, our.nanoseconds)
            }
        }
        return ContestResult(
            name: name, unit: unit, ours: Double(leastOurs) / Double(count), other: Double(leastOther) / Double(count),
            repetitions: repetitions)
    }

    private func turn(_ work: @escaping Work, on processors: HostProcessors) -> (nanoseconds: UInt64, answer: UInt64) {
        let stopwatch = Stopwatch(threads: threads)
        let ends = DispatchSemaphore(value: 0)
        for thread in 0..<threads {
            Thread.detachNewThread {
                processors.withProcessor { memory in stopwatch.measure { work(thread, memory) } }
                ends.signal()
            }
        }
        for _ in 0..<threads { ends.wait() }
        return stopwatch.turns.withLock { turns in
            let answer = turns.reduce(0) { $0 &+ $1.answer }
            switch clock {
            case .processor: return (turns.reduce(0) { $0 &+ $1.processor }, answer)
            case .wall:
                let start = turns.map(\.start).min() ?? 0
                return ((turns.map(\.end).max() ?? 0) - start, answer)
            }
        }
    }
}

/// When threads that begin together begin and end.
private final class Stopwatch: @unchecked Sendable {
    // Unchecked because of the pointer; what it points to is accessed atomically.

    struct Turn {
        let start: UInt64
        let end: UInt64
        let processor: UInt64
        let answer: UInt64
    }

    let turns = Mutex<[Turn]>([])
    private let threads: Int
    private let arrived: UnsafeMutablePointer<UInt32>

    init(threads: Int) {
        self.threads = threads
        arrived = .allocate(capacity: 1)
        arrived.initialize(to: 0)
    }

    deinit { arrived.deallocate() }

    func measure(_ body: () -> UInt64) {
        measure_meet(arrived, UInt32(threads))
        let used = measure_thread_nanoseconds()
        let start = measure_nanoseconds()
        let answer = body()
        let end = measure_nanoseconds()
        let turn = Turn(start: start, end: end, processor: measure_thread_nanoseconds() - used, answer: answer)
        turns.withLock { $0.append(turn) }
    }
}
