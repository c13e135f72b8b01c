import Interleaving

/// One operation of a litmus thread on words that are numbered from 0.
enum LitmusOperation: Hashable {
    case store(Int, Int)
    case load(Int)
    case exchange(Int, Int)
    case add(Int)
    case compareExchange(Int, Int, Int)
    case fence
    /// Waits until the word has the value; one that never has it leaves its thread where it is.
    case wait(Int, for: Int)
}

/// Straight-line threads on words that are 0 at first. An outcome is what all operations saw, thread by thread, and the final words.
struct LitmusProgram: CustomStringConvertible {
    var words: Int
    var threads: [[LitmusOperation]]

    init(words: Int, _ threads: [[LitmusOperation]]) {
        self.words = words
        self.threads = threads
    }

    /// At random, with at most `operations` in each of two or three threads.
    init(seed: UInt64, operations: Int) {
        var random = SeededRandom(seed: seed)
        let words = Int.random(in: 1...3, using: &random)
        self.words = words
        threads = (0..<Int.random(in: 2...3, using: &random)).map { _ in
            (0..<Int.random(in: 1...operations, using: &random)).map { _ in
                let word = Int.random(in: 0..<words, using: &random)
                let value = Int.random(in: 1...3, using: &random)
                switch Int.random(in: 0..<20, using: &random) {
                case 0...7: return .store(word, value)
                case 8...14: return .load(word)
                case 15: return .fence
                case 16: return .exchange(word, value)
                case 17: return .add(word)
                case 18: return .compareExchange(word, value - 1, value)
                default: return .wait(word, for: value - 1)
                }
            }
        }
    }

    var description: String {
        threads.enumerated().map { "thread \($0): \($1.map { "\($0)" }.joined(separator: ", "))" }
            .joined(separator: "\n")
    }

    func explore(_ explorer: Explorer) -> (seen: Set<[Int]>, result: Exploration) {
        outcomes(explorer) { execution, record in
            let words = (0..<words).map { ExploredAtomic(0, in: execution, "word", index: $0) }
            let registers = Registers(threads.count)
            for (index, thread) in threads.enumerated() {
                execution.spawn(daemon: true) {
                    for operation in thread {
                        switch operation {
                        case .store(let word, let value): try words[word].store(value)
                        case .load(let word): try registers.append(words[word].load(), to: index)
                        case .exchange(let word, let value):
                            try registers.append(words[word].exchange(value), to: index)
                        case .add(let word): try registers.append(words[word].add(1), to: index)
                        case .compareExchange(let word, let expected, let desired):
                            let (exchanged, _) = try words[word].compareExchange(expected: expected, desired: desired)
                            registers.append(exchanged ? 1 : 0, to: index)
                        case .fence: try execution.fence()
                        case .wait(let word, let value):
                            try registers.append(words[word].wait { $0 == value }, to: index)
                        }
                    }
                }
            }
            execution.atEnd { try record(registers.values.flatMap { $0 } + words.map { try $0.load() }) }
        }
    }
}

extension LitmusProgram {
    /// All outcomes by going through all states of the abstract machine: an oracle that shares nothing with the explorer.
    func reachableOutcomes(_ model: MemoryModel) -> Set<[Int]> {
        var found: Set<[Int]> = []
        var visited: Set<AbstractMachine> = []
        var open = [
            AbstractMachine(
                memory: Array(repeating: 0, count: words), next: threads.map { _ in 0 },
                registers: threads.map { _ in [] }, buffers: threads.map { _ in [] })
        ]
        while let state = open.popLast() {
            let successors = threads.indices.flatMap { state.successors(of: $0, threads[$0], model) }
            if successors.isEmpty { found.insert(state.registers.flatMap { $0 } + state.memory) }
            for successor in successors where visited.insert(successor).inserted { open.append(successor) }
        }
        return found
    }
}

/// The machine of the x86-TSO papers: memory, and a queue of stores for each thread.
private struct AbstractMachine: Hashable {
    var memory: [Int]
    var next: [Int]
    var registers: [[Int]]
    var buffers: [[[Int]]]

    func successors(of thread: Int, _ operations: [LitmusOperation], _ model: MemoryModel) -> [AbstractMachine] {
        var all: [AbstractMachine] = []
        if let oldest = buffers[thread].first {
            var state = self
            state.buffers[thread].removeFirst()
            state.memory[oldest[0]] = oldest[1]
            all.append(state)
        }
        guard next[thread] < operations.count else { return all }
        var state = self
        state.next[thread] += 1
        func value(_ word: Int) -> Int { buffers[thread].last { $0[0] == word }?[1] ?? memory[word] }
        let isEmpty = buffers[thread].isEmpty
        switch operations[next[thread]] {
        case .store(let word, let value):
            if model == .sequential { state.memory[word] = value } else { state.buffers[thread].append([word, value]) }
        case .load(let word): state.registers[thread].append(value(word))
        case .wait(let word, let wanted):
            guard value(word) == wanted else { return all }
            state.registers[thread].append(wanted)
        case .fence: guard isEmpty else { return all }
        case .exchange(let word, let value):
            guard isEmpty else { return all }
            state.registers[thread].append(memory[word])
            state.memory[word] = value
        case .add(let word):
            guard isEmpty else { return all }
            state.registers[thread].append(memory[word])
            state.memory[word] += 1
        case .compareExchange(let word, let expected, let desired):
            guard isEmpty else { return all }
            state.registers[thread].append(memory[word] == expected ? 1 : 0)
            if memory[word] == expected { state.memory[word] = desired }
        }
        return all + [state]
    }
}
