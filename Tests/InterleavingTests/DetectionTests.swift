import Interleaving
import Testing

/// Each thing that is detected, in a program that shows it.
@Suite struct `What an exploration detects` {
    func counterexample(
        of kind: ViolationKind, _ explorer: Explorer = Explorer(), sourceLocation: SourceLocation = #_sourceLocation,
        _ program: (Execution) throws -> Void
    ) -> Counterexample? {
        let result = explorer.explore(program)
        #expect(result.counterexample?.kind == kind, "\(result)", sourceLocation: sourceLocation)
        return result.counterexample
    }

    @Test func `a violated property: an increment is lost`() throws {
        let found = try #require(
            counterexample(of: .property) { execution in
                let count = ExploredAtomic(0, in: execution, "count")
                for _ in 0..<2 { execution.spawn { try count.store(count.load() + 1) } }
                execution.atEnd { try execution.require(count.load() == 2, "no increment is lost") }
            })
        #expect(found.property.hasPrefix("no increment is lost (InterleavingTests/DetectionTests.swift:"))
        #expect(found.steps.map(\.label) == ["load count → 0", "load count → 0", "store count ← 1", "store count ← 1"])
    }

    @Test func `an error that leaves a thread`() throws {
        struct Mistake: Error {}
        let found = try #require(
            counterexample(of: .error) { execution in
                let flag = ExploredAtomic(0, in: execution, "flag")
                execution.spawn { try flag.store(1) }
                execution.spawn(named: "reader") { if try flag.load() == 1 { throw Mistake() } }
            })
        #expect(found.property == "reader threw Mistake()")
    }

    @Test func `an error that leaves set-up, and one that leaves a final check`() {
        struct Mistake: Error {}
        _ = counterexample(of: .error) { _ in throw Mistake() }
        _ = counterexample(of: .error) { execution in execution.atEnd { throw Mistake() } }
    }

    @Test func `deadlock: two locks in two orders`() throws {
        // Not inside `#require`: in the argument of a macro all lines are the macro's.
        let counterexample = counterexample(of: .deadlock) { execution in
            let a = ExploredLock(in: execution, "a")
            let b = ExploredLock(in: execution, "b")
            execution.spawn(named: "one") { try a.withLock { try b.withLock {} } }
            execution.spawn(named: "other") { try b.withLock { try a.withLock {} } }
        }
        let found = try #require(counterexample)
        let pattern =
            /deadlock: one waits on b \(.*DetectionTests.swift:(\d+)\), other waits on a \(.*DetectionTests.swift:(\d+)\)/
        let places = try #require(try pattern.wholeMatch(in: found.property), "\(found.property)")
        #expect(Int(places.1)! + 1 == Int(places.2)!)
        #expect(found.steps.count == 2)
    }

    @Test func `deadlock: a lock taken twice, a flag that nobody sets`() {
        _ = counterexample(of: .deadlock) { execution in
            let lock = ExploredLock(in: execution)
            execution.spawn { try lock.withLock { try lock.withLock {} } }
        }
        _ = counterexample(of: .deadlock) { execution in
            let flag = ExploredAtomic(0, in: execution, "flag")
            execution.spawn { try flag.wait { $0 == 1 } }
        }
    }

    @Test func `a daemon that waits for ever is no deadlock`() {
        let result = Explorer().explore { execution in
            let flag = ExploredAtomic(0, in: execution, "flag")
            execution.spawn(daemon: true) { try flag.wait { $0 == 1 } }
            execution.spawn { _ = try flag.load() }
        }
        #expect(result.isExhausted, "\(result)")
    }

    @Test func `livelock: spinning on what nobody is left to change`() throws {
        let found = try #require(
            counterexample(of: .livelock) { execution in
                let flag = ExploredAtomic(0, in: execution, "flag")
                execution.spawn(named: "spinner") { while try flag.load() == 0 { try execution.pause() } }
                execution.spawn { try flag.store(0) }
            })
        #expect(found.property.hasPrefix("livelock: nobody is left to change what is spun on: spinner spins on flag ("))
    }

    @Test func `livelock: no end although all threads are scheduled fairly`() {
        _ = counterexample(of: .livelock, Explorer(budget: Budget(stepsPerExecution: 50), minimisingExecutions: 10)) {
            execution in
            let flag = ExploredAtomic(0, in: execution, "flag")
            execution.spawn { while try flag.load() == 0 {} }
        }
    }

    @Test func `a spin loop without pause that others can end is cut, not called a livelock`() {
        let result = Explorer(budget: Budget(executions: 200, stepsPerExecution: 30)).explore { execution in
            let flag = ExploredAtomic(0, in: execution, "flag")
            execution.spawn { while try flag.load() == 0 {} }
            execution.spawn { try flag.store(1) }
        }
        guard case .notExhausted = result.verdict else {
            Issue.record("\(result)")
            return
        }
        #expect(result.truncatedExecutions > 0)
    }

    @Test func `a spin loop with pause is explored to the end`() {
        let result = Explorer().explore { execution in
            let flag = ExploredAtomic(0, in: execution, "flag")
            let data = ExploredAtomic(0, in: execution, "data")
            execution.spawn {
                try data.store(7)
                try flag.store(1)
            }
            execution.spawn {
                while try flag.load() == 0 { try execution.pause() }
                try execution.require(data.load() == 7, "data comes before its flag")
            }
        }
        #expect(result.isExhausted, "\(result)")
    }

    @Test func `a pause after a turn that wrote does not wait`() {
        let result = Explorer().explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            execution.spawn { while try word.add(1) < 3 { try execution.pause() } }
        }
        #expect(result.isExhausted, "\(result)")
    }

    @Test func `objects of one's own have a name of one's own in messages`() throws {
        let found = try #require(
            counterexample(of: .deadlock) { execution in
                execution.describeObject = { $0 == ObjectID(7) ? "gate seven" : nil }
                execution.spawn { try execution.wait(Access(.wait, ObjectID(7)), until: { false }, "pass") }
            })
        #expect(found.property.hasPrefix("deadlock: thread 0 waits on gate seven ("))
    }

    @Test func `a leak at the end, use after free, double free`() throws {
        let leak = try #require(
            counterexample(of: .leak) { execution in
                let flag = ExploredAtomic(0, in: execution, "flag")
                let node = ExploredResource(in: execution, "node")
                execution.spawn { if try flag.load() == 0 { try node.free() } }
                execution.spawn { try flag.store(1) }
            })
        #expect(leak.property.hasPrefix("node is never freed (InterleavingTests/DetectionTests.swift:"))
        let use = try #require(
            counterexample(of: .property) { execution in
                let node = ExploredResource(in: execution, "node", index: 3)
                execution.spawn { try node.use() }
                execution.spawn { try node.free() }
            })
        #expect(use.property.hasPrefix("node[3] is used after it was freed"))
        let twice = try #require(
            counterexample(of: .property) { execution in
                let node = ExploredResource(in: execution, "node")
                for _ in 0..<2 { execution.spawn { try node.free() } }
            })
        #expect(twice.property.hasPrefix("node is freed twice"))
    }

    @Test func `unlocking what another thread has locked`() {
        _ = counterexample(of: .property) { execution in
            let lock = ExploredLock(in: execution)
            execution.spawn { try lock.lock() }
            execution.spawn { try lock.unlock() }
        }
    }

    @Test(arguments: [Strategy.reduced, .unreduced])
    func `nondeterminism of the test itself`(strategy: Strategy) {
        var runs = 0
        _ = counterexample(of: .nondeterminism, Explorer(strategy)) { execution in
            runs += 1
            let words = [0, 1].map { ExploredAtomic(0, in: execution, "word", index: $0) }
            let word = words[runs % 2]
            for _ in 0..<2 { execution.spawn { try word.store(1) } }
        }
        runs = 0
        _ = counterexample(of: .nondeterminism, Explorer(strategy)) { execution in
            runs += 1
            let word = ExploredAtomic(0, in: execution, "word")
            let alternatives = runs
            execution.spawn { if try execution.choose(alternatives) == 0 { try word.store(1) } }
            execution.spawn { _ = try word.load() }
        }
    }

    @Test(arguments: [Strategy.reduced, .unreduced])
    func `nondeterminism: an execution that ends before it can differ`(strategy: Strategy) {
        var runs = 0
        _ = counterexample(of: .nondeterminism, Explorer(strategy)) { execution in
            runs += 1
            let word = ExploredAtomic(0, in: execution, "word")
            let isShort = runs == 2
            for _ in 0..<2 {
                execution.spawn {
                    try word.store(1)
                    if !isShort { try word.store(2) }
                }
            }
        }
    }

    @Test func `a choice that one alternative of goes wrong, in set-up and in a thread`() throws {
        let inThread = try #require(
            counterexample(of: .property) { execution in
                execution.spawn {
                    let chosen = try execution.choose(4, "allocation")
                    try execution.require(chosen != 3, "the last is never taken")
                }
            })
        #expect(inThread.schedule.description == "c3")
        #expect(inThread.steps.map(\.label) == ["allocation → 3"])
        _ = counterexample(of: .property) { execution in
            if try execution.choose(2) == 1 { try execution.violate("set-up can be wrong too") }
        }
        let result = Explorer().explore { execution in
            _ = try execution.choose(3)
            execution.spawn { _ = try execution.choose(2) }
        }
        #expect(result.isExhausted)
        #expect(result.executions == 6)
    }
}
