import Interleaving
import Testing

private func lostUpdate(_ execution: Execution) throws {
    let count = ExploredAtomic(0, in: execution, "count")
    let noise = ExploredAtomic(0, in: execution, "noise")
    for name in ["one", "other"] {
        execution.spawn(named: name) {
            try noise.add(1)
            try count.store(count.load(rule: "readBeforeWrite") + 1)
            try noise.add(1)
        }
    }
    execution.spawn(named: "bystander") { for _ in 0..<3 { try noise.add(1) } }
    execution.atEnd { try execution.require(count.load() == 2, "no increment is lost") }
}

@Suite struct Counterexamples {
    @Test(arguments: [UInt64(1), 2, 3, 4, 5])
    func `one is minimised to as few context switches as it takes`(seed: UInt64) throws {
        let result = Explorer(.random(seed: seed), budget: Budget(executions: 1_000)).explore(lostUpdate)
        let found = try #require(result.counterexample)
        // Between the two threads twice, and to the bystander once.
        #expect(found.schedule.contextSwitches == 3, "\(found)")
        let unminimised = Explorer(.random(seed: seed), budget: Budget(executions: 1_000), minimisingExecutions: 0)
            .explore(lostUpdate).counterexample
        #expect(try #require(unminimised).schedule.contextSwitches >= found.schedule.contextSwitches)
    }

    @Test func `its schedule replays it`() throws {
        let found = try #require(Explorer().explore(lostUpdate).counterexample)
        let schedule = try #require(Schedule(found.schedule.description))
        #expect(schedule == found.schedule)
        let again = Explorer().replay(schedule, lostUpdate)
        #expect(again.counterexample == found)
        #expect(again.executions == 1)
    }

    @Test func `a schedule that the program cannot follow is reported`() {
        let result = Explorer().replay(Schedule("0x40")!, lostUpdate)
        #expect(result.counterexample?.kind == .nondeterminism)
    }

    @Test func `a schedule without a violation says that it was only one`() {
        let result = Explorer().replay(Schedule("0x4,1x4,2x3")!, lostUpdate)
        guard case .notExhausted(.schedule) = result.verdict else {
            Issue.record("\(result)")
            return
        }
    }

    @Test func `it prints as a table`() throws {
        let result = Explorer().explore { execution in
            let count = ExploredAtomic(0, in: execution, "count")
            for name in ["one", "other"] {
                execution.spawn(named: name) {
                    let value = try count.load(rule: "readBeforeWrite", fileID: "Module/File.swift", line: 10)
                    try count.store(value + 1, fileID: "Module/File.swift", line: 11)
                }
            }
            execution.atEnd {
                try execution.require(count.load() == 2, "no increment is lost", fileID: "Module/File.swift", line: 14)
            }
        }
        let found = try #require(result.counterexample)
        #expect(
            found.description == """
                step │ one             │ other           │ where
                ─────┼─────────────────┼─────────────────┼──────
                   1 │ load count → 0  │                 │ Module/File.swift:10  [readBeforeWrite]
                   2 │                 │ load count → 0  │ Module/File.swift:10  [readBeforeWrite]
                   3 │                 │ store count ← 1 │ Module/File.swift:11
                   4 │ store count ← 1 │                 │ Module/File.swift:11
                violated: no increment is lost (Module/File.swift:14)
                replay: 0,1x2,0
                """)
    }

    @Test(arguments: ["", "0", "0x3,1,c2,0", "c0,c1", "63x2"])
    func `schedules read back as they print`(text: String) throws {
        #expect(try #require(Schedule(text)).description == text)
    }

    @Test(arguments: [
        "x", "0x", "0x0", ",", "0,,1", "64", "-1", "c", "c-1", "0x9999999999999999999", "0 1", "0x2x2", "+1",
    ])
    func `what is no schedule is refused`(text: String) {
        #expect(Schedule(text) == nil)
    }

    @Test func `choices are replayed and made small`() throws {
        func program(_ execution: Execution) {
            let word = ExploredAtomic(0, in: execution, "word")
            execution.spawn {
                let first = try execution.choose(5)
                try word.store(first)
                let second = try execution.choose(5)
                try execution.require(second < 2, "small choices only")
            }
        }
        let result = Explorer(.random(seed: 4)).explore(program)
        let found = try #require(result.counterexample)
        #expect(Explorer().replay(found.schedule, program).counterexample == found)
        guard case .choice(0) = found.schedule.decisions[0] else {
            Issue.record("\(found)")
            return
        }
    }

    @Test func `one of thousands of steps is printed in part`() throws {
        let result = Explorer(.random(seed: 1), budget: Budget(stepsPerExecution: 1_000), minimisingExecutions: 20)
            .explore { execution in
                let word = ExploredAtomic(0, in: execution, "word")
                for _ in 0..<2 { execution.spawn { while try word.load() == 0 {} } }
            }
        let found = try #require(result.counterexample)
        #expect(found.kind == .livelock)
        #expect(found.steps.count == 2_000)
        let lines = found.description.split(separator: "\n")
        #expect(lines.count == 2 + 200 + 1 + 100 + 2)
        #expect(lines[202].hasSuffix("1700 steps left out"))
        #expect(found.schedule.decisions.count == 1_000)
    }
}
