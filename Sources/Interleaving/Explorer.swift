/// How an exploration finds its schedules.
public enum Strategy: Sendable, Hashable {
    /// All executions, up to exchanging adjacent steps that do not depend on each other. The one that proves something.
    case reduced
    /// All executions one by one; to check the reduction with.
    case unreduced
    /// All executions with at most so many preemptions.
    case preemptions(atMost: Int)
    case random(seed: UInt64)
    /// Random priorities, for bugs that take `depth` steps in a certain order.
    case priorities(depth: Int, seed: UInt64)
}

/// Runs a program in many interleavings and says whether one of them goes wrong.
///
/// ```swift
/// let result = Explorer().explore { execution in
///     let count = ExploredAtomic(0, in: execution, "count")
///     for _ in 0 ..< 2 {
///         execution.spawn { try count.store(count.load() + 1) }
///     }
///     execution.atEnd { try execution.require(count.load() == 2, "no increment is lost") }
/// }
/// print(result)
/// ```
///
/// The whole exploration runs on the calling thread.
public struct Explorer: Sendable {
    public var strategy: Strategy
    public var model: MemoryModel
    public var budget: Budget
    /// Executions that minimising a counterexample may take; 0 leaves it as found.
    public var minimisingExecutions: Int
    /// Memory for each thread's stack; pages that are not touched cost nothing.
    public var stackBytes: Int

    public init(
        _ strategy: Strategy = .reduced, model: MemoryModel = .sequential, budget: Budget = Budget(),
        minimisingExecutions: Int = 5_000,
        stackBytes: Int = 256 << 10
    ) {
        self.strategy = strategy
        self.model = model
        self.budget = budget
        self.minimisingExecutions = minimisingExecutions
        self.stackBytes = stackBytes
    }

    /// Explores a program. `program` is its set-up: it makes the shared state, spawns threads and adds final checks; it is
    /// run anew for each execution. An error that leaves it is a violation.
    public func explore(_ program: (Execution) throws -> Void) -> Exploration {
        switch strategy {
        case .reduced: explore(ReducedSearch(), program)
        case .unreduced: explore(ExhaustiveSearch(), program)
        case .preemptions(let count): explore(ExhaustiveSearch(preemptions: count), program)
        case .random(let seed): explore(RandomScheduler(seed: seed), program)
        case .priorities(let depth, let seed): explore(PriorityScheduler(depth: depth, seed: seed), program)
        }
    }

    /// Explores with a scheduler of one's own.
    public func explore<S: Scheduler & ~Copyable>(
        _ scheduler: consuming S, _ program: (Execution) throws -> Void
    ) -> Exploration {
        withExecution(program) { execution in
            var run = ExplorationRun(budget: budget)
            let violation = run.explore(execution, &scheduler)
            let schedule = execution.schedule
            var result = run.result(strategy: scheduler.name, model: model, bound: scheduler.bound)
            if let violation {
                result.verdict = .violation(
                    Minimiser(
                        execution: execution, violation: violation, budget: budget, executions: minimisingExecutions
                    )
                    .counterexample(from: schedule))
            }
            return result
        }
    }

    /// Runs one schedule, as counterexamples print them. If the program cannot follow it, the verdict is a violation of
    /// kind `nondeterminism`.
    public func replay(_ schedule: Schedule, _ program: (Execution) throws -> Void) -> Exploration {
        var whole = self
        whole.minimisingExecutions = 0
        return whole.explore(ReplayScheduler(schedule, isLenient: false), program)
    }

    private func withExecution<Result>(
        _ program: (Execution) throws -> Void, _ body: (Execution) -> Result
    ) -> Result {
        withoutActuallyEscaping(program) { program in
            let execution = Execution(stackBytes: stackBytes, model: model)
            execution.program = program
            defer { execution.program = nil }
            return body(execution)
        }
    }
}

/// The executions of one exploration, counted against its budget.
struct ExplorationRun {
    let budget: Budget
    private let start = ContinuousClock.now
    private var executions = 0
    private var pruned = 0
    private var truncated = 0
    private var steps = 0
    private var longest = 0
    private var exceeded: Bound?
    private var seconds = 0.0

    init(budget: Budget) { self.budget = budget }

    private func elapsed() -> Double {
        let components = start.duration(to: .now).components
        return Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }

    /// Runs until the scheduler has nothing left, something is violated, or the budget is spent.
    mutating func explore<S: Scheduler & ~Copyable>(_ execution: Execution, _ scheduler: inout S) -> Violation? {
        defer { seconds = elapsed() }
        while scheduler.begin() {
            let count = executions + pruned
            if count >= budget.executions {
                exceeded = .executions(budget.executions)
                return nil
            }
            // Asking for the time costs as much as some short executions.
            if count & 63 == 63, elapsed() >= budget.seconds {
                exceeded = .seconds(budget.seconds)
                return nil
            }
            let ending = execution.runOnce(&scheduler, limit: budget.stepsPerExecution)
            let length = execution.core.pointee.events.count
            steps += length
            longest = max(longest, length)
            switch ending {
            case .complete: executions += 1
            case .pruned: pruned += 1
            case .truncated:
                executions += 1
                truncated += 1
            case .violation(let violation):
                executions += 1
                return violation
            }
        }
        return nil
    }

    func result(strategy: String, model: MemoryModel, bound: Bound?) -> Exploration {
        let bound = exceeded ?? (truncated > 0 ? .stepsPerExecution(budget.stepsPerExecution) : nil) ?? bound
        return Exploration(
            verdict: bound.map { .notExhausted($0) } ?? .none, strategy: strategy, model: model,
            executions: executions, prunedExecutions: pruned, truncatedExecutions: truncated, steps: steps,
            longestExecution: longest, seconds: seconds)
    }
}
