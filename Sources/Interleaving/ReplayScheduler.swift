/// Runs one schedule, once.
struct ReplayScheduler: Scheduler {
    private let decisions: [Schedule.Decision]
    /// Leave out decisions that cannot be taken, and go on where the schedule ends; otherwise they are divergence.
    private let isLenient: Bool
    private var position = 0
    private var hasBegun = false

    init(_ schedule: Schedule, isLenient: Bool) {
        decisions = schedule.decisions
        self.isLenient = isLenient
    }

    var name: String { "replay" }
    var bound: Bound? { .schedule }

    mutating func begin() -> Bool {
        defer { hasBegun = true }
        return !hasBegun
    }

    mutating func next(_ point: SchedulingPoint) -> SchedulingDecision {
        while position < decisions.count {
            defer { position += 1 }
            if case .step(let thread) = decisions[position], point.enabled & bit(thread) != 0 { return .run(thread) }
            if !isLenient { return .diverged }
        }
        // A schedule may end early: without preemption from there on.
        if let previous = point.previous, point.enabled & bit(previous) != 0 { return .run(previous) }
        return .run(first(point.enabled))
    }

    mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int? {
        guard position < decisions.count else { return 0 }
        if case .choice(let alternative) = decisions[position] {
            position += 1
            if alternative < alternatives { return alternative }
        }
        return isLenient ? 0 : nil
    }
}
