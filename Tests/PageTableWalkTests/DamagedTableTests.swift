import PageTables
import Testing

@testable import PageTableWalk

@Suite("Tables that are not whole")
struct DamagedTableTests {
    typealias X86 = HandBuiltSpace<X86_64>

    @Test func `give the entries that are there`() throws {
        let built = try X86.x86WithPath()
        for index in [1, 100, 101, 300, 511] { try built.map(0x4000, index, 0x70_0000 + UInt64(index) << 12) }
        built.memory.remove(built.place(0x4000, 100), bytes: 150 * 8)
        let survey = try built.survey()

        #expect(survey.summary.map(\.first) == [0x1000, 300 << 12, 511 << 12])
        #expect(
            survey.oddities == [
                Oddity(
                    kind: .absent(entries: 150),
                    position: EntryPosition(table: PhysicalAddress(0x4000), index: 100, level: .leafTable),
                    address: VirtualAddress(100 << 12), count: 1)
            ])
        #expect(survey.tables.map(\.leaves) == [0, 0, 0, 3])
        #expect(built.memory.loads.values.allSatisfy { $0 == 1 })
    }

    @Test func `and not there at all are oddities and nothing else`() throws {
        let built = try X86.x86WithPath()
        try built.point(0x3000, 1, to: 0x5000, at: Level(1))
        try built.map(0x5000, 0, 0x70_0000)
        built.memory.remove(0x4000, bytes: 4096)
        let survey = try built.survey()

        #expect(survey.summary == [summary(0x20_0000, 0x1000, 0x70_0000)])
        #expect(survey.oddities.map(\.kind) == [.absent(entries: 512)])
        #expect(survey.oddities.map(\.position.table.rawValue) == [0x4000])
        #expect(survey.tables.map(\.address.rawValue) == [0x1000, 0x2000, 0x3000, 0x5000])
        #expect(survey.tables.map(\.tables) == [1, 1, 2, 0])
        #expect(survey.statistics(of: built.space.format).tableCount == 4)
    }

    @Test func `make a translation fail with the address that is missing`() throws {
        let built = try X86.x86WithPath()
        built.memory.remove(built.place(0x4000, 3), bytes: 8)
        #expect(throws: WordMemory.Failure.absent(PhysicalAddress(built.place(0x4000, 3)))) {
            _ = try built.space.translate(VirtualAddress(0x3000), in: built.memory)
        }
        guard case .unmapped(let fault) = try built.space.translate(VirtualAddress(0x4000), in: built.memory) else {
            Issue.record("an empty entry maps something")
            return
        }
        #expect(fault == Fault(reason: .notPresent, level: .leafTable, entry: Entry(0)))
    }

    @Test func `leave no hole where entries are absent`() throws {
        let built = try X86.x86WithPath()
        try built.map(0x4000, 10, 0x70_0000)
        built.memory.remove(built.place(0x4000, 4), bytes: 16)
        built.memory.remove(built.place(0x4000, 510), bytes: 16)
        var journal = WalkJournal<X86_64>()
        try built.space.walk(range(0, 0x1f_ffff), in: built.memory, visitor: &journal)
        #expect(
            journal.lines.drop { $0 != "enter 0x4000 level 0" } == [
                "enter 0x4000 level 0", "hole 0x0 ..< 0x4000 level 0", "absent 4...5", "hole 0x6000 ..< 0xa000 level 0",
                "leaf 0xa000 ..< 0xb000", "hole 0xb000 ..< 0x1fe000 level 0", "absent 510...511", "leave 0x4000",
                "leave 0x3000", "leave 0x2000", "leave 0x1000",
            ])
    }

    @Test func `that cannot be read end the survey`() throws {
        let built = try X86.x86WithPath()
        built.memory.broken = PhysicalRange(first: PhysicalAddress(0x3000), last: PhysicalAddress(0x3fff))
        #expect(throws: WordMemory.Failure.broken(PhysicalAddress(0x3000))) { _ = try built.survey() }
    }

    @Test func `with malformed entries report them with position, reason and number`() throws {
        let built = try X86.x86WithPath()
        // A large page at the top level, four times, and a 2 MiB page at an odd address.
        for index in 4..<8 { built.put(Entry(0x80 | 1), X86.root, index) }
        built.put(Entry(0x2000 | 0x80 | 1), 0x3000, 2)
        try built.map(0x4000, 0, 0x70_0000)
        let survey = try built.survey()

        #expect(survey.summary == [summary(0, 0x1000, 0x70_0000)])
        #expect(
            survey.oddities == [
                Oddity(
                    kind: .malformed(Entry(0x2081), .reservedBits(0x2000)),
                    position: EntryPosition(table: PhysicalAddress(0x3000), index: 2, level: Level(1)),
                    address: VirtualAddress(0x40_0000), count: 1),
                Oddity(
                    kind: .malformed(Entry(0x81), .leafAtIllegalLevel),
                    position: EntryPosition(table: PhysicalAddress(X86.root), index: 4, level: Level(3)),
                    address: VirtualAddress(4 << 39), count: 4),
            ])
        guard case .unmapped(let fault) = try built.space.translate(VirtualAddress(5 << 39), in: built.memory) else {
            Issue.record("a malformed entry maps something")
            return
        }
        #expect(fault == Fault(reason: .malformed, level: Level(3), entry: Entry(0x81)))
    }

    @Test func `report no more oddities than the limit and count the others`() throws {
        let built = try X86.x86WithPath()
        for index in 0..<512 { built.put(Entry(UInt64(index) << 13 | 0x81), 0x3000, index) }
        let survey = try built.survey(limits: SurveyLimits(oddities: 10))
        // Every 256th of these is aligned, and a page.
        #expect(survey.ranges.count == 2)
        #expect(survey.oddities.count == 10)
        #expect(survey.furtherOddities == 500)
        #expect(survey.oddities.map(\.position.index) == Array(1...10))
    }
}

@Suite("Tables that are shorter than an index (s390x)")
struct ShortTableTests {
    /// A space of three levels whose top table has its first half only, and an entry whose table has only its second and
    /// third quarter.
    private func built() throws -> HandBuiltSpace<S390x> {
        let built = HandBuiltSpace(try AddressSpace.s390x(asce: 0x1_0000 | 1 << 2 | 1))
        built.addTable(0x2_0000, Level(1))
        // TT 1, TF 1, TL 2
        built.put(Entry(0x2_0000 | 1 << 6 | 1 << 2 | 2), 0x1_0000, 3)
        for index in [0, 511, 512, 1535, 1536, 2047] {
            try built.map(0x2_0000, index, UInt64(index + 1) << 20, at: Level(1))
        }
        try built.map(0x1_0000, 1024, 0x8000_0000, at: Level(2))
        return built
    }

    private let base: UInt64 = 3 << 31

    @Test func `are read no further than they go`() throws {
        let built = try built()
        let survey = try built.survey()

        #expect(
            survey.summary == [
                summary(base + 512 << 20, 1 << 20, 513 << 20), summary(base + 1535 << 20, 1 << 20, 1536 << 20),
            ])
        #expect(built.memory.loads(of: 0x2_0000, bytes: 512 * 8) == 0)
        #expect(built.memory.loads(of: 0x2_0000 + 512 * 8, bytes: 1024 * 8) == 1024)
        #expect(built.memory.loads(of: 0x2_0000 + 1536 * 8, bytes: 512 * 8) == 0)
        #expect(built.memory.loads(of: 0x1_0000 + 1024 * 8, bytes: 1024 * 8) == 0)
        #expect(
            survey.tables.map(\.indexes) == [IndexLimits(first: 0, last: 1023), IndexLimits(first: 512, last: 1535)])
        #expect(survey.tables.map(\.physicalRange.first.rawValue) == [0x1_0000, 0x2_1000])
    }

    @Test func `translate nothing where they have no entry`() throws {
        let built = try built()
        built.memory.forgetLoads()
        for index in [0, 511, 1536, 2047] as [UInt64] {
            guard
                case .unmapped(let fault) = try built.space.translate(
                    VirtualAddress(base + index << 20), in: built.memory)
            else {
                Issue.record("index \(index) is beyond the table")
                continue
            }
            #expect(fault.reason == .notPresent)
            #expect(fault.level == Level(1))
        }
        guard case .unmapped(let fault) = try built.space.translate(VirtualAddress(1024 << 31), in: built.memory) else {
            Issue.record("index 1024 is beyond the top table")
            return
        }
        #expect(fault == Fault(reason: .notPresent, level: Level(2), entry: Entry(0)))
        #expect(built.memory.loads.keys.allSatisfy { $0 == 0x1_0000 + 3 * 8 })
    }

    @Test func `are holes where they have no entry`() throws {
        let built = try built()
        var journal = WalkJournal<S390x>()
        try built.space.walk(range(base, base + 1 << 31 - 1), in: built.memory, visitor: &journal)
        #expect(
            journal.lines == [
                "enter 0x10000 level 2", "table 0x180000000 ..< 0x200000000", "enter 0x20000 level 1",
                "hole 0x180000000 ..< 0x1a0000000 level 1", "leaf 0x1a0000000 ..< 0x1a0100000",
                "hole 0x1a0100000 ..< 0x1dff00000 level 1", "leaf 0x1dff00000 ..< 0x1e0000000",
                "hole 0x1e0000000 ..< 0x200000000 level 1", "leave 0x20000", "leave 0x10000",
            ])
        // A part that the table does not have at all: nothing is read for it.
        journal = WalkJournal<S390x>()
        try built.space.walk(range(base, base + 0xfffff), in: built.memory, visitor: &journal)
        #expect(
            journal.lines == [
                "enter 0x10000 level 2", "table 0x180000000 ..< 0x180100000",
                "hole 0x180000000 ..< 0x180100000 level 1", "leave 0x10000",
            ])
    }

    @Test func `map other parts where other entries say other limits`() throws {
        let built = try built()
        built.put(Entry(0x2_0000 | 1 << 2 | 3), 0x1_0000, 4)
        let survey = try built.survey()

        let (mega, next) = (1 << 20 as UInt64, 4 << 31 as UInt64)
        #expect(
            survey.summary == [
                summary(base + 512 * mega, mega, 513 * mega), summary(base + 1535 * mega, mega, 1536 * mega),
                summary(next, mega, mega), summary(next + 511 * mega, 2 * mega, 512 * mega),
                summary(next + 1535 * mega, 2 * mega, 1536 * mega), summary(next + 2047 * mega, mega, 2048 * mega),
            ])
        #expect(survey.tables.count == 2)
        #expect(survey.tables.last?.indexes == IndexLimits(first: 0, last: 2047))
        #expect(survey.tables.last?.leaves == 6)
    }

    @Test func `end at the very top of the address space`() throws {
        let built = HandBuiltSpace(try AddressSpace.s390x(asce: 0x1_0000 | 3 << 2 | 3))
        for (index, level) in [4, 3, 2, 1].enumerated() {
            let table = 0x1_0000 * UInt64(index + 1)
            try built.point(table, 2047, to: table + 0x1_0000, at: Level(level))
        }
        try built.map(0x5_0000, 254, 0x70_0000)
        try built.map(0x5_0000, 255, 0x70_1000)
        let survey = try built.survey()

        #expect(survey.summary == [summary(0xffff_ffff_ffff_e000, 0x2000, 0x70_0000)])
        #expect(survey.ranges[0].virtual.endDescription == "0x10000000000000000")
        #expect(survey.holes(in: .all) == [range(0, 0xffff_ffff_ffff_dfff)])
        #expect(survey.range(mapping: VirtualAddress(.max)) == survey.ranges[0])
        guard case .mapped(let mapping) = try built.space.translate(VirtualAddress(.max), in: built.memory) else {
            Issue.record("the last byte is not mapped")
            return
        }
        #expect(mapping.physical == PhysicalAddress(0x70_1fff))
        var journal = WalkJournal<S390x>()
        try built.space.walk(in: built.memory, visitor: &journal)
        #expect(journal.lines.contains("leaf 0xfffffffffffff000 ..< 0x10000000000000000"))
    }

    @Test func `keep apart what is below and above the top of physical addresses`() throws {
        let built = HandBuiltSpace(try AddressSpace.s390x(asce: 0x1_0000 | 1 << 2 | 3))
        try built.map(0x1_0000, 0, 0 &- 1 << 31, at: Level(2))
        try built.map(0x1_0000, 1, 0, at: Level(2))
        let survey = try built.survey(range(0, 1 << 32 - 1))
        #expect(
            survey.summary == [summary(0, 1 << 31, 0xffff_ffff_8000_0000), summary(1 << 31, 1 << 31, 0)])
        let low = PhysicalRange(first: PhysicalAddress(0x1000), last: PhysicalAddress(0x1fff))
        #expect(survey.mappings(of: low).map(\.summary) == [summary(0x8000_1000, 0x1000, 0x1000)])
    }
}
