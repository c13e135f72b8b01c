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
                step │ one             │ other           │ rule            │ where
                ─────┼─────────────────┼─────────────────┼─────────────────┼─────────────────────
                   1 │ load count → 0  │                 │ readBeforeWrite │ Module/File.swift:10
                   2 │                 │ load count → 0  │ readBeforeWrite │ Module/File.swift:10
                   3 │                 │ store count ← 1 │                 │ Module/File.swift:11
                   4 │ store count ← 1 │                 │                 │ Module/File.swift:11
                violated: no increment is lost (Module/File.swift:14)
                replay: 0,1x2,0
                """)
    }

    @Test func `columns that have nothing in them are left out`() throws {
        let result = Explorer().explore { execution in
            execution.spawn(named: "only") {
                try execution.step(Access(.write, ObjectID(1), fileID: "", line: 0), "one step")
                try execution.violate("never", fileID: "Module/File.swift", line: 3)
            }
        }
        #expect(
            try #require(result.counterexample).table == """
                step │ only
                ─────┼─────────
                   1 │ one step
                violated: never (Module/File.swift:3)
                """)
    }

    @Test func `a table that would be too wide names the thread of each step`() throws {
        let result = Explorer().explore { execution in
            for name in ["one", "two", "three"] {
                execution.spawn(named: name) {
                    let access = Access(.write, ObjectID(1), rule: "rule", fileID: "Module/File.swift", line: 3)
                    try execution.step(access, String(repeating: name, count: 20))
                }
            }
            execution.atEnd { try execution.violate("never", fileID: "Module/File.swift", line: 4) }
        }
        let rows = try #require(result.counterexample).table.split(separator: "\n")
        #expect(rows[0].hasPrefix("step │ thread │ what "))
        #expect(rows[0].hasSuffix(" │ rule │ where"))
        #expect(rows[2].hasPrefix("   1 │ one    │ oneone"))
        #expect(rows.allSatisfy { $0.count <= 160 })
    }

    @Test func `what is asked between two steps of a thread belongs to its next step`() throws {
        let result = Explorer().explore { execution in
            func step(_ object: UInt64, _ rule: StaticString = "") throws {
                try execution.step(Access(.write, ObjectID(object), rule: rule, fileID: "M/F", line: 1), "step")
            }
            execution.spawn {
                try step(1)
                for rule in ["first", "second", "first"] { execution.nextStep(belongsTo: rule) }
                try step(1, "own")
                try step(1)
            }
            execution.spawn { try step(2) }
            execution.atEnd { try execution.violate("never") }
        }
        let found = try #require(result.counterexample)
        #expect(found.steps.filter { $0.thread == 0 }.map(\.rule) == ["", "own, first, second", ""])
        #expect(found.steps.filter { $0.thread == 1 }.map(\.rule) == [""])
    }

    // What a stack tells is not read on Darwin.
    #if !canImport(Darwin)
        @Test func `what a transparent module announces is shown at the line that asked for it`() throws {
            func step(_ execution: Execution) throws {
                try execution.step(Access(.write, ObjectID(1), fileID: "Glass/Pane.swift", line: 1), "step")
            }
            let asked = UInt(#line - 2)
            let result = Explorer().explore { execution in
                execution.transparentModules = ["Glass", "InterleavingTests"]
                execution.spawn {
                    try step(execution)
                    try execution.violate("never", fileID: "Glass/Pane.swift", line: 2)
                }
            }
            // Nothing is outside the modules: the innermost line of the last.
            let found = try #require(result.counterexample)
            #expect(found.steps[0].fileID == "InterleavingTests/CounterexampleTests.swift")
            #expect(found.steps[0].line == asked)
            #expect(found.property == "never (InterleavingTests/CounterexampleTests.swift:\(asked + 7))")
        }

        @Test func `a wait that a transparent module announces is shown there as well`() throws {
            let result = Explorer().explore { execution in
                execution.transparentModules = ["Glass"]
                execution.spawn(named: "waiter") {
                    let access = Access(.wait, ObjectID(7), fileID: "Glass/Pane.swift", line: 1)
                    try execution.wait(access, until: { false }, "wait")
                }
            }
            let found = try #require(result.counterexample)
            let line = UInt(#line - 4)
            #expect(
                found.property
                    == "deadlock: waiter waits on object 7 (InterleavingTests/CounterexampleTests.swift:\(line))")
        }
    #endif

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
