import HostMemory
import PageTables
import TableMemory
import Testing

@Suite("Locks on host memory")
struct LockTests {
    private static let ticketLock = TicketLock(at: PhysicalAddress(0))
    private static let readerWriterLock = ReaderWriterLock(at: PhysicalAddress(0))

    /// Adds one in two steps that another thread could come between.
    private static func increment(_ address: UInt64, _ memory: HostMemory) {
        memory.store(memory.load(word64(address), .relaxed) &+ 1, to: word64(address), .relaxed)
    }

    @Test(arguments: [2, 4])
    func `increments under a ticket lock are never lost`(threads: Int) throws {
        let processors = try makeProcessors()
        processors.run(threads: threads) { _, memory in
            for _ in 0..<5000 { memory.withLock(Self.ticketLock) { _ in Self.increment(64, memory) } }
        }
        processors.withProcessor { #expect($0.load(word64(64), .relaxed) == UInt64(threads) * 5000) }
    }

    @Test func `a ticket lock is given to those who wait in the order in which they came`() throws {
        let processors = try makeProcessors()
        let (arrivals, order) = (word64(128), word64(136))
        processors.run(threads: 4) { number, memory in
            if number == 0 {
                memory.withLock(Self.ticketLock) { _ in
                    // The others come one by one, each when the one before it has drawn its number.
                    for other in 1...3 as ClosedRange<UInt32> {
                        memory.store(UInt64(other), to: arrivals, .release)
                        _ = memory.wait(for: word32(0)) { $0 == other + 1 }
                    }
                }
            } else {
                _ = memory.wait(for: arrivals) { $0 == number }
                memory.withLock(Self.ticketLock) { _ in
                    memory.store(memory.load(order, .relaxed) * 10 + UInt64(number), to: order, .relaxed)
                }
            }
        }
        processors.withProcessor { #expect($0.load(order, .relaxed) == 123) }
    }

    @Test func `a lock is released when its body fails`() throws {
        struct Problem: Error {}
        try makeProcessors().withProcessor { memory in
            for _ in 0..<2 {
                let outcome: Result<Int, Problem> = memory.withLock(Self.ticketLock) { _ throws(Problem) in
                    throw Problem()
                }
                #expect(throws: Problem.self) { try outcome.get() }
            }
        }
    }

    @Test(arguments: [2, 4])
    func `increments under a lock for writing are never lost, and readers see none half done`(threads: Int) throws {
        let processors = try makeProcessors()
        processors.run(threads: threads) { number, memory in
            for round in 0..<5000 {
                if (round + number) % 2 == 0 {
                    memory.withWriteLock(Self.readerWriterLock) { _ in
                        Self.increment(64, memory)
                        Self.increment(128, memory)
                    }
                } else {
                    memory.withReadLock(Self.readerWriterLock) { _ in
                        #expect(memory.load(word64(64), .relaxed) == memory.load(word64(128), .relaxed))
                    }
                }
            }
        }
        processors.withProcessor { memory in
            #expect(memory.load(word64(64), .relaxed) == UInt64(threads) * 2500)
            #expect(memory.load(word64(0), .relaxed) == 0, "the lock is free at the end")
        }
    }

    @Test func `two readers hold a lock at the same time`() throws {
        // Each waits inside for the other.
        try makeProcessors().run(threads: 2) { _, memory in
            memory.withReadLock(Self.readerWriterLock) { _ in
                _ = memory.add(1, to: word64(64), .acquireRelease)
                _ = memory.wait(for: word64(64)) { $0 == 2 }
            }
        }
    }

    @Test func `a writer that waits goes before readers that come later`() throws {
        let processors = try makeProcessors()
        let (turn, order, tries) = (word64(64), word64(72), word64(80))
        @Sendable func note(_ digit: UInt64, _ memory: HostMemory) {
            while true {
                let seen = memory.load(order, .relaxed)
                let desired = seen * 10 + digit
                if memory.compareExchange(order, expected: seen, desired: desired, .full).isExchanged { return }
            }
        }
        processors.run(threads: 3) { number, memory in
            switch number {
            case 0:
                memory.withReadLock(Self.readerWriterLock) { _ in
                    memory.store(1, to: turn, .release)
                    // A writer that waits is counted above bit 32.
                    _ = memory.wait(for: word64(0)) { $0 >> 33 == 1 }
                    memory.store(2, to: turn, .release)
                    _ = memory.wait(for: tries) { $0 == 1 }
                }
            case 1:
                _ = memory.wait(for: turn) { $0 == 1 }
                memory.withWriteLock(Self.readerWriterLock) { _ in note(1, memory) }
            default:
                _ = memory.wait(for: turn) { $0 == 2 }
                memory.store(1, to: tries, .release)
                memory.withReadLock(Self.readerWriterLock) { _ in note(2, memory) }
            }
        }
        processors.withProcessor { #expect($0.load(order, .relaxed) == 12) }
    }

    @Test func `readers that never pause do not starve a writer`() throws {
        // The readers only stop when the writer has had its turns.
        let turns: UInt64 = 500
        let processors = try makeProcessors()
        processors.run(threads: 3) { number, memory in
            if number == 0 {
                for _ in 0..<turns {
                    memory.withWriteLock(Self.readerWriterLock) { _ in Self.increment(64, memory) }
                }
            } else {
                while memory.load(word64(64), .relaxed) < turns { memory.withReadLock(Self.readerWriterLock) { _ in } }
            }
        }
        processors.withProcessor { #expect($0.load(word64(64), .relaxed) == turns) }
    }
}
