import Interleaving
import Testing

/// Counts the objects of a test that are alive.
private final class Tally {
    var living = 0
    var made = 0
}

private final class Owned {
    let tally: Tally
    init(_ tally: Tally) {
        self.tally = tally
        tally.living += 1
        tally.made += 1
    }
    deinit { tally.living -= 1 }
}

@Suite struct `Executions that are abandoned` {
    @Test func `a thousand of them leave no object alive`() {
        let tally = Tally()
        var abandoned = 0
        for seed in UInt64(0)..<1_000 {
            // Ends at a random place: the third thread violates when it is scheduled.
            let result = Explorer(.random(seed: seed), budget: Budget(executions: 20), minimisingExecutions: 0).explore
            { execution in
                let captured = Owned(tally)
                let word = ExploredAtomic(0, in: execution, "word")
                let lock = ExploredLock(in: execution)
                for _ in 0..<2 {
                    execution.spawn {
                        let local = Owned(tally)
                        try lock.withLock {
                            let nested = [Owned(tally), captured]
                            try word.store(word.load() + nested.count)
                        }
                        try word.wait { $0 >= 100 }
                        _ = local
                    }
                }
                execution.spawn {
                    let local = [captured]
                    if try word.add(1) >= 0 { try execution.violate("\(local.count) is over") }
                }
                execution.atEnd { _ = captured }
            }
            abandoned += result.counterexample == nil ? 0 : 1
        }
        #expect(abandoned == 1_000)
        #expect(tally.made > 3_000)
        #expect(tally.living == 0)
    }

    @Test func `pruned and cut executions unwind too`() {
        let tally = Tally()
        let result = Explorer(budget: Budget(executions: 300, stepsPerExecution: 20)).explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            for _ in 0..<3 {
                execution.spawn(daemon: true) {
                    let local = Owned(tally)
                    try word.store(1)
                    while try word.load() != 0 {}
                    _ = local
                }
            }
            execution.spawn { try word.store(0) }
        }
        #expect(result.truncatedExecutions > 0 || result.counterexample != nil)
        #expect(tally.made > 0)
        #expect(tally.living == 0)
    }

    @Test func `cleaning up in a defer and catching errors do not disturb unwinding`() {
        var cleaned = 0
        var caught = 0
        let result = Explorer().explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            execution.spawn {
                defer { cleaned += 1 }
                do {
                    try word.wait { $0 == 1 }
                } catch {
                    caught += 1
                    // A scheduling point of an execution that is over throws again.
                    try word.store(2)
                }
            }
        }
        #expect(result.counterexample?.kind == .deadlock)
        #expect(cleaned == caught && cleaned > 0)
    }

    @Test func `deep stacks and floating point survive the switches`() {
        func descend(_ depth: Int, _ word: ExploredAtomic<Int>) throws -> Double {
            if depth == 0 { return Double(try word.load()) }
            let factor = Double(depth) * 0.5
            return try descend(depth - 1, word) + factor
        }
        let result = Explorer(.random(seed: 1), budget: Budget(executions: 50)).explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            for _ in 0..<4 {
                execution.spawn {
                    let sum = try descend(200, word)
                    try execution.require(sum == 10_050, "floating point is this thread's own")
                }
            }
        }
        guard case .notExhausted(.executions(50)) = result.verdict else {
            Issue.record("\(result)")
            return
        }
    }

    @Test func `explorations nest: a thread of one can run another`() {
        let result = Explorer().explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            for _ in 0..<2 {
                execution.spawn {
                    try word.add(1)
                    let inner = Explorer(stackBytes: 128 << 10).explore { inner in
                        let other = ExploredAtomic(0, in: inner, "other")
                        for _ in 0..<2 { inner.spawn { try other.add(1) } }
                    }
                    try execution.require(inner.isExhausted && inner.executions == 2, "the inner one is not disturbed")
                }
            }
        }
        #expect(result.isExhausted, "\(result)")
        #expect(result.executions == 2)
    }
}
