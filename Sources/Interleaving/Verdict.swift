/// What exploring limits itself to. Whatever cuts an exploration short is named in its verdict.
public struct Budget: Sendable, Hashable {
    /// Executions, those that the reduction cuts off included.
    public var executions: Int
    public var seconds: Double
    /// Steps of one execution. Beyond it, threads step in turn; a program that does not end in as many steps again is in a livelock.
    public var stepsPerExecution: Int

    public init(executions: Int = 10_000_000, seconds: Double = 60, stepsPerExecution: Int = 10_000) {
        self.executions = executions
        self.seconds = seconds
        self.stepsPerExecution = stepsPerExecution
    }
}

/// Why an exploration that found nothing has not proved anything either.
public enum Bound: Sendable, Hashable, CustomStringConvertible {
    case executions(Int)
    case seconds(Double)
    /// At least one execution was longer.
    case stepsPerExecution(Int)
    /// Only executions with at most so many preemptions were looked at (all of them).
    case preemptions(Int)
    /// Executions were drawn at random.
    case sampling
    /// One given schedule was run.
    case schedule

    public var description: String {
        switch self {
        case .executions(let count): "budget of \(count) executions"
        case .seconds(let seconds): "budget of \(seconds) seconds"
        case .stepsPerExecution(let steps): "executions longer than \(steps) steps were cut"
        case .preemptions(let count): "at most \(count) preemptions"
        case .sampling: "executions drawn at random"
        case .schedule: "one schedule"
        }
    }
}

public enum ViolationKind: String, Sendable, Hashable {
    /// The program's own: `violate`, `require`, a final check.
    case property
    /// An error left a thread.
    case error
    case deadlock
    case livelock
    /// A resource was not freed.
    case leak
    /// The program does not do the same when scheduled the same.
    case nondeterminism
}

struct Violation {
    var kind: ViolationKind
    var statement: String
    /// Where a property was found violated, or empty.
    var place = ""

    var property: String { place.isEmpty ? statement : "\(statement) (\(place))" }

    /// Whether both are the same mistake: what the property says may name other values.
    func isSame(as other: Violation) -> Bool { kind == other.kind && place == other.place }
}

public enum Verdict: Sendable {
    case violation(Counterexample)
    /// Every execution was explored, up to exchanging independent steps, and none violates anything.
    case none
    case notExhausted(Bound)
}

/// The result of exploring: the verdict and what it took.
public struct Exploration: Sendable, CustomStringConvertible {
    public var verdict: Verdict
    /// How schedules were found.
    public var strategy: String
    /// The memory model that values were read in.
    public var model: MemoryModel
    /// Executions that ran to their end, a violating one included.
    public var executions: Int
    /// Executions that the reduction cut off because all that could follow had been explored.
    public var prunedExecutions: Int
    /// Executions beyond the budget of steps.
    public var truncatedExecutions: Int
    /// Steps of all executions, repeated ones included; those of minimising are not.
    public var steps: Int
    public var longestExecution: Int
    public var seconds: Double

    public var counterexample: Counterexample? {
        if case .violation(let counterexample) = verdict { counterexample } else { nil }
    }

    /// Whether everything was explored and nothing was violated.
    public var isExhausted: Bool { if case .none = verdict { true } else { false } }

    public var executionsPerSecond: Double { Double(executions + prunedExecutions) / max(seconds, 1e-9) }

    public var description: String {
        let counts =
            "\(strategy), \(model): \(executions) executions"
            + (prunedExecutions > 0 ? ", \(prunedExecutions) pruned" : "")
            + (truncatedExecutions > 0 ? ", \(truncatedExecutions) cut" : "") + ", \(steps) steps"
        switch verdict {
        case .none: return "no violation; exhausted (\(counts))"
        case .notExhausted(let bound): return "no violation found; not exhausted: \(bound) (\(counts))"
        case .violation(let counterexample): return "\(counterexample)\n\(counts)"
        }
    }
}
