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

    /// The counterexample, minimised, with its steps recorded.
    mutating func minimised(from schedule: Schedule) -> Schedule {
        var best = schedule
        var improved = true
        while improved {
            improved = false
            for candidate in candidates(for: best) {
                guard executions > 0 else { return best }
                executions -= 1
                if let found = run(candidate), isBetter(found, best) {
                    best = found
                    improved = true
                    break
                }
            }
        }
        return best
    }

    func counterexample(from schedule: Schedule) -> Counterexample {
        // What is not reproducible cannot be minimised; its steps are those of the execution that has just run.
        var minimiser = self
        let canRerun = violation.kind != .nondeterminism
        let schedule = canRerun ? minimiser.minimised(from: schedule) : schedule
        execution.core.pointee.isRecording = true
        execution.recorded.removeAll()
        defer { execution.core.pointee.isRecording = false }
        var replay = ReplayScheduler(schedule, isLenient: !canRerun)
        var violation = violation
        if case .violation(let found) = execution.runOnce(&replay, limit: budget.stepsPerExecution), canRerun {
            violation = found
        }
        return Counterexample(
            kind: violation.kind, property: violation.property, steps: execution.recorded,
            threads: execution.recordedNames,
            schedule: schedule)
    }

    /// The schedule that really ran, if it violates the same.
    private func run(_ schedule: Schedule) -> Schedule? {
        var replay = ReplayScheduler(schedule, isLenient: true)
        guard case .violation(let found) = execution.runOnce(&replay, limit: budget.stepsPerExecution),
            found.isSame(as: violation)
        else { return nil }
        return execution.schedule
    }

    private func isBetter(_ left: Schedule, _ right: Schedule) -> Bool {
        (left.contextSwitches, left.decisions.count, choices(left)) < (
            right.contextSwitches, right.decisions.count, choices(right)
        )
    }

    private func choices(_ schedule: Schedule) -> Int {
        schedule.decisions.reduce(0) { if case .choice(let alternative) = $1 { $0 + alternative } else { $0 } }
    }

    // MARK: Candidates

    private struct Turn {
        var thread: Int
        var decisions: [Schedule.Decision]
    }

    private func candidates(for schedule: Schedule) -> [Schedule] {
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
        var candidates: [[Turn]] = []
        for index in turns.indices {
            if let next = turns[(index + 1)...].firstIndex(where: { $0.thread == turns[index].thread }) {
                // The thread's next turn now, or this one later.
                var earlier = turns
                earlier[index].decisions += earlier.remove(at: next).decisions
                candidates.append(earlier)
                var later = turns
                later[next].decisions = later[index].decisions + later[next].decisions
                later.remove(at: index)
                candidates.append(later)
            }
            var without = turns
            without.remove(at: index)
            candidates.append(without)
            if turns[index].decisions.count > 1 {
                var shorter = turns
                shorter[index].decisions.removeLast()
                candidates.append(shorter)
            }
        }
        var schedules = candidates.map { Schedule($0.flatMap(\.decisions)) }
        for (index, decision) in schedule.decisions.enumerated() {
            if case .choice(let alternative) = decision, alternative > 0 {
                var simpler = schedule
                simpler.decisions[index] = .choice(0)
                schedules.append(simpler)
            }
        }
        return schedules
    }
}
