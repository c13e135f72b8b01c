/// Looks for an execution with fewer context switches that violates the same.
///
/// A schedule is a list of turns, each some steps of one thread. Joining a turn with the thread's next one, or leaving one out, gives a
/// candidate; it is run leniently (what cannot step is skipped, what is missing is added without preemption), and kept
/// if it violates the same property and is better. At the end no such change helps, or the executions are used up.
struct Minimiser {
    let execution: Execution
    let violation: Violation
    let budget: Budget
    var executions: Int

    private mutating func minimised(from schedule: Schedule) -> Schedule {
        var best = schedule
        let start = ContinuousClock.now
        // Each improvement starts over where the last one was found: what failed before it rarely helps after it.
        var position = 0
        var failures = 0
        while failures < Self.changes(of: best), executions > 0, start.duration(to: .now) < .seconds(10) {
            if position >= Self.changes(of: best) { position = 0 }
            if let candidate = change(position, of: best) {
                executions -= 1
                if let found = run(candidate), isBetter(found, best) {
                    best = found
                    failures = 0
                    continue
                }
            }
            position += 1
            failures += 1
        }
        return best
    }

    func counterexample(from schedule: Schedule) -> Counterexample {
        // What is not reproducible cannot be minimised; its steps are those of the execution that has just run.
        var minimiser = self
        let canRerun = violation.kind != .nondeterminism
        let schedule = canRerun ? minimiser.minimised(from: scheduled(schedule)) : schedule
        execution.core.pointee.isRecording = true
        execution.recording.removeAll()
        defer {
            execution.core.pointee.isRecording = false
            execution.recording = Recording()
        }
        var replay = ReplayScheduler(schedule, isLenient: !canRerun)
        var violation = violation
        if case .violation(let found) = execution.runOnce(&replay, limit: budget.stepsPerExecution), canRerun {
            violation = found
            if let place = execution.recording.violation {
                let source = execution.recording.source(of: place, past: execution.transparentModules)
                violation.place = source.map { "\($0)" } ?? ""
            }
        }
        return Counterexample(
            kind: violation.kind, property: violation.property,
            steps: execution.recording.placedSteps(past: execution.transparentModules),
            threads: execution.recording.threads, schedule: schedule)
    }

    /// The schedule that really ran, if it violates the same.
    private func run(_ schedule: Schedule) -> Schedule? {
        var replay = ReplayScheduler(schedule, isLenient: true)
        guard case .violation(let found) = execution.runOnce(&replay, limit: budget.stepsPerExecution),
            found.isSame(as: violation)
        else { return nil }
        return scheduled(execution.schedule)
    }

    /// Without the steps that threads take in turn when an execution is too long.
    private func scheduled(_ schedule: Schedule) -> Schedule {
        var steps = 0
        let end = schedule.decisions.firstIndex {
            if case .step = $0 { steps += 1 }
            return steps > budget.stepsPerExecution
        }
        return end.map { Schedule(Array(schedule.decisions[..<$0])) } ?? schedule
    }

    private func isBetter(_ left: Schedule, _ right: Schedule) -> Bool {
        (left.contextSwitches, left.decisions.count, choices(left)) < (
            right.contextSwitches, right.decisions.count, choices(right)
        )
    }

    private func choices(_ schedule: Schedule) -> Int {
        schedule.decisions.reduce(0) { if case .choice(let alternative) = $1 { $0 + alternative } else { $0 } }
    }

    // MARK: Changes

    private struct Turn {
        var thread: Int
        var decisions: [Schedule.Decision]
    }

    /// How many changes there are to try: four for each turn and one for each choice.
    private static func changes(of schedule: Schedule) -> Int {
        (schedule.contextSwitches + 2) * 4 + schedule.decisions.count
    }

    /// One change, or nil if it is not possible.
    private func change(_ number: Int, of schedule: Schedule) -> Schedule? {
        let turns = Self.turns(of: schedule)
        guard number < (schedule.contextSwitches + 2) * 4 else {
            let index = number - (schedule.contextSwitches + 2) * 4
            guard case .choice(let alternative) = schedule.decisions[index], alternative > 0 else { return nil }
            var simpler = schedule
            simpler.decisions[index] = .choice(0)
            return simpler
        }
        let index = number / 4
        guard index < turns.count else { return nil }
        var changed = turns
        let next = turns[(index + 1)...].firstIndex { $0.thread == turns[index].thread }
        switch number % 4 {
        case 0:
            // The thread's next turn now.
            guard let next else { return nil }
            changed[index].decisions += changed.remove(at: next).decisions
        case 1:
            // This turn later.
            guard let next else { return nil }
            changed[next].decisions = changed[index].decisions + changed[next].decisions
            changed.remove(at: index)
        case 2:
            changed.remove(at: index)
        default:
            guard turns[index].decisions.count > 1 else { return nil }
            changed[index].decisions.removeLast()
        }
        return Schedule(changed.flatMap(\.decisions))
    }

    private static func turns(of schedule: Schedule) -> [Turn] {
        var turns: [Turn] = []
        for decision in schedule.decisions {
            if case .step(let thread) = decision, turns.last?.thread != thread {
                turns.append(Turn(thread: thread, decisions: [decision]))
            } else if turns.isEmpty {
                turns.append(Turn(thread: -1, decisions: [decision]))
            } else {
                turns[turns.count - 1].decisions.append(decision)
            }
        }
        return turns
    }
}
