/// SplitMix64: small, fast, and the same on every platform.
struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return mix(0, state)
    }

    /// A member of a set that is not empty.
    mutating func member(of set: UInt64) -> Int {
        var rest = set
        for _ in 0..<Int.random(in: 0..<set.nonzeroBitCount, using: &self) { rest &= rest &- 1 }
        return first(rest)
    }
}

/// Each step by any enabled thread, with equal probability.
public struct RandomScheduler: Scheduler, Sendable {
    private let seed: UInt64
    private var generator: SeededGenerator

    public init(seed: UInt64) {
        self.seed = seed
        generator = SeededGenerator(seed: seed)
    }

    public var name: String { "random schedules, seed \(seed)" }
    public var bound: Bound? { .sampling }

    public mutating func begin() -> Bool { true }

    public mutating func next(_ point: SchedulingPoint) -> SchedulingDecision {
        .run(generator.member(of: point.enabled))
    }

    public mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int? {
        Int.random(in: 0..<alternatives, using: &generator)
    }
}

/// Probabilistic concurrency testing: random priorities, lowered at `depth - 1` random steps.
///
/// S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte: A randomized scheduler with probabilistic guarantees of finding bugs,
/// ASPLOS 2010. A bug that needs `depth` steps in a certain order shows in an execution of n threads and k steps with a probability
/// of at least 1 / (n × k^(depth - 1)). The number of steps is taken from the longest execution so far.
public struct PriorityScheduler: Scheduler, Sendable {
    private let seed: UInt64
    private let depth: Int
    private var generator: SeededGenerator
    private var priorities: [Int] = []
    private var changes: [Int] = []
    private var longest = 1

    public init(depth: Int, seed: UInt64) {
        precondition(depth >= 1, "the depth of a bug is at least 1")
        self.depth = depth
        self.seed = seed
        generator = SeededGenerator(seed: seed)
    }

    public var name: String { "random priorities of depth \(depth), seed \(seed)" }
    public var bound: Bound? { .sampling }

    public mutating func begin() -> Bool {
        priorities.removeAll(keepingCapacity: true)
        changes = (1..<depth).map { _ in Int.random(in: 0..<longest, using: &generator) }
        return true
    }

    public mutating func next(_ point: SchedulingPoint) -> SchedulingDecision {
        longest = max(longest, point.steps + 1)
        while priorities.count < point.threads {
            // Above all lowered priorities; new threads fall anywhere among the others.
            priorities.append(Int.random(in: depth..<1 << 40, using: &generator))
        }
        var chosen = highest(of: point.enabled)
        for (lowered, step) in changes.enumerated() where step == point.steps {
            priorities[chosen] = lowered
            chosen = highest(of: point.enabled)
        }
        return .run(chosen)
    }

    private func highest(of enabled: UInt64) -> Int {
        var rest = enabled
        var best = first(enabled)
        while rest != 0 {
            let thread = first(rest)
            rest &= rest &- 1
            if priorities[thread] > priorities[best] { best = thread }
        }
        return best
    }

    public mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int? {
        Int.random(in: 0..<alternatives, using: &generator)
    }
}
