import Interleaving
import Testing

/// A classic shape, and which final state tells the models apart.
struct LitmusShape: CustomTestStringConvertible {
    var name: String
    var program: LitmusProgram
    /// The outcome that is asked for: registers thread by thread, then the final words; nil for any value.
    var asked: [Int?]
    /// The models that have it.
    var allowed: Set<MemoryModel>
    var testDescription: String { name }

    init(
        _ name: String, words: Int = 2, _ threads: [[LitmusOperation]], asked: [Int?],
        allowed: Set<MemoryModel> = []
    ) {
        self.name = name
        program = LitmusProgram(words: words, threads)
        self.asked = asked
        self.allowed = allowed
    }

    func isAsked(_ outcome: [Int]) -> Bool { zip(outcome, asked).allSatisfy { $1 == nil || $0 == $1 } }

    private static let x = 0, y = 1, z = 2

    /// The answers are those of the x86-TSO papers (n5, n6 and the examples of the manuals), of J. Alglave, L. Maranget, S. Sarkar,
    /// P. Sewell: Fences in weak memory models, CAV 2010 (the names), and of no explorer.
    static let all: [LitmusShape] = [
        LitmusShape(
            "SB", [[.store(x, 1), .load(y)], [.store(y, 1), .load(x)]], asked: [0, 0], allowed: [.totalStoreOrder]),
        LitmusShape(
            "SB with fences", [[.store(x, 1), .fence, .load(y)], [.store(y, 1), .fence, .load(x)]], asked: [0, 0]),
        LitmusShape(
            "SB with one fence", [[.store(x, 1), .fence, .load(y)], [.store(y, 1), .load(x)]], asked: [0, 0],
            allowed: [.totalStoreOrder]),
        LitmusShape(
            "SB with exchanges", [[.exchange(x, 1), .load(y)], [.exchange(y, 1), .load(x)]],
            asked: [0, 0, 0, 0]),
        LitmusShape(
            "SB with another read-modify-write between", words: 3,
            [[.store(x, 1), .add(z), .load(y)], [.store(y, 1), .add(z), .load(x)]], asked: [nil, 0, nil, 0]),
        LitmusShape("MP", [[.store(x, 1), .store(y, 1)], [.load(y), .load(x)]], asked: [1, 0]),
        LitmusShape("LB", [[.load(x), .store(y, 1)], [.load(y), .store(x, 1)]], asked: [1, 1]),
        LitmusShape("CoRR", words: 1, [[.store(x, 1)], [.load(x), .load(x)]], asked: [1, 0]),
        LitmusShape("CoWR", words: 1, [[.store(x, 1), .load(x)], [.store(x, 2)]], asked: [2, 1]),
        LitmusShape("2+2W", [[.store(x, 1), .store(y, 2)], [.store(y, 1), .store(x, 2)]], asked: [1, 1]),
        LitmusShape(
            "R", [[.store(x, 1), .store(y, 1)], [.store(y, 2), .load(x)]], asked: [0, nil, 2],
            allowed: [.totalStoreOrder]),
        LitmusShape(
            "R with a fence", [[.store(x, 1), .store(y, 1)], [.store(y, 2), .fence, .load(x)]], asked: [0, nil, 2]),
        LitmusShape("S", [[.store(x, 2), .store(y, 1)], [.load(y), .store(x, 1)]], asked: [1, 2]),
        LitmusShape(
            "IRIW", [[.store(x, 1)], [.store(y, 1)], [.load(x), .load(y)], [.load(y), .load(x)]], asked: [1, 0, 1, 0]),
        LitmusShape(
            "WRC", [[.store(x, 1)], [.load(x), .store(y, 1)], [.load(y), .load(x)]], asked: [1, 1, 0]),
        LitmusShape(
            "RWC", [[.store(x, 1)], [.load(x), .load(y)], [.store(y, 1), .load(x)]], asked: [1, 0, 0],
            allowed: [.totalStoreOrder]),
        LitmusShape(
            "SB with forwarding (n6 as a store buffer)",
            [[.store(x, 1), .load(x), .load(y)], [.store(y, 1), .load(y), .load(x)]], asked: [1, 0, 1, 0],
            allowed: [.totalStoreOrder]),
        LitmusShape(
            "n6", [[.store(x, 1), .load(x), .load(y)], [.store(y, 2), .store(x, 2)]], asked: [1, 0, 1, nil],
            allowed: [.totalStoreOrder]),
        LitmusShape("n5", words: 1, [[.store(x, 1), .load(x)], [.store(x, 2), .load(x)]], asked: [2, 1]),
        LitmusShape(
            "n4b", words: 1, [[.load(x), .store(x, 1)], [.load(x), .store(x, 2)]], asked: [2, 1]),
        LitmusShape(
            "a wait that the own buffer answers",
            [[.store(x, 1), .wait(x, for: 1), .load(y)], [.store(y, 1), .wait(y, for: 1), .load(x)]],
            asked: [1, 0, 1, 0], allowed: [.totalStoreOrder]),
    ]
}

@Suite struct `Litmus shapes with store buffers` {
    @Test(arguments: LitmusShape.all, MemoryModel.allCases)
    func `have exactly the outcomes of the abstract machine`(shape: LitmusShape, model: MemoryModel) {
        let (seen, result) = shape.program.explore(Explorer(model: model))
        #expect(result.isExhausted, "\(result)")
        #expect(result.model == model)
        #expect(seen == shape.program.reachableOutcomes(model))
        #expect(seen.contains(where: shape.isAsked) == shape.allowed.contains(model), "\(seen)")
    }

    @Test(arguments: LitmusShape.all.filter { $0.program.threads.joined().count < 6 })
    func `have the same outcomes without the reduction`(shape: LitmusShape) {
        let explorer = Explorer(.unreduced, model: .totalStoreOrder)
        let (seen, result) = shape.program.explore(explorer)
        #expect(result.isExhausted)
        #expect(seen == shape.program.reachableOutcomes(.totalStoreOrder))
    }

    @Test func `random ones have exactly the outcomes of the abstract machine`() {
        for seed in UInt64(0)..<1_000 {
            let program = LitmusProgram(seed: seed, operations: 4)
            for model in MemoryModel.allCases {
                let (seen, result) = program.explore(Explorer(model: model))
                let expected = program.reachableOutcomes(model)
                #expect(result.isExhausted && seen == expected, "seed \(seed), \(model)\n\(program)")
            }
        }
    }

    @Test func `one execution for each order of dependent steps`() {
        func executions(_ threads: [[LitmusOperation]]) -> Int {
            LitmusProgram(words: 2, threads).explore(Explorer(model: .totalStoreOrder)).result.executions
        }
        #expect(executions([[.store(0, 1), .load(1)], [.store(1, 1), .load(0)]]) == 4)
        #expect(executions([[.store(0, 1), .load(0), .load(0)], [.store(1, 1), .load(1)]]) == 1, "own stores")
        #expect(executions([[.store(0, 1), .load(0)], [.store(0, 2), .load(0)]]) == 4)
    }
}

@Suite struct `Mutual exclusion with store buffers` {
    /// Peterson's algorithm; x86 needs a fence between the stores and the loads.
    private func peterson(fence isFenced: Bool, _ model: MemoryModel) -> Exploration {
        Explorer(model: model).explore { execution in
            let wants = (0..<2).map { ExploredAtomic(0, in: execution, "wants", index: $0) }
            let turn = ExploredAtomic(0, in: execution, "turn")
            let inside = ExploredAtomic(0, in: execution, "inside")
            for own in 0..<2 {
                execution.spawn(named: "processor \(own)") {
                    try wants[own].store(1)
                    try turn.store(1 - own)
                    if isFenced { try execution.fence() }
                    while true {
                        let other = try wants[1 - own].load()
                        if other == 0 { break }
                        if try turn.load() == own { break }
                        try execution.pause()
                    }
                    try execution.require(try inside.add(1) == 0, "one is inside")
                    try inside.add(-1)
                    try wants[own].store(0)
                }
            }
        }
    }

    @Test func `Peterson is right in order, wrong with store buffers, and right again with a fence`() {
        #expect(peterson(fence: false, .sequential).isExhausted)
        let wrong = peterson(fence: false, .totalStoreOrder)
        #expect(wrong.counterexample?.kind == .property, "\(wrong)")
        let right = peterson(fence: true, .totalStoreOrder)
        #expect(right.isExhausted, "\(right)")
    }

    private func dekker(fence isFenced: Bool, _ model: MemoryModel) -> Exploration {
        Explorer(model: model).explore { execution in
            let flags = (0..<2).map { ExploredAtomic(0, in: execution, "flag", index: $0) }
            let inside = ExploredAtomic(0, in: execution, "inside")
            for own in 0..<2 {
                execution.spawn {
                    try flags[own].store(1)
                    if isFenced { try execution.fence() }
                    if try flags[1 - own].load() == 0 {
                        try execution.require(try inside.add(1) == 0, "one is inside")
                        try inside.add(-1)
                    }
                    try flags[own].store(0)
                }
            }
        }
    }

    @Test func `Dekker's entry needs its fence`() {
        #expect(dekker(fence: false, .sequential).isExhausted)
        #expect(dekker(fence: false, .totalStoreOrder).counterexample != nil)
        #expect(dekker(fence: true, .totalStoreOrder).isExhausted)
    }

    @Test func `a lock is enough`() {
        let result = Explorer(model: .totalStoreOrder).explore { execution in
            let lock = ExploredLock(in: execution)
            let word = ExploredAtomic(0, in: execution, "count")
            for _ in 0..<3 {
                execution.spawn { try lock.withLock { try word.store(word.load() + 1) } }
            }
            execution.atEnd { try execution.require(word.load() == 3, "no increment is lost") }
        }
        #expect(result.isExhausted, "\(result)")
        #expect(result.executions == 6)
    }
}

@Suite struct `A thread with a store buffer` {
    @Test func `starts another thread after what it stored before`() {
        let result = Explorer(model: .totalStoreOrder).explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            execution.spawn {
                try word.store(1)
                execution.spawn { try execution.require(word.load() == 1, "the store is seen") }
            }
        }
        #expect(result.isExhausted, "\(result)")
    }

    @Test func `comes back from a loop that only stores`() {
        let explorer = Explorer(.random(seed: 1), model: .totalStoreOrder, budget: Budget(stepsPerExecution: 500))
        let result = explorer.explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            execution.spawn { while true { try word.store(1) } }
        }
        #expect(result.counterexample?.kind == .livelock, "\(result.verdict)")
    }

    @Test func `shows in a counterexample when its stores are performed, in its own column`() throws {
        let program: (Execution) throws -> Void = { execution in
            let words = (0..<2).map { ExploredAtomic(0, in: execution, "word", index: $0) }
            let seen = Registers(2)
            for own in 0..<2 {
                execution.spawn {
                    try words[own].store(1)
                    try seen.append(words[1 - own].load(), to: own)
                }
            }
            execution.atEnd { try execution.require(seen.values != [[0], [0]], "one sees the other") }
        }
        let explorer = Explorer(model: .totalStoreOrder)
        let found = try #require(explorer.explore(program).counterexample)
        #expect(found.threads == ["thread 0", "thread 1"])
        let labels = [
            "store word[0] ← 1", "load word[1] → 0", "performs store word[0] ← 1", "store word[1] ← 1",
            "load word[0] → 0", "performs store word[1] ← 1",
        ]
        #expect(Set(found.steps.map(\.label)) == Set(labels), "\(found)")
        let again = try #require(explorer.replay(found.schedule, program).counterexample)
        #expect(again.steps == found.steps)
        #expect(Explorer().explore(program).isExhausted)
    }

    @Test func `that waits for its own value and another's store comes to an end`() {
        let result = Explorer(model: .totalStoreOrder).explore { execution in
            let word = ExploredAtomic(0, in: execution, "word")
            execution.spawn {
                try word.store(1)
                while try word.load() == 1 { try execution.pause() }
            }
            execution.spawn {
                try word.wait { $0 == 1 }
                try word.store(2)
            }
        }
        #expect(result.isExhausted, "\(result)")
    }
}
