import Interleaving

/// SplitMix64, so that a failure's seed replays it anywhere.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// A small program drawn at random: what a reduction must not lose an outcome of.
///
/// Threads are daemons, so that one that waits for ever is an outcome and not a deadlock.
struct RandomProgram: CustomStringConvertible {
    indirect enum Operation {
        case load(Int)
        case store(Int, Int)
        case storeLastPlusOne(Int)
        case storeIfLastWasNotZero(Int)
        case add(Int)
        case exchange(Int, Int)
        case compareExchange(Int, Int, Int)
        case choose
        case lock(Int)
        case unlock(Int)
        case tryLock(Int)
        case wait(Int, for: Int)
        case waitForSumOne(Int, Int)
        case spinUntilAtLeast(Int, Int)
        case everything
        case fence
        case spawn([Operation])
    }

    /// How much of the language a program may use.
    enum Language: CaseIterable {
        case words
        case locks
        case waiting
        /// Mostly stores and loads: what a store buffer reorders.
        case buffers
    }

    var words: Int
    var threads: [[Operation]]

    init(seed: UInt64, _ language: Language, symmetric: Bool = false) {
        var random = SeededRandom(seed: seed)
        words = Int.random(in: 1...3, using: &random)
        let count = Int.random(in: 2...3, using: &random)
        threads = []
        for _ in 0..<count {
            let length = Int.random(in: 2...(count == 2 ? 4 : 3), using: &random)
            threads.append(Self.body(length, words, language, mayFork: !symmetric, &random))
        }
        if symmetric { threads = threads.map { _ in threads[0] } }
    }

    private static func body(
        _ length: Int, _ words: Int, _ language: Language, mayFork: Bool, _ random: inout SeededRandom
    ) -> [Operation] {
        var operations: [Operation] = []
        var held: Int?
        let kinds =
            switch language {
            case .words: 9
            case .locks: 12
            case .waiting: 17
            case .buffers: 0
            }
        if language == .buffers { return buffered(length, words, &random) }
        while operations.count < length {
            let word = Int.random(in: 0..<words, using: &random)
            let value = Int.random(in: 1...3, using: &random)
            switch Int.random(in: 0..<kinds, using: &random) {
            case 0, 1: operations.append(.load(word))
            case 2: operations.append(.store(word, value))
            case 3: operations.append(.add(word))
            case 4: operations.append(.compareExchange(word, value - 1, value))
            case 5: operations.append(.exchange(word, value))
            case 6: operations.append(.storeLastPlusOne(word))
            case 7: operations.append(.storeIfLastWasNotZero(word))
            case 8: operations.append(.choose)
            case 9, 10:
                if let lock = held {
                    operations.append(.unlock(lock))
                    held = nil
                } else {
                    held = value % 2
                    operations.append(.lock(value % 2))
                }
            case 11: operations.append(.tryLock(value % 2))
            case 12: operations.append(.wait(word, for: value - 1))
            case 13: operations.append(.waitForSumOne(word, (word + 1) % words))
            case 14: operations.append(.spinUntilAtLeast(word, value - 1))
            case 15: operations.append(.everything)
            default: if mayFork { operations.append(.spawn(body(1, words, language, mayFork: false, &random))) }
            }
        }
        if let held, Bool.random(using: &random) { operations.append(.unlock(held)) }
        return operations
    }

    private static func buffered(_ length: Int, _ words: Int, _ random: inout SeededRandom) -> [Operation] {
        (0..<length).map { _ in
            let word = Int.random(in: 0..<words, using: &random)
            let value = Int.random(in: 1...3, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3: return .store(word, value)
            case 4...6: return .load(word)
            case 7: return .storeLastPlusOne(word)
            case 8: return value == 1 ? .fence : .wait(word, for: value - 1)
            default: return value == 1 ? .exchange(word, value) : .spinUntilAtLeast(word, value - 1)
            }
        }
    }

    var description: String {
        threads.enumerated().map { "thread \($0): \($1.map { "\($0)" }.joined(separator: ", "))" }.joined(
            separator: "\n")
    }

    /// All outcomes: final words, and what each thread has seen and how far it has come.
    func explore(
        _ strategy: Strategy, model: MemoryModel = .sequential, symmetric: Bool = false
    ) -> (seen: Set<[Int]>, result: Exploration) {
        explore(with: Explorer(strategy, model: model), symmetric: symmetric)
    }

    func explore(with explorer: Explorer, symmetric: Bool = false) -> (seen: Set<[Int]>, result: Exploration) {
        outcomes(explorer) { execution, record in
            let words = (0..<words).map { ExploredAtomic(0, in: execution, "word", index: $0) }
            let locks = (0..<2).map { ExploredLock(in: execution, index: $0) }
            let everything = execution.newObject()
            let histories = Histories()

            func run(_ operations: [Operation]) -> () throws -> Void {
                let slot = histories.add()
                return {
                    var last = 0
                    func see(_ value: Int) {
                        last = value
                        histories.see(value, slot)
                    }
                    for operation in operations {
                        histories.see(100, slot)
                        switch operation {
                        case .load(let word): try see(words[word].load())
                        case .store(let word, let value): try words[word].store(value)
                        case .storeLastPlusOne(let word): try words[word].store(last + 1)
                        case .storeIfLastWasNotZero(let word): if last != 0 { try words[word].store(3) }
                        case .add(let word): try see(words[word].add(1))
                        case .exchange(let word, let value): try see(words[word].exchange(value))
                        case .compareExchange(let word, let old, let new):
                            try see(words[word].compareExchange(expected: old, desired: new).original)
                        case .choose: try see(execution.choose(2))
                        case .lock(let lock): if !locks[lock].isHeld { try locks[lock].lock() }
                        case .unlock(let lock): if locks[lock].isHeld { try locks[lock].unlock() }
                        case .tryLock(let lock): try see(locks[lock].tryLock() ? 1 : 0)
                        case .wait(let word, let value): try words[word].wait { $0 == value }
                        case .waitForSumOne(let one, let other):
                            try execution.wait(
                                Access(.wait, words[one].object), also: [words[other].object],
                                until: { words[one].unscheduledValue + words[other].unscheduledValue == 1 }, "wait")
                            execution.observe(0)
                        case .spinUntilAtLeast(let word, let value):
                            while try words[word].load() < value { try execution.pause() }
                        case .everything:
                            try execution.step(Access(.global, everything), "look at everything")
                            for word in words {
                                see(word.unscheduledValue)
                                execution.observe(UInt64(word.unscheduledValue))
                            }
                        case .fence: try execution.fence()
                        case .spawn(let body): execution.spawn(daemon: true, run(body))
                        }
                    }
                    histories.see(200, slot)
                }
            }
            if symmetric {
                execution.spawn(count: threads.count, daemon: true) { try run(threads[0])() }
            } else {
                for thread in threads { execution.spawn(daemon: true, run(thread)) }
            }
            execution.atEnd { record(words.map(\.unscheduledValue) + histories.sorted) }
        }
    }

    private final class Histories {
        private var values: [Int] = []
        func add() -> Int {
            values.append(17)
            return values.count - 1
        }
        func see(_ value: Int, _ slot: Int) { values[slot] = values[slot] &* 31 &+ value }
        /// Threads that are spawned in another order, or are symmetric, are the same outcome.
        var sorted: [Int] { values.sorted() }
    }
}
