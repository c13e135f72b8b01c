import Foundation
import HostMemory
import PageTables
import SeededRandom
import Synchronization
import TableMemory
import Testing

@testable import VirtualMemory

/// A space of ppc64 with 64 KiB pages: of leaf tables 256 are in a frame, of the directories above them 16.
private struct Powerpc {
    let processors: HostProcessors
    let memory: HostMemory
    let references: FrameReferences
    let space: Space<PPC64Radix64K>

    static let page: UInt64 = 64 << 10
    /// What a leaf table covers, and what a frame of them does: half of a directory.
    static let table: UInt64 = 2 << 20
    static let group = 256 * table

    init(_ filling: TableFilling, frames: UInt32 = 64, failures: FailurePolicy = .never) throws {
        let layout = PhysicalLayout(log2FrameBytes: 16, frameCount: frames)
        processors = HostProcessors(arena: try HostArena(byteCount: Int(layout.byteCount)), failures: failures)
        memory = processors.attach()
        references = layout.makeReferences()
        space = try .make(PPC64Radix64K(), references, words: layout.spaceWords(), filling: filling, in: memory)
    }

    var attributes: EntryAttributes { space.format.attributes([.read, .write]) }

    func range(_ first: UInt64, _ bytes: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first + bytes - 1))
    }

    func map(_ first: UInt64, _ bytes: UInt64 = page, offset: UInt64 = 0, largestLeaf: Int = 63) throws {
        try space.map(
            range(first, bytes), to: PhysicalAddress(1 << 40 + first + offset), attributes,
            largestLeaf: PageSize(log2Bytes: largestLeaf), in: memory)
    }

    func add(_ first: UInt64, _ bytes: UInt64, _ content: Region.Content, largestLeaf: Int = 63) throws {
        let size = PageSize(log2Bytes: largestLeaf)
        try space.add(Region(range(first, bytes), content, attributes, largestLeaf: size), in: memory)
    }

    func fault(_ address: UInt64) throws(SpaceError<Never>) {
        var failure: SpaceError<Never>?
        memory.withReadLock(space.words.lock) { lock in
            do throws(SpaceError<Never>) {
                try space.fault(VirtualAddress(address), for: .write, lock: lock)
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    func summary(_ range: VirtualRange) -> SpaceSummary {
        memory.withRCUReader { space.summary(of: range, in: $0) }
    }

    /// Tables below the top one, for the addresses that a frame of tables below it covers.
    func tables() -> Int { summary(range(0, 1 << 43)).tableCount - 1 }

    func usedFrames() -> UInt64 {
        UInt64(references.map.frameCount) - references.allocator.freeFrameCount(in: memory)
    }

    func reclaim(_ range: VirtualRange) -> Int {
        memory.withReadLock(space.words.lock) { space.reclaimEmptyTables(in: range, lock: $0) }
    }

    func end() {
        space.tearDown(in: memory)
        #expect(usedFrames() == 0)
        memory.detach()
    }
}

@Suite("Tables that are made a frame at a time")
struct TableFillingTests {
    @Test("A fault makes the tables of all neighbouring entries, and later ones find them", arguments: [true, false])
    func wholeFrames(isFault: Bool) throws {
        let machine = try Powerpc(.wholeFrame)
        let device = Region.Content.device(start: PhysicalAddress(1 << 40))
        try machine.add(0, 2 * Powerpc.group, device, largestLeaf: 16)
        func touch(_ address: UInt64) throws {
            if isFault { try machine.fault(address) } else { try machine.map(address, largestLeaf: 16) }
        }
        try touch(Powerpc.group - Powerpc.page)
        // 16 tables at each of two levels, and 256 leaf tables; and the top table.
        #expect(machine.tables() == 16 + 16 + 256)
        #expect(machine.usedFrames() == 1 + 3)
        try touch(0)
        try touch(100 * Powerpc.table)
        #expect(machine.usedFrames() == 1 + 3)
        // The other half of the directory has a frame of its own.
        try touch(Powerpc.group)
        #expect(machine.tables() == 16 + 16 + 512)
        #expect(machine.usedFrames() == 1 + 4)
        machine.end()
    }

    @Test("Without the policy a table is made alone")
    func single() throws {
        let machine = try Powerpc(.single)
        try machine.map(Powerpc.group)
        try machine.map(0)
        #expect(machine.tables() == 1 + 1 + 2)
        machine.end()
    }

    @Test("Where one of the entries is used already, the table is made alone")
    func partly() throws {
        let machine = try Powerpc(.wholeFrame)
        try machine.map(Powerpc.table, Powerpc.table)
        #expect(machine.summary(machine.range(0, Powerpc.group)).bytesByLevel[1] == Powerpc.table)
        let used = machine.usedFrames()
        try machine.map(0)
        try machine.map(2 * Powerpc.table)
        #expect(machine.tables() == 16 + 16 + 2)
        #expect(machine.usedFrames() == used + 1)
        machine.end()
    }

    @Test("Without a free frame, a table is a part of one that was cut before")
    func withoutFrames() throws {
        // The top table, a frame of tables for each level above the leaf tables, one for leaf tables.
        let machine = try Powerpc(.wholeFrame, frames: 4)
        try machine.map(Powerpc.group, Powerpc.table)
        try machine.map(Powerpc.group + Powerpc.table)
        #expect(machine.tables() == 16 + 16 + 1)
        #expect(machine.usedFrames() == 4)
        try machine.map(0)
        #expect(machine.tables() == 16 + 16 + 2)
        machine.end()
    }

    @Test("The frame comes back with the last of its tables, in whatever order they go")
    func freeing() throws {
        let machine = try Powerpc(.wholeFrame)
        try machine.map(0)
        #expect(machine.usedFrames() == 4)
        let order = (0..<256 as Range<UInt64>).map { $0 * 77 % 256 }
        for number in order.dropLast() {
            try machine.space.unmap(machine.range(number * Powerpc.table, Powerpc.table), in: machine.memory)
        }
        #expect(machine.usedFrames() == 4)
        let last = try #require(order.last)
        try machine.space.unmap(machine.range(last * Powerpc.table, Powerpc.table), in: machine.memory)
        #expect(machine.usedFrames() == 3)
        machine.end()
    }

    @Test("What was made and never used can be taken back")
    func retraction() throws {
        let machine = try Powerpc(.wholeFrame)
        try machine.map(5 * Powerpc.table)
        #expect(machine.reclaim(machine.range(0, Powerpc.group)) == 255)
        #expect(machine.tables() == 16 + 16 + 1)
        try machine.map(6 * Powerpc.table)
        #expect(machine.tables() == 16 + 16 + 2)
        machine.end()
    }

    @Test("A large leaf is mapped in the place of tables that map nothing")
    func leafOverTable() throws {
        let machine = try Powerpc(.wholeFrame)
        try machine.map(0)
        try machine.map(Powerpc.table, 3 * Powerpc.table)
        var bytes = machine.summary(machine.range(0, Powerpc.group)).bytesByLevel
        #expect(bytes[0] == Powerpc.page && bytes[1] == 3 * Powerpc.table)
        // A whole directory of empty tables as well.
        let directory: UInt64 = 1 << 30
        try machine.map(4 * directory)
        try machine.space.unmap(machine.range(4 * directory, Powerpc.page), in: machine.memory)
        try machine.map(4 * directory, directory)
        bytes = machine.summary(machine.range(4 * directory, directory)).bytesByLevel
        #expect(bytes[2] == directory)
        // Something is mapped in the last one.
        try machine.map(6 * directory - Powerpc.page)
        #expect(throws: SpaceError<Never>.self) { try machine.map(5 * directory, directory) }
        #expect(machine.summary(machine.range(5 * directory, directory)).mappedBytes == Powerpc.page)
        machine.end()
    }

    @Test("What is mapped with large leaves is not given tables for the ends beside them")
    func raggedRange() throws {
        let machine = try Powerpc(.wholeFrame)
        try machine.map(Powerpc.table - Powerpc.page, 4 * Powerpc.table + 2 * Powerpc.page)
        let bytes = machine.summary(machine.range(0, Powerpc.group)).bytesByLevel
        #expect(bytes[0] == 2 * Powerpc.page && bytes[1] == 4 * Powerpc.table)
        #expect(machine.tables() == 16 + 16 + 2)
        machine.end()
    }

    @Test("Where a region allows large leaves, faults still use them")
    func regionOfLargeLeaves() throws {
        let machine = try Powerpc(.wholeFrame)
        try machine.add(0, Powerpc.page, .anonymous)
        let start = PhysicalAddress(1 << 40 + 3 * Powerpc.table - Powerpc.page)
        try machine.add(3 * Powerpc.table - Powerpc.page, Powerpc.table + Powerpc.page, .device(start: start))
        try machine.fault(0)
        try machine.fault(3 * Powerpc.table - Powerpc.page)
        try machine.fault(3 * Powerpc.table)
        let bytes = machine.summary(machine.range(0, Powerpc.group)).bytesByLevel
        #expect(bytes[0] == 2 * Powerpc.page && bytes[1] == Powerpc.table)
        machine.end()
    }

    @Test("Formats with tables of whole frames are as they were")
    func wholeFrameTables() throws {
        let layout = PhysicalLayout(log2FrameBytes: 12, frameCount: 64)
        let memory = HostProcessors(arena: try HostArena(byteCount: Int(layout.byteCount))).attach()
        defer { memory.detach() }
        let references = layout.makeReferences()
        let space = try Space<X86_64>.make(
            X86_64(), references, words: layout.spaceWords(), filling: .wholeFrame, in: memory)
        let page = VirtualRange(first: VirtualAddress(1 << 30), last: VirtualAddress(1 << 30 + 4095))
        try space.map(page, to: PhysicalAddress(1 << 40), space.format.attributes(.read), in: memory)
        #expect(references.allocator.freeFrameCount(in: memory) == 64 - 4)
        space.tearDown(in: memory)
        #expect(references.allocator.freeFrameCount(in: memory) == 64)
    }

    @Test("Threads that fault side by side, pin, unmap and take tables back keep every page", arguments: 0..<3)
    func threads(_ run: Int) throws {
        let failures = FailurePolicy(.random(seed: UInt64(run), oneIn: 20))
        let machine = try Powerpc(.wholeFrame, frames: 200, failures: failures)
        let ends = DispatchSemaphore(value: 0)
        let findings = Findings()
        let (processors, space) = (machine.processors, machine.space)
        for thread in 0..<FillingThread.count {
            Thread.detachNewThread {
                processors.withProcessor { memory in
                    var trial = FillingThread(thread, run, space, memory)
                    if let finding = trial.run(steps: 1500) { findings.list.withLock { $0.append(finding) } }
                }
                ends.signal()
            }
        }
        for _ in 0..<FillingThread.count { ends.wait() }
        #expect(findings.list.withLock { $0 } == [])
        machine.end()
    }
}

private final class Findings: Sendable {
    let list = Mutex<[String]>([])
}

/// One of several threads whose leaf tables lie side by side: every third one is its own.
private struct FillingThread {
    static let count = 3

    private let space: Space<PPC64Radix64K>
    private let memory: HostMemory
    private let name: String
    private let tables: [UInt64]
    private var random: SeededRandom
    /// What was written to each page since it was mapped.
    private var written: [UInt64: UInt64] = [:]

    init(_ number: Int, _ run: Int, _ space: Space<PPC64Radix64K>, _ memory: HostMemory) {
        self.space = space
        self.memory = memory
        name = "run \(run), thread \(number)"
        tables = (0..<4).map { UInt64($0 * Self.count + number) }
        random = SeededRandom(seed: UInt64(run * Self.count + number))
    }

    private func range(_ first: UInt64, _ bytes: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first + bytes - 1))
    }

    private func addRegion(_ table: UInt64) -> Bool {
        let range = range(table * Powerpc.table, Powerpc.table)
        return succeeds { () throws(SpaceError<Never>) in
            try space.add(Region(range, .anonymous, space.format.attributes([.read, .write])), in: memory)
        }
    }

    private func succeeds(_ body: () throws(SpaceError<Never>) -> Void) -> Bool {
        do throws(SpaceError<Never>) { try body() } catch { return false }
        return true
    }

    /// - Returns: What went wrong; `nil` if nothing did.
    mutating func run(steps: Int) -> String? {
        for table in tables where !addRegion(table) { return "\(name): no region" }
        for step in 0..<steps {
            let table = tables[Int.random(in: 0..<tables.count, using: &random)]
            let page = table * Powerpc.table + UInt64.random(in: 0..<3, using: &random) * Powerpc.page
            let isRight =
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<5: write(page, UInt64(step + 1))
                case 5..<7: read(page)
                case 7..<9: unmap(table)
                default: reclaim()
                }
            if !isRight { return "\(name), step \(step), page \(page)" }
        }
        return nil
    }

    /// Writes through a pin that maps the page if need be. There may be no memory.
    private mutating func write(_ page: UInt64, _ value: UInt64) -> Bool {
        var pins: [Pin] = []
        let isPinned = succeeds { () throws(SpaceError<Never>) in
            try space.pin(range(page, Powerpc.page), for: .write, in: memory, into: &pins)
        }
        guard isPinned, let pin = pins.first else { return written[page] == nil }
        let word = Word<UInt64>(pin.range.first)
        let found = memory.load(word, .relaxed)
        memory.store(value, to: word, .relaxed)
        space.unpin(pin, in: memory)
        defer { written[page] = value }
        return found == written[page] ?? 0
    }

    private func read(_ page: UInt64) -> Bool {
        let pin = memory.withInterruptsBlocked { space.pinFast(VirtualAddress(page), for: .read, in: $0) }
        guard let pin else { return written[page] == nil }
        let found = memory.load(Word<UInt64>(pin.range.first), .relaxed)
        space.unpin(pin, in: memory)
        return found == written[page]
    }

    /// Frees the table, or leaves it empty.
    private mutating func unmap(_ table: UInt64) -> Bool {
        let first = table * Powerpc.table
        let isWhole = Bool.random(using: &random)
        for part in isWhole
            ? [range(first, Powerpc.table)]
            : [range(first, 2 * Powerpc.page), range(first + 2 * Powerpc.page, Powerpc.table - 2 * Powerpc.page)]
        {
            guard succeeds({ () throws(SpaceError<Never>) in try space.unmap(part, in: memory) }) else { return false }
        }
        for page in 0..<3 as Range<UInt64> { written[first + page * Powerpc.page] = nil }
        return addRegion(table)
    }

    private func reclaim() -> Bool {
        memory.withReadLock(space.words.lock) {
            _ = space.reclaimEmptyTables(in: range(0, Powerpc.group), lock: $0)
        }
        return true
    }
}
