import Interleaving
import Testing

/// Runs a litmus shape to exhaustion and collects what its observers saw in each execution.
func outcomes(
    _ strategy: Strategy = .reduced, _ program: (Execution, _ record: @escaping ([Int]) -> Void) throws -> Void
) -> (outcomes: Set<[Int]>, exploration: Exploration) {
    var seen: Set<[Int]> = []
    let result = Explorer(strategy).explore { execution in
        try program(execution) { seen.insert($0) }
    }
    return (seen, result)
}

@Suite struct `Litmus shapes under sequential consistency` {
    @Test func `store buffering: somebody sees a store`() {
        let (seen, result) = outcomes { execution, record in
            let x = ExploredAtomic(0, in: execution, "x")
            let y = ExploredAtomic(0, in: execution, "y")
            let r = [0, 1].map { ExploredAtomic(0, in: execution, "r", index: $0) }
            execution.spawn {
                try x.store(1)
                try r[0].store(y.load())
            }
            execution.spawn {
                try y.store(1)
                try r[1].store(x.load())
            }
            execution.atEnd { try record([r[0].load(), r[1].load()]) }
        }
        #expect(result.isExhausted, "\(result)")
        #expect(seen == [[0, 1], [1, 0], [1, 1]])
    }
}
