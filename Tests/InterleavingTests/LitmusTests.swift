import Interleaving
import Testing

/// Runs a program to exhaustion and collects what `record` was given in final checks.
func outcomes(
    _ explorer: Explorer = Explorer(), _ program: (Execution, _ record: @escaping ([Int]) -> Void) throws -> Void
) -> (seen: Set<[Int]>, result: Exploration) {
    var seen: Set<[Int]> = []
    let result = explorer.explore { execution in try program(execution) { seen.insert($0) } }
    return (seen, result)
}

private func litmus(
    _ threads: [[LitmusOperation]], _ strategy: Strategy = .reduced
) -> (seen: Set<[Int]>, result: Exploration) {
    LitmusProgram(words: 2, threads).explore(Explorer(strategy))
}

/// What threads keep to themselves until the end.
final class Registers {
    private(set) var values: [[Int]]
    init(_ threads: Int) { values = Array(repeating: [], count: threads) }
    func append(_ value: Int, to thread: Int) { values[thread].append(value) }
}

@Suite struct `Litmus shapes under sequential consistency` {
    @Test func `store buffering: at least one thread sees the other's store`() {
        let (seen, result) = litmus([[.store(0, 1), .load(1)], [.store(1, 1), .load(0)]])
        #expect(result.isExhausted)
        #expect(seen == [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
        #expect(result.executions == 3, "one execution for each outcome")
    }

    @Test func `message passing: who sees the flag sees the data`() {
        let (seen, result) = litmus([[.store(0, 1), .store(1, 1)], [.load(1), .load(0)]])
        #expect(result.isExhausted)
        #expect(seen == [[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]])
    }

    @Test func `load buffering: not both loads see what comes later`() {
        let (seen, result) = litmus([[.load(0), .store(1, 1)], [.load(1), .store(0, 1)]])
        #expect(result.isExhausted)
        #expect(seen == [[0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 1, 1]])
    }

    @Test func `two writes each, crosswise: not both first writes win`() {
        let (seen, result) = litmus([[.store(0, 1), .store(1, 2)], [.store(1, 1), .store(0, 2)]])
        #expect(result.isExhausted)
        #expect(seen == [[2, 1], [2, 2], [1, 2]])
    }

    @Test func `independent readers agree on the order of independent writes`() {
        let (seen, result) = litmus([[.store(0, 1)], [.store(1, 1)], [.load(0), .load(1)], [.load(1), .load(0)]])
        #expect(result.isExhausted)
        var allowed: Set<[Int]> = []
        for value in 0..<16 {
            let loads = (0..<4).map { value >> $0 & 1 }
            if loads != [1, 0, 1, 0] { allowed.insert(loads + [1, 1]) }
        }
        #expect(seen == allowed)
    }

    @Test func `coherence: a word never goes back`() {
        let (seen, result) = litmus([[.store(0, 1)], [.store(0, 2)], [.load(0), .load(0)]])
        #expect(result.isExhausted)
        let pairs = Set(seen.map { [$0[0], $0[1]] })
        #expect(pairs == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2], [2, 1]])
        #expect(!seen.contains([1, 2, 1, 0]) && !seen.contains([2, 1, 2, 0]))
    }

    @Test func `read-modify-writes are atomic`() {
        let (added, _) = litmus([[.add(0)], [.add(0)], [.add(0)]])
        #expect(Set(added.map { $0[3] }) == [3])
        #expect(added.count == 6, "each order of three")
        let (exchanged, _) = litmus([[.compareExchange(0, 0, 1)], [.compareExchange(0, 0, 2)]])
        #expect(exchanged == [[1, 0, 1, 0], [0, 1, 2, 0]])
    }

    @Test(arguments: [Strategy.unreduced, .reduced])
    func `loads of one word commute`(strategy: Strategy) {
        let (seen, result) = litmus([[.load(0), .load(0)], [.load(0), .load(0)], [.load(0)]], strategy)
        #expect(seen == [[0, 0, 0, 0, 0, 0, 0]])
        #expect(result.executions == (strategy == .reduced ? 1 : 30))
    }
}
