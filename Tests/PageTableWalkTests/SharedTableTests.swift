import PageTables
import Testing

@testable import PageTableWalk

@Suite("Tables that several entries reach")
struct SharedTableTests {
    typealias X86 = HandBuiltSpace<X86_64>

    @Test func `are read once and map at every place`() throws {
        let built = try X86.x86WithPath()
        try built.map(0x4000, 3, 0x70_0000)
        try built.point(0x3000, 5, to: 0x4000, at: Level(1))
        try built.point(0x2000, 1, to: 0x3000, at: Level(2))
        try built.point(X86.root, 511, to: 0x2000, at: Level(3))
        let survey = try built.survey()

        let places: [UInt64] = [0, 0x4000_0000, 0xffff_ff80_0000_0000, 0xffff_ff80_4000_0000]
        #expect(
            survey.summary
                == places.flatMap {
                    [summary($0 + 0x3000, 0x1000, 0x70_0000), summary($0 + 0xa0_3000, 0x1000, 0x70_0000)]
                })
        #expect(survey.tables.map(\.address.rawValue) == [0x1000, 0x2000, 0x3000, 0x4000])
        #expect(survey.tables.map(\.leaves) == [0, 0, 0, 1])
        #expect(survey.tables.map(\.tables) == [2, 2, 2, 0])
        for (table, level) in zip([X86.root, 0x2000, 0x3000, 0x4000], [3, 2, 1, 0]) {
            #expect(built.loads(table, Level(level)) == 1)
        }
        // The top table is two halves to the walk.
        #expect(built.memory.lookups.map(\.rawValue) == [0x1000, 0x2000, 0x3000, 0x4000, 0x1800])
        for place in places {
            guard
                case .mapped(let mapping) = try built.space.translate(
                    VirtualAddress(place + 0xa0_3123), in: built.memory)
            else {
                Issue.record("\(hexadecimal(place)) is not mapped")
                continue
            }
            #expect(mapping.physical == PhysicalAddress(0x70_0123))
        }
    }

    @Test func `have their holes at every place, each as deep as the entries that map nothing`() throws {
        let built = try X86.x86WithPath()
        try built.map(0x4000, 3, 0x70_0000)
        try built.point(0x3000, 1, to: 0x4000, at: Level(1))
        let holes = try built.space.survey(range(0, 0x7fff_ffff), in: built.memory, holes: true).holes
        #expect(
            holes == [
                Hole(range(0, 0x2fff), level: .leafTable), Hole(range(0x4000, 0x20_2fff), level: .leafTable),
                Hole(range(0x20_4000, 0x3f_ffff), level: .leafTable),
                Hole(range(0x40_0000, 0x3fff_ffff), level: Level(1)),
                Hole(range(0x4000_0000, 0x7fff_ffff), level: Level(2)),
            ])
        #expect(built.loads(0x4000, .leafTable) == 1)
        #expect(try built.survey().holes == [], "they are kept if they are wanted")
        let few = SurveyLimits(repeatedRanges: 3)
        let limited = try built.space.survey(range(0, 0x3f_ffff), in: built.memory, limits: few, holes: true)
        #expect(limited.holes.count == 3 && limited.ranges.count == 2)
        let fewer = SurveyLimits(repeatedRanges: 2)
        let without = try built.space.survey(range(0, 0x3f_ffff), in: built.memory, limits: fewer, holes: true)
        #expect(without.ranges.count == 1, "a hole is repeated at the price of a range")
        #expect(without.oddities.map(\.kind) == [.repeatLeftOut(table: PhysicalAddress(0x4000))])
    }

    @Test func `are read once for each set of rights above them, and counted once`() throws {
        let built = try X86.x86WithPath()
        for index in [1, 2, 3] {
            try built.point(
                0x3000, index, to: 0x4000, at: Level(1), rights: index == 2 ? .all : .all.subtracting(.writes))
        }
        try built.map(0x4000, 0, 0x70_0000)
        let survey = try built.survey()

        #expect(survey.summary.map(\.first) == [0, 0x20_0000, 0x40_0000, 0x60_0000])
        let writable = survey.ranges.map { $0.attributes.rights.contains(.supervisorWrite) }
        #expect(writable == [true, false, true, false])
        #expect(built.loads(0x4000, .leafTable) == 2)
        #expect(survey.tables.count == 4)
        #expect(survey.tables.last?.leaves == 1)
    }

    @Test func `merge with their neighbours where their pages continue one another`() throws {
        let built = try X86.x86WithPath()
        try built.point(0x3000, 1, to: 0x5000, at: Level(1))
        for index in 0..<512 { try built.map(0x4000, index, UInt64(index) << 12) }
        for index in 0..<512 { try built.map(0x5000, index, 0x20_0000 + UInt64(index) << 12) }
        try built.point(0x3000, 2, to: 0x4000, at: Level(1))
        #expect(try built.survey().summary == [summary(0, 0x40_0000, 0), summary(0x40_0000, 0x20_0000, 0)])
    }

    @Test func `are not repeated from a reading that the range had cut`() throws {
        let built = try X86.x86WithPath()
        try built.point(0x3000, 1, to: 0x4000, at: Level(1))
        try built.map(0x3000, 2, 0x4000_0000, at: Level(1))
        try built.point(0x2000, 1, to: 0x3000, at: Level(2))
        try built.map(0x4000, 0, 0x70_0000)
        try built.map(0x4000, 511, 0x80_0000)
        // From the middle of a page of a table whose every entry is in the range, to the middle of a large page.
        let survey = try built.survey(range(0x800, 0x404f_ffff))
        #expect(
            survey.summary == [
                summary(0x800, 0x800, 0x70_0800), summary(0x1f_f000, 0x1000, 0x80_0000),
                summary(0x20_0000, 0x1000, 0x70_0000), summary(0x3f_f000, 0x1000, 0x80_0000),
                summary(0x40_0000, 0x20_0000, 0x4000_0000),
                summary(0x4000_0000, 0x1000, 0x70_0000), summary(0x401f_f000, 0x1000, 0x80_0000),
                summary(0x4020_0000, 0x1000, 0x70_0000), summary(0x403f_f000, 0x1000, 0x80_0000),
                summary(0x4040_0000, 0x10_0000, 0x4000_0000),
            ])
        #expect(survey.tables.map(\.leaves) == [0, 0, 1, 2])
    }

    @Test func `that contain themselves are reported where they do, and not followed`() throws {
        let built = try X86.x86WithPath()
        try built.map(0x4000, 7, 0x70_0000)
        try built.point(X86.root, 0x1ed, to: X86.root, at: Level(3))
        let survey = try built.survey()

        #expect(survey.summary == [summary(0x7000, 0x1000, 0x70_0000)])
        #expect(
            survey.oddities == [
                Oddity(
                    kind: .loop(to: PhysicalAddress(X86.root)),
                    position: EntryPosition(table: PhysicalAddress(X86.root), index: 0x1ed, level: Level(3)),
                    address: VirtualAddress(0xffff_f680_0000_0000), count: 1)
            ])
        #expect(built.loads(X86.root, Level(3)) == 1)
    }

    @Test func `and are one another's parents are reported once a cycle`() throws {
        let built = try X86.x86WithPath()
        try built.map(0x4000, 7, 0x70_0000)
        try built.point(0x3000, 9, to: 0x2000, at: Level(1))
        let survey = try built.survey()

        #expect(survey.summary == [summary(0x7000, 0x1000, 0x70_0000)])
        #expect(survey.oddities.map(\.kind) == [.loop(to: PhysicalAddress(0x2000))])
        #expect(
            survey.oddities.map(\.position) == [
                EntryPosition(table: PhysicalAddress(0x3000), index: 9, level: Level(1))
            ])
        #expect(survey.oddities.map(\.address.rawValue) == [0x120_0000])
    }

    @Test func `through nothing but pointers to themselves are one oddity`() throws {
        let built = X86.x86()
        for index in 0..<512 { try built.point(X86.root, index, to: X86.root, at: Level(3)) }
        let survey = try built.survey()

        #expect(survey.ranges.isEmpty)
        #expect(survey.oddities.map(\.kind) == [.loop(to: PhysicalAddress(X86.root))])
        #expect(survey.oddities.map(\.count) == [512])
        #expect(built.loads(X86.root, Level(3)) == 1)
    }

    @Test func `cannot be made to map more than the limit`() throws {
        let built = try X86.x86WithPath()
        for index in 0..<512 {
            try built.point(X86.root, index, to: 0x2000, at: Level(3))
            try built.point(0x2000, index, to: 0x3000, at: Level(2))
            try built.point(0x3000, index, to: 0x4000, at: Level(1))
            // No page continues the one before.
            try built.map(0x4000, index, UInt64(index) << 13)
        }
        let survey = try built.survey(limits: SurveyLimits(repeatedRanges: 10_000))

        // 19 repetitions of 512 ranges fit in.
        #expect(survey.ranges.count == 20 * 512)
        #expect(
            survey.oddities.map(\.kind)
                == [0x4000, 0x3000, 0x2000].map { .repeatLeftOut(table: PhysicalAddress($0)) })
        #expect(survey.oddities.map(\.position.table.rawValue) == [0x3000, 0x2000, 0x1000])
        #expect(survey.oddities.map(\.position.index) == [20, 1, 1])
        #expect(survey.oddities.map(\.count) == [492, 511, 511])
        #expect(survey.furtherOddities == 0)
        for (table, level) in zip([X86.root, 0x2000, 0x3000, 0x4000], [3, 2, 1, 0]) {
            #expect(built.loads(table, Level(level)) == 1)
        }
    }
}
