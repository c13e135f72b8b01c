import HostMemory
import PageTables
import TableMemory
import Testing

@Suite("Injected allocation failure")
struct FailurePolicyTests {
    private func answers(_ policy: FailurePolicy, _ kind: AllocationKind, count: Int) throws -> [Bool] {
        try makeProcessors(failures: policy).withProcessor { memory in (0..<count).map { _ in memory.allows(kind) } }
    }

    @Test func `nothing fails unless it is asked for`() throws {
        #expect(try !answers(.never, .frame, count: 100).contains(false))
    }

    @Test func `every nth allocation fails`() throws {
        #expect(
            try answers(FailurePolicy(.every(3)), .table, count: 7) == [true, true, false, true, true, false, true])
        #expect(try answers(FailurePolicy(.every(1)), .batch, count: 3) == [false, false, false])
    }

    @Test func `other kinds of allocations neither fail nor count`() throws {
        let policy = FailurePolicy(.every(2), of: .batches)
        try makeProcessors(failures: policy).withProcessor { memory in
            #expect(memory.allows(.batch))
            #expect(memory.allows(.frame))
            #expect(memory.allows(.table))
            #expect(!memory.allows(.batch))
        }
    }

    @Test func `each processor counts by itself`() throws {
        let processors = try makeProcessors(failures: FailurePolicy(.every(2)))
        let (first, second) = (processors.attach(), processors.attach())
        #expect(first.allows(.frame))
        #expect(second.allows(.frame))
        #expect(!first.allows(.frame))
        #expect(!second.allows(.frame))
        first.detach()
        second.detach()
    }

    @Test func `random failures repeat with their seed, differ with another, and are as frequent as asked for`() throws
    {
        func random(_ seed: UInt64) throws -> [Bool] {
            try self.answers(FailurePolicy(.random(seed: seed, oneIn: 10)), .frame, count: 10_000)
        }
        let answers = try random(1)
        #expect(try random(1) == answers)
        #expect(try random(2) != answers)
        #expect((800...1200).contains(answers.count { !$0 }))
    }
}
