import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

/// A machine whose tables are fragments of a certain size.
private struct FragmentCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let log2FrameBytes: UInt8
    let log2TableBytes: Int

    var count: Int { 1 << (Int(log2FrameBytes) - log2TableBytes) }
    var tableBytes: UInt64 { 1 << UInt64(log2TableBytes) }

    static let all = [
        FragmentCase(testDescription: "page tables of s390x", log2FrameBytes: 12, log2TableBytes: 11),
        FragmentCase(testDescription: "directories of ppc64", log2FrameBytes: 16, log2TableBytes: 12),
        FragmentCase(testDescription: "64 in a frame", log2FrameBytes: 16, log2TableBytes: 10),
        FragmentCase(testDescription: "128 in a frame", log2FrameBytes: 16, log2TableBytes: 9),
        FragmentCase(testDescription: "leaf tables of ppc64", log2FrameBytes: 16, log2TableBytes: 8),
    ]
}

/// The allocator of one space, and the memory that it takes its tables from.
private struct FragmentMachine {
    let memory: SingleProcessorMemory
    let layout: PhysicalLayout
    let references: FrameReferences
    let tables: TableAllocator<SoundStructure>
    let reclaimer: TableReclaimer

    init(log2FrameBytes: UInt8, frames: UInt32 = 64, policy: ReclaimPolicy = .rcu) throws {
        layout = PhysicalLayout(log2FrameBytes: log2FrameBytes, frameCount: frames)
        memory = SingleProcessorMemory(byteCount: layout.byteCount)
        try memory.beginLife(of: layout.bookkeeping, as: .bookkeeping)
        references = layout.makeReferences()
        tables = TableAllocator(references, layout.spaceWords())
        reclaimer = TableReclaimer(policy, users: layout.spaceWords().users)
    }

    func usedFrames() throws -> UInt64 {
        UInt64(layout.map.frameCount) - (try references.allocator.freeFrameCount(in: memory))
    }

    func frame(_ table: PhysicalAddress) throws -> Frame { try #require(layout.map.frame(of: table)) }

    func allocate(_ log2Bytes: Int) throws -> PhysicalAddress {
        try #require(try tables.allocate(log2Bytes: log2Bytes, in: memory))
    }

    func free(_ table: PhysicalAddress, _ log2Bytes: Int) throws {
        try tables.free(table, log2Bytes: log2Bytes, in: memory)
    }
}

@Suite("Tables and fragments")
struct FragmentTests {
    @Test("Tables of several frames are aligned to their size", arguments: [12, 13, 14, 16])
    func wholeFrames(_ log2Bytes: Int) throws {
        let machine = try FragmentMachine(log2FrameBytes: 12)
        let bytes: UInt64 = 1 << UInt64(log2Bytes)
        let taken = try [machine.allocate(log2Bytes), machine.allocate(log2Bytes)]
        for table in taken {
            #expect(table.rawValue % bytes == 0)
            // The whole of it is one object, and may be filled.
            try machine.memory.fill(
                PhysicalRange(first: table, last: PhysicalAddress(table.rawValue + bytes - 1)), with: 0)
        }
        #expect(try machine.usedFrames() == 2 * bytes >> 12)
        for table in taken { try machine.free(table, log2Bytes) }
        #expect(try machine.usedFrames() == 0)
    }

    @Test("A frame is cut into all its fragments before the next one is", arguments: FragmentCase.all)
    fileprivate func cutting(_ machine: FragmentCase) throws {
        let (count, log2Bytes) = (machine.count, machine.log2TableBytes)
        let tables = try FragmentMachine(log2FrameBytes: machine.log2FrameBytes)
        let first = try (0..<count).map { _ in try tables.allocate(log2Bytes) }
        #expect(try tables.usedFrames() == 1)
        #expect(Set(first).count == count)
        #expect(first.allSatisfy { $0.rawValue % machine.tableBytes == 0 })
        let second = try tables.allocate(log2Bytes)
        #expect(try tables.usedFrames() == 2)
        // Half-used frames come before new ones: the last fragment of a full frame is there again at once.
        let freed = first[count / 2]
        try tables.free(freed, log2Bytes)
        let reused = try (0..<count).map { _ in try tables.allocate(log2Bytes) }
        #expect(try tables.usedFrames() == 2)
        #expect(reused.contains(freed))
        for table in first where table != freed { try tables.free(table, log2Bytes) }
        #expect(try tables.usedFrames() == 2)
        for table in [second] + reused { try tables.free(table, log2Bytes) }
        #expect(try tables.usedFrames() == 0)
        #expect(tables.memory.objects.count == 1)
    }

    @Test("A frame comes back with its last fragment, whichever that is", arguments: FragmentCase.all)
    fileprivate func lastFragment(_ machine: FragmentCase) throws {
        var random = SeededRandom(for: "last fragment of \(machine)")
        let tables = try FragmentMachine(log2FrameBytes: machine.log2FrameBytes)
        var taken = try (0..<machine.count).map { _ in try tables.allocate(machine.log2TableBytes) }
        taken.shuffle(using: &random)
        for (number, table) in taken.enumerated() {
            #expect(try tables.usedFrames() == 1)
            #expect(tables.memory.isAlive(table))
            try tables.free(table, machine.log2TableBytes)
            #expect(!tables.memory.isAlive(table))
            #expect(try tables.usedFrames() == (number == machine.count - 1 ? 0 : 1))
        }
    }

    @Test("Any taking and giving is as a set of fragments would have it", arguments: FragmentCase.all, 0..<3)
    fileprivate func againstASet(_ machine: FragmentCase, run: Int) throws {
        var random = SeededRandom(for: "fragments of \(machine), \(run)")
        let replay: Comment = "\(SeededRandom.replay("VirtualMemoryTests"))"
        let tables = try FragmentMachine(log2FrameBytes: machine.log2FrameBytes, frames: 4)
        var taken: Set<PhysicalAddress> = []
        let limit = 4 * machine.count
        for step in 0..<min(6 * limit, 250) {
            // Fills up, and empties again.
            let fills = step / max(limit, 50) % 2 == 0
            if random.next() % 8 < (fills ? 6 : 2) {
                let frames = Set(try taken.map(tables.frame))
                let hasFree = frames.count * machine.count > taken.count
                let table = try tables.tables.allocate(log2Bytes: machine.log2TableBytes, in: tables.memory)
                try #require((table != nil) == (taken.count < limit), replay)
                guard let table else { continue }
                try #require(taken.insert(table).inserted, replay)
                try #require(frames.contains(try tables.frame(table)) == hasFree, replay)
            } else if let table = taken.sorted().randomElement(using: &random) {
                taken.remove(table)
                try tables.free(table, machine.log2TableBytes)
            }
            try #require(try tables.usedFrames() == UInt64(Set(try taken.map(tables.frame)).count), replay)
        }
        for table in taken { try tables.free(table, machine.log2TableBytes) }
        #expect(try tables.usedFrames() == 0, replay)
        #expect(tables.memory.objects.count == 1, replay)
    }

    @Test("Frames that are cut into fragments of different sizes are kept apart")
    func sizes() throws {
        let machine = try FragmentMachine(log2FrameBytes: 16)
        let (small, large) = try (machine.allocate(8), machine.allocate(12))
        #expect(try machine.frame(small) != machine.frame(large))
        #expect(try machine.frame(machine.allocate(8)) == machine.frame(small))
        #expect(try machine.frame(machine.allocate(12)) == machine.frame(large))
        #expect(try machine.usedFrames() == 2)
    }

    @Test("A refused fragment takes nothing", arguments: [0, 1])
    func refusal(_ taken: Int) throws {
        let machine = try FragmentMachine(log2FrameBytes: 12)
        for _ in 0..<taken { _ = try machine.allocate(11) }
        machine.memory.refuse([.table])
        #expect(try machine.tables.allocate(log2Bytes: 11, in: machine.memory) == nil)
        #expect(try machine.usedFrames() == UInt64(taken))
        machine.memory.refuse([])
        _ = try machine.allocate(11)
        #expect(try machine.usedFrames() == 1)
    }

    // MARK: On the way back

    @Test("Without a batch, one fragment of a frame waits by its link and others at once", arguments: FragmentCase.all)
    fileprivate func withoutBatch(_ machine: FragmentCase) throws {
        let tables = try FragmentMachine(log2FrameBytes: machine.log2FrameBytes)
        let memory = tables.memory
        var taken = try (0..<2 * machine.count).map { _ in try tables.allocate(machine.log2TableBytes) }
        #expect(try tables.usedFrames() == 2)
        // The highest bit of the last word, and the lowest of the first.
        let (linked, next) = (taken.remove(at: machine.count - 1), taken.removeFirst())
        memory.refuse([.batch])
        var unlinked = UnlinkedTables(tables.tables, tables.reclaimer)
        try unlinked.add(linked, log2Bytes: machine.log2TableBytes, in: memory)
        #expect(memory.waits == 0 && memory.isAlive(linked))
        memory.whileWaiting = { #expect(memory.isAlive(linked) && memory.isAlive(next)) }
        try unlinked.add(next, log2Bytes: machine.log2TableBytes, in: memory)
        #expect(memory.waits == 1 && memory.isAlive(linked) && !memory.isAlive(next))
        // A fragment of another frame can wait by a link of its own; one that is free may be taken meanwhile.
        let other = taken.removeLast()
        try unlinked.add(other, log2Bytes: machine.log2TableBytes, in: memory)
        #expect(memory.waits == 1 && memory.isAlive(other))
        let reused = try tables.allocate(machine.log2TableBytes)
        #expect(reused == next)
        memory.whileWaiting = { #expect(memory.isAlive(linked) && memory.isAlive(other)) }
        try unlinked.free(in: memory)
        #expect(memory.waits == 2 && !memory.isAlive(linked) && !memory.isAlive(other))
        #expect(memory.isAlive(reused))
        for table in taken + [reused] { try tables.free(table, log2Bytes(machine)) }
        #expect(try tables.usedFrames() == 0)
    }

    @Test("Without a batch, all the fragments of a frame may go at once", arguments: FragmentCase.all)
    fileprivate func wholeFrameWithoutBatch(_ machine: FragmentCase) throws {
        let tables = try FragmentMachine(log2FrameBytes: machine.log2FrameBytes)
        let taken = try (0..<machine.count).map { _ in try tables.allocate(machine.log2TableBytes) }
        tables.memory.refuse([.batch])
        var unlinked = UnlinkedTables(tables.tables, tables.reclaimer)
        for table in taken { try unlinked.add(table, log2Bytes: machine.log2TableBytes, in: tables.memory) }
        #expect(tables.memory.waits == machine.count - 1)
        #expect(try tables.usedFrames() == 1)
        #expect(tables.memory.isAlive(taken[0]))
        try unlinked.free(in: tables.memory)
        #expect(try tables.usedFrames() == 0)
        // The frame can be cut and wait anew.
        let table = try tables.allocate(machine.log2TableBytes)
        try unlinked.add(table, log2Bytes: machine.log2TableBytes, in: tables.memory)
        #expect(tables.memory.waits == machine.count)
        try unlinked.free(in: tables.memory)
        #expect(try tables.usedFrames() == 0)
    }

    @Test(
        "Where readers are waited for by interrupts, a table without a batch goes at once",
        arguments: [
            ReclaimPolicy.direct, .interrupt,
        ])
    func interrupts(_ policy: ReclaimPolicy) throws {
        let machine = try FragmentMachine(log2FrameBytes: 12, policy: policy)
        let memory = machine.memory
        memory.refuse([.batch])
        var unlinked = UnlinkedTables(machine.tables, machine.reclaimer)
        for (number, log2Bytes) in [11, 11, 14].enumerated() {
            let table = try machine.allocate(log2Bytes)
            memory.whileWaiting = { #expect(memory.isAlive(table)) }
            try unlinked.add(table, log2Bytes: log2Bytes, in: memory)
            #expect(memory.waits == number + 1 && !memory.isAlive(table))
        }
        #expect(unlinked.isEmpty)
        #expect(try machine.usedFrames() == 0)
    }

    @Test("A batch waits once for all its tables, and a full one before the next table")
    func batches() throws {
        let machine = try FragmentMachine(log2FrameBytes: 12, frames: 600)
        let memory = machine.memory
        let capacity = UnlinkedTables<SoundStructure>.capacity
        let taken = try (0...capacity).map { _ in try machine.allocate(11) }
        memory.whileWaiting = { #expect(taken[..<capacity].allSatisfy { memory.isAlive($0) }) }
        var unlinked = UnlinkedTables(machine.tables, machine.reclaimer)
        for table in taken { try unlinked.add(table, log2Bytes: 11, in: memory) }
        #expect(memory.waits == 1 && memory.isAlive(taken[capacity]) && !memory.isAlive(taken[0]))
        memory.whileWaiting = nil
        try unlinked.free(in: memory)
        #expect(memory.waits == 2)
        #expect(try machine.usedFrames() == 0)
        try unlinked.free(in: memory)
        #expect(memory.waits == 2, "nothing is waited for where nothing is freed")
    }

    private func log2Bytes(_ machine: FragmentCase) -> Int { machine.log2TableBytes }
}
