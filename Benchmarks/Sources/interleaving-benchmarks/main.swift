// How many executions per second the explorer makes of two protocols that other checkers have been measured with, and how many
// it needs. GenMC 0.11 explores 13,000 - 22,000 executions of them per second; the counts beside are its own and Nidhugg's: the number
// of executions that differ in the order of dependent steps.

import Interleaving

func measure(
    _ name: String, expected: Int?, with explorer: Explorer = Explorer(), _ program: (Execution) throws -> Void
) {
    var best = explorer.explore(program)
    // Short ones are mostly the first use of memory: take the fastest of some.
    var repetitions = best.seconds < 0.05 ? 20 : best.seconds < 1 ? 3 : 0
    while repetitions > 0 {
        let again = explorer.explore(program)
        if again.seconds < best.seconds { best = again }
        repetitions -= 1
    }
    func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
    print(
        name + String(repeating: " ", count: max(0, 26 - name.count)), padded("\(best.executions)", 10),
        padded("\(best.prunedExecutions)", 8), padded(expected.map { "\($0)" } ?? "-", 10),
        padded("\(Int(best.seconds * 1e6))", 12), padded("\(Int(best.executionsPerSecond))", 12),
        padded("\(Int(best.seconds * 1e9 / Double(max(1, best.steps))))", 8),
        best.isExhausted ? "exhausted" : "\(best.verdict)")
}

print("program                    executions   pruned   expected microseconds executions/s  ns/step verdict")
measure("pin W=1", expected: 7, pin(walkers: 1))
measure("pin W=2", expected: 153, pin(walkers: 2))
measure("pin W=3", expected: 9_063, pin(walkers: 3))
measure("pin W=1 P=2", expected: 49, pin(walkers: 1, pages: 2))
measure("pin W=1 P=4", expected: 2_401, pin(walkers: 1, pages: 4))
measure("pin W=2 symmetric", expected: 78, pin(walkers: 2, symmetric: true))
measure("pin W=3 symmetric", expected: 1_530, pin(walkers: 3, symmetric: true))
for walkers in 1...9 {
    var expected = 1
    for _ in 0..<walkers { expected *= 3 }
    measure("rcu W=\(walkers)", expected: expected, rcu(walkers: walkers))
}
measure("3 x 4 loads, unreduced", expected: 34_650, with: Explorer(.unreduced)) { execution in
    let word = ExploredAtomic(0, in: execution)
    for _ in 0..<3 { execution.spawn { for _ in 0..<4 { _ = try word.load() } } }
}
if CommandLine.arguments.contains("--long") {
    measure("pin W=4", expected: 1_039_057, with: Explorer(budget: Budget(seconds: 600)), pin(walkers: 4))
    measure("pin W=4 symmetric", expected: 43_723, pin(walkers: 4, symmetric: true))
}
