import HostMemory
import PageTables
import TableMemory
import Testing

@Suite("Words of host memory")
struct WordTests {
    /// Every operation with every ordering, on words that lie side by side, against an array of numbers.
    private func compareWithModel<Value: WordValue>(_ type: Value.Type, seed: UInt64) throws {
        let processors = try makeProcessors()
        var numbers = SeededNumbers(seed: seed)
        processors.withProcessor { memory in
            let size = UInt64(MemoryLayout<Value>.size)
            var model = [Value](repeating: 0, count: 16)
            let words = (0..<16).map { Word<Value>(PhysicalAddress(4096 + UInt64($0) * size)) }
            let loads: [LoadOrdering] = [.relaxed, .acquire]
            let stores: [StoreOrdering] = [.relaxed, .release]
            let updates: [UpdateOrdering] = [.relaxed, .acquire, .release, .acquireRelease, .full]
            for step in 0..<20_000 {
                let index = Int.random(in: 0..<16, using: &numbers)
                let word = words[index]
                let old = model[index]
                // Small numbers as well, so that zero and equal values are met.
                let value = Value.random(in: 0...(Bool.random(using: &numbers) ? 2 : .max), using: &numbers)
                let ordering = updates[Int.random(in: 0..<5, using: &numbers)]
                let note: Comment = "PAGEWALK_SEED=\(seed), step \(step)"
                switch Int.random(in: 0..<9, using: &numbers) {
                case 0: #expect(memory.load(word, loads[step % 2]) == old, note)
                case 1:
                    memory.store(value, to: word, stores[step % 2])
                    model[index] = value
                case 2:
                    let expected = Bool.random(using: &numbers) ? old : value
                    let outcome = memory.compareExchange(word, expected: expected, desired: value &+ 1, ordering)
                    #expect(outcome == Exchange(isExchanged: expected == old, original: old), note)
                    if expected == old { model[index] = value &+ 1 }
                case 3:
                    #expect(memory.exchange(word, with: value, ordering) == old, note)
                    model[index] = value
                case 4:
                    #expect(memory.add(value, to: word, ordering) == old, note)
                    model[index] = old &+ value
                case 5:
                    #expect(memory.addIfPositive(value, to: word, ordering) == (old.isPositive ? old : nil), note)
                    if old.isPositive { model[index] = old &+ value }
                case 6:
                    let mask = Value.random(in: 0...(.max), using: &numbers)
                    #expect(memory.update(word, clearing: mask, setting: value, ordering) == old, note)
                    model[index] = old & ~mask | value
                case 7:
                    #expect(memory.update(word, clearing: value, setting: 0, ordering) == old, note)
                    model[index] = old & ~value
                default:
                    memory.fence([.acquire, .release, .full][step % 3])
                    #expect(memory.update(word, clearing: 0, setting: value, ordering) == old, note)
                    model[index] = old | value
                }
            }
            for (word, value) in zip(words, model) { #expect(memory.loadPlain(word) == value) }
        }
    }

    @Test func `operations on 64-bit words do what they do to plain numbers`() throws {
        try compareWithModel(UInt64.self, seed: seed(or: 64))
    }

    @Test func `operations on 32-bit words do what they do to plain numbers, and leave their neighbours alone`() throws
    {
        try compareWithModel(UInt32.self, seed: seed(or: 32))
    }

    @Test func `entries are read in the byte order that is asked for`() throws {
        try makeProcessors().withProcessor { memory in
            memory.store(0x0102_0304_0506_0708, to: word64(8), .relaxed)
            let table = memory.table(at: PhysicalAddress(0), bytes: 4096)
            let same = ByteOrder.host
            let other: ByteOrder = same == .little ? .big : .little
            #expect(memory.load64(PhysicalAddress(8), same) == 0x0102_0304_0506_0708)
            #expect(memory.load64(PhysicalAddress(8), other) == 0x0807_0605_0403_0201)
            #expect(memory.load64(table, index: 1, same) == 0x0102_0304_0506_0708)
            #expect(memory.load64(table, index: 1, other) == 0x0807_0605_0403_0201)
            memory.store(0x0a0b_0c0d, to: word32(20), .relaxed)
            #expect(memory.load32(PhysicalAddress(20), same) == 0x0a0b_0c0d)
            #expect(memory.load32(table, index: 5, other) == 0x0d0c_0b0a)
        }
    }

    @Test func `filling writes all of a range and nothing beside it`() throws {
        try makeProcessors().withProcessor { memory in
            memory.fill(range(4096, bytes: 24), with: 0xabcd)
            let found = (0..<5).map { memory.load(word64(4088 + $0 * 8), .relaxed) }
            #expect(found == [0, 0xabcd, 0xabcd, 0xabcd, 0])
        }
    }

    @Test(arguments: 2...4)
    func `a count that fell to zero is never revived`(threads: Int) throws {
        // Every object starts with one reference for each thread; whoever takes it to zero frees it. Others try to take more.
        let objects: UInt64 = 2000
        let processors = try makeProcessors()
        processors.withProcessor { memory in
            for object in 0..<objects { memory.store(UInt64(threads), to: word64(object * 16), .relaxed) }
        }
        processors.run(threads: threads) { _, memory in
            for object in 0..<objects {
                let (count, frees) = (word64(object * 16), word64(object * 16 + 8))
                if memory.addIfPositive(1, to: count, .full) != nil {
                    #expect(memory.load(frees, .relaxed) == 0, "a reference to an object that was freed")
                    if memory.add(0 &- 1, to: count, .full) == 1 { _ = memory.add(1, to: frees, .relaxed) }
                }
                if memory.add(0 &- 1, to: count, .full) == 1 { _ = memory.add(1, to: frees, .relaxed) }
                if let seen = memory.addIfPositive(1, to: count, .acquire) {
                    #expect(seen > 0)
                    if memory.add(0 &- 1, to: count, .full) == 1 { _ = memory.add(1, to: frees, .relaxed) }
                }
            }
        }
        processors.withProcessor { memory in
            for object in 0..<objects {
                #expect(memory.load(word64(object * 16), .relaxed) == 0)
                #expect(memory.load(word64(object * 16 + 8), .relaxed) == 1, "object \(object) is freed once")
            }
        }
    }

    @Test func `no update of threads that update one word at the same time is lost`() throws {
        let processors = try makeProcessors()
        processors.run(threads: 4) { number, memory in
            for round in 0..<5000 {
                _ = memory.add(1, to: word64(0), .relaxed)
                while true {
                    let seen = memory.load(word64(8), .relaxed)
                    if memory.compareExchange(word64(8), expected: seen, desired: seen &+ 1, .full).isExchanged {
                        break
                    }
                }
                // Each thread turns its own bit, with either form.
                let bit: UInt32 = 1 << UInt32(number)
                let old =
                    round % 2 == 0
                    ? memory.update(word32(16), clearing: 0, setting: bit, .acquireRelease)
                    : memory.update(word32(16), clearing: bit, setting: 0, .acquireRelease)
                #expect(old & bit == (round % 2 == 0 ? 0 : bit))
            }
        }
        processors.withProcessor { memory in
            #expect(memory.load(word64(0), .relaxed) == 20_000)
            #expect(memory.load(word64(8), .relaxed) == 20_000)
            #expect(memory.load(word32(16), .relaxed) == 0)
        }
    }

    @Test func `fully ordered updates keep a store before them and a load behind them in order`() throws {
        // Store buffering: each of two threads stores to its word and then looks at the other's. With a full barrier in between
        // one of them at least sees the other.
        let processors = try makeProcessors()
        let rounds: UInt64 = 2000
        processors.run(threads: 2) { number, memory in
            let (mine, other) = (word64(UInt64(number) * 128), word64(UInt64(1 - number) * 128))
            let (own, result) = (word64(256 + UInt64(number) * 128), word64(512 + UInt64(number) * 128))
            for round in 1...rounds {
                memory.store(round, to: mine, .relaxed)
                _ = memory.add(1, to: own, .full)
                memory.store(memory.load(other, .relaxed), to: result, .relaxed)
                // Both wait for one another, and only one of them compares.
                _ = memory.add(1, to: word64(1024), .acquireRelease)
                _ = memory.wait(for: word64(1024)) { $0 >= round * 2 }
                if number == 0 {
                    let seen = (memory.load(word64(512), .relaxed), memory.load(word64(640), .relaxed))
                    #expect(seen.0 >= round || seen.1 >= round, "round \(round): neither saw the other")
                }
                _ = memory.add(1, to: word64(1152), .acquireRelease)
                _ = memory.wait(for: word64(1152)) { $0 >= round * 2 }
            }
        }
    }
}
