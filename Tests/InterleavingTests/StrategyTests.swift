import Interleaving
import Testing

/// A bug of depth 2: the reader must come between two stores.
private func torn(_ execution: Execution) throws {
    let low = ExploredAtomic(0, in: execution, "low")
    let high = ExploredAtomic(0, in: execution, "high")
    execution.spawn(named: "writer") {
        for value in 1...5 {
            try low.store(value)
            try high.store(value)
        }
    }
    execution.spawn(named: "reader") {
        let (first, second) = (try high.load(), try low.load())
        try execution.require(first <= second, "halves are written low first")
        try execution.require(second <= first + 1, "halves belong together")
    }
}

private func isCorrect(_ execution: Execution) throws {
    let count = ExploredAtomic(0, in: execution, "count")
    for _ in 0..<3 { execution.spawn { try count.add(1) } }
    execution.atEnd { try execution.require(count.load() == 3, "no increment is lost") }
}

@Suite struct `Strategies and budgets` {
    @Test(arguments: [0, 1, 2, 3] as [UInt64])
    func `random priorities find a bug of depth 2`(seed: UInt64) {
        let result = Explorer(.priorities(depth: 2, seed: seed), budget: Budget(executions: 1_000)).explore(torn)
        #expect(result.counterexample?.kind == .property, "\(result)")
    }

    @Test func `random priorities of depth 1 never preempt`() {
        let result = Explorer(.priorities(depth: 1, seed: 9), budget: Budget(executions: 200)).explore(torn)
        #expect(result.counterexample == nil, "\(result)")
    }

    @Test(arguments: [Strategy.reduced, .unreduced, .preemptions(atMost: 2), .random(seed: 5)])
    func `all strategies find it`(strategy: Strategy) {
        let result = Explorer(strategy).explore(torn)
        #expect(result.counterexample?.property.hasPrefix("halves belong together") == true, "\(result)")
    }

    @Test func `without preemptions it cannot be found, and the verdict says so`() {
        let result = Explorer(.preemptions(atMost: 0)).explore(torn)
        guard case .notExhausted(.preemptions(0)) = result.verdict else {
            Issue.record("\(result)")
            return
        }
        #expect(result.executions == 2)
    }

    @Test func `preemption bounds count interleavings exactly`() {
        // Two threads of two steps: 2 executions without a preemption, 6 in all.
        func program(_ execution: Execution) {
            let word = ExploredAtomic(0, in: execution, "word")
            for _ in 0..<2 {
                execution.spawn {
                    try word.store(1)
                    try word.store(2)
                }
            }
        }
        let counts = (0...3).map { Explorer(.preemptions(atMost: $0)).explore(program).executions }
        #expect(counts == [2, 4, 6, 6])
        #expect(Explorer(.unreduced).explore(program).executions == 6)
    }

    @Test func `sampling never says that there is no violation`() {
        for strategy in [Strategy.random(seed: 1), .priorities(depth: 3, seed: 1)] {
            let result = Explorer(strategy, budget: Budget(executions: 100)).explore(isCorrect)
            guard case .notExhausted(.executions(100)) = result.verdict else {
                Issue.record("\(result)")
                return
            }
            #expect(result.executions == 100)
        }
    }

    @Test func `budgets are named in the verdict`() {
        let executions = Explorer(budget: Budget(executions: 5)).explore(isCorrect)
        guard case .notExhausted(.executions(5)) = executions.verdict else {
            Issue.record("\(executions)")
            return
        }
        #expect("\(executions)".contains("not exhausted: budget of 5 executions"))
        let seconds = Explorer(.random(seed: 1), budget: Budget(seconds: 0)).explore(isCorrect)
        guard case .notExhausted(.seconds(0)) = seconds.verdict else {
            Issue.record("\(seconds)")
            return
        }
        // Exactly as many executions as there are is exhausted, not a spent budget.
        #expect(Explorer(budget: Budget(executions: 6)).explore(isCorrect).isExhausted)
    }

    @Test func `the same seed draws the same executions`() {
        func schedules(_ seed: UInt64) -> [String] {
            (1...20).map {
                Explorer(.random(seed: seed), budget: Budget(executions: $0), minimisingExecutions: 0).explore {
                    execution in
                    let word = ExploredAtomic(0, in: execution, "word")
                    for _ in 0..<3 { execution.spawn { try word.add(1) } }
                    execution.atEnd { try execution.violate("always") }
                }
                .counterexample!.schedule.description
            }
        }
        #expect(schedules(3) == schedules(3))
    }

    @Test func `a scheduler of one's own`() {
        /// Always the thread with the highest number.
        struct Backwards: Scheduler {
            var isDone = false
            var name: String { "backwards" }
            var bound: Bound? { .schedule }
            mutating func begin() -> Bool {
                defer { isDone = true }
                return !isDone
            }
            mutating func next(_ point: SchedulingPoint) -> SchedulingDecision {
                .run((0..<point.threads).last { point.enabled >> UInt64($0) & 1 == 1 }!)
            }
            mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int? { 0 }
        }
        var order: [Int] = []
        let result = Explorer().explore(Backwards()) { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            for thread in 0..<3 {
                execution.spawn {
                    try word.add(1)
                    order.append(thread)
                }
            }
        }
        #expect(order == [2, 1, 0])
        #expect(result.strategy == "backwards")
    }

    @Test func `symmetric threads are explored once for all their orders`() {
        func program(_ symmetric: Bool) -> Exploration {
            Explorer().explore { execution in
                let word = ExploredAtomic(0, in: execution, "word")
                func body() throws {
                    try word.add(1)
                    try word.add(1)
                }
                if symmetric {
                    execution.spawn(count: 3, body)
                } else {
                    for _ in 0..<3 { execution.spawn(body) }
                }
                execution.atEnd { try execution.require(word.load() == 6, "no increment is lost") }
            }
        }
        #expect(program(false).executions == 90)
        #expect(program(true).executions == 15)
    }

    @Test func `symmetric threads that do not report what they saw are told apart`() {
        let result = Explorer().explore { execution in
            let object = execution.newObject()
            execution.spawn(count: 3) {
                for _ in 0..<2 { try execution.step(Access(.readModifyWrite, object), "step") }
            }
        }
        #expect(result.isExhausted)
        #expect(result.executions == 15)
    }

    @Test func `symmetric threads with objects or children of their own are told apart`() {
        let own = Explorer().explore { execution in
            let shared = ExploredAtomic(0, in: execution, "shared")
            execution.spawn(count: 2) {
                let mine = ExploredAtomic(0, in: execution, "private")
                execution.spawn { try mine.store(1) }
                try mine.wait { $0 == 1 }
                try shared.add(1)
            }
            execution.atEnd { try execution.require(shared.load() == 2, "both come to their end") }
        }
        #expect(own.isExhausted, "\(own)")
        #expect(own.executions == 2)
    }
}
