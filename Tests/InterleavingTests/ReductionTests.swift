import Interleaving
import Testing

@Suite struct `The reduction loses nothing` {
    @Test(arguments: RandomProgram.Language.allCases)
    func `random programs have the same outcomes with and without it`(language: RandomProgram.Language) {
        var all = 0
        var reduced = 0
        for seed in UInt64(0)..<300 {
            let program = RandomProgram(seed: seed, language)
            let (expected, full) = program.explore(.unreduced)
            let (seen, result) = program.explore(.reduced)
            #expect(full.isExhausted && result.isExhausted, "seed \(seed), \(language)\n\(program)")
            #expect(seen == expected, "seed \(seed), \(language)\n\(program)")
            #expect(result.executions <= full.executions, "seed \(seed), \(language)\n\(program)")
            all += full.executions
            reduced += result.executions
        }
        #expect(reduced * 3 < all, "it is worth its price")
    }

    @Test(arguments: RandomProgram.Language.allCases)
    func `random programs with store buffers have the same outcomes with and without it`(
        language: RandomProgram.Language
    ) {
        var reordered = 0
        var compared = 0
        for seed in UInt64(0)..<150 {
            let program = RandomProgram(seed: seed, language)
            let all = Explorer(.unreduced, model: .totalStoreOrder, budget: Budget(executions: 10_000))
            let (expected, full) = program.explore(with: all)
            let (seen, result) = program.explore(.reduced, model: .totalStoreOrder)
            #expect(result.isExhausted, "seed \(seed), \(language)\n\(program)")
            // What is too large to be enumerated can still tell of a lost outcome.
            #expect(
                full.isExhausted ? seen == expected : seen.isSuperset(of: expected),
                "seed \(seed), \(language)\n\(program)")
            let (ordered, _) = program.explore(.reduced)
            #expect(seen.isSuperset(of: ordered), "seed \(seed), \(language)\n\(program)")
            if full.isExhausted { compared += 1 }
            if seen != ordered { reordered += 1 }
        }
        #expect(compared > 120 && reordered > 0)
    }

    @Test(arguments: RandomProgram.Language.allCases)
    func `symmetric threads have the outcomes of threads that are told apart`(language: RandomProgram.Language) {
        for seed in UInt64(0)..<150 {
            let program = RandomProgram(seed: seed, language, symmetric: true)
            let (expected, _) = program.explore(.unreduced)
            let (seen, result) = program.explore(.reduced, symmetric: true)
            let (apart, told) = program.explore(.reduced)
            #expect(seen == expected && apart == expected, "seed \(seed), \(language)\n\(program)")
            #expect(result.executions <= told.executions, "seed \(seed), \(language)\n\(program)")
        }
    }

    @Test func `independent pairs multiply and nothing else`() {
        let result = Explorer().explore { execution in
            for pair in 0..<3 {
                let word = ExploredAtomic(0, in: execution, "word", index: pair)
                execution.spawn { try word.store(1) }
                execution.spawn { _ = try word.load() }
            }
        }
        #expect(result.isExhausted)
        #expect(result.executions == 8)
        #expect(result.prunedExecutions == 0)
    }

    @Test func `a lock orders its critical sections and the rest is not explored twice`() {
        let result = Explorer().explore { execution in
            let lock = ExploredLock(in: execution)
            let word = ExploredAtomic(0, in: execution, "count")
            for _ in 0..<3 {
                execution.spawn { try lock.withLock { try word.store(word.load() + 1) } }
            }
            execution.atEnd { try execution.require(word.load() == 3, "no increment is lost") }
        }
        #expect(result.isExhausted, "\(result)")
        #expect(result.executions == 6)
        #expect(result.prunedExecutions == 0)
    }

    @Test func `more threads than clocks are first made for, more objects than the table`() {
        let result = Explorer().explore { execution in
            let words = (0..<200).map { ExploredAtomic(0, in: execution, "word", index: $0) }
            let fresh = (0..<16).map { ExploredAtomic(0, in: execution, "fresh", index: $0) }
            execution.spawn { for word in words[20...] { try word.store(1) } }
            for thread in 1..<20 {
                execution.spawn {
                    try words[thread].store(1)
                    // Spawned by a thread: clocks grow in the middle of an execution.
                    if thread >= 18 {
                        for own in 0..<8 { execution.spawn { try fresh[thread % 2 * 8 + own].store(2) } }
                    }
                    if thread == 18 { execution.spawn { _ = try words[199].load() } }
                    if thread == 2 { _ = try words[150].load() }
                }
            }
            execution.atEnd { try execution.require(words[199].load() == 1, "the store is not lost") }
        }
        #expect(result.isExhausted, "\(result)")
        #expect(result.executions == 4, "two loads, each before or after its store")
    }
}
