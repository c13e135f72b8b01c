import PageTableWalk
import PageTables
import SeededRandom
import Testing

@Suite("A survey answers")
struct SurveyQuestionTests {
    typealias X86 = HandBuiltSpace<X86_64>

    /// Three pages and a page further up, a large page, a huge page in the upper half, and the first page once more.
    private func built() throws -> X86 {
        let built = try X86.x86WithPath()
        for index in 1...3 { try built.map(0x4000, index, 0x70_0000 + UInt64(index) << 12) }
        try built.map(0x4000, 511, 0x70_1000)
        try built.map(0x3000, 1, 0x4000_0000, at: Level(1))
        try built.point(X86.root, 511, to: 0x5000, at: Level(3))
        try built.map(0x5000, 511, 0x8000_0000, at: Level(2))
        return built
    }

    @Test func `with one range for pages that continue one another, and with another where their size changes`() throws
    {
        let built = try X86.x86WithPath()
        for index in 0..<512 { try built.map(0x4000, index, 0x4000_0000 + UInt64(index) << 12) }
        for index in 1..<4 { try built.map(0x3000, index, 0x4000_0000 + UInt64(index) << 21, at: Level(1)) }
        #expect(
            try built.survey().summary == [
                summary(0, 0x20_0000, 0x4000_0000), summary(0x20_0000, 0x60_0000, 0x4020_0000),
            ])
    }

    @Test func `how many tables there are, how full they are and what they map`() throws {
        let built = try built()
        let statistics = try built.survey().statistics(of: built.space.format)

        #expect(statistics.levels.map(\.level) == [Level(3), Level(2), Level(1), Level(0)])
        #expect(statistics.levels.map(\.tables) == [1, 2, 1, 1])
        #expect(statistics.levels.map(\.tableBytes) == [4096, 8192, 4096, 4096])
        #expect(statistics.levels.map(\.slots) == [512, 1024, 512, 512])
        #expect(statistics.levels.map(\.used) == [2, 2, 2, 4])
        #expect(statistics.levels.map(\.leaves) == [0, 1, 1, 4])
        #expect(statistics.levels.last?.occupancy == 4.0 / 512)
        #expect(statistics.tableCount == 5)
        #expect(statistics.tableBytes == 5 * 4096)

        #expect(statistics.sizes.map(\.pageSize.log2Bytes) == [12, 21, 30])
        #expect(statistics.sizes.map(\.pages) == [4, 1, 1])
        #expect(statistics.sizes.map(\.bytes) == [4 << 12, 2 << 20, 1 << 30])
        #expect(statistics.mappedBytes == 4 << 12 + 2 << 20 + 1 << 30)
        #expect(statistics.rangeCount == 4)
        #expect(statistics.basePageSize.bytes == 4096)
        let expected = 1 - Double(4 << 12) / Double(statistics.mappedBytes)
        #expect(abs(statistics.largePageCoverage - expected) < 1e-12)
    }

    @Test func `what large pages cover where there is nothing, or nothing else`() throws {
        let nothing = X86.x86()
        #expect(try nothing.survey().statistics(of: nothing.space.format).largePageCoverage == 0)
        let large = try X86.x86WithPath()
        try large.map(0x3000, 1, 0x4000_0000, at: Level(1))
        #expect(try large.survey().statistics(of: large.space.format).largePageCoverage == 1)
    }

    @Test func `the virtual addresses of a physical one, all of them and cut to it`() throws {
        let survey = try built().survey()
        func mappings(_ first: UInt64, _ last: UInt64) -> [RangeSummary] {
            survey.mappings(of: PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(last))).map(
                \.summary)
        }
        #expect(mappings(0x70_1800, 0x70_1801) == [summary(0x1800, 2, 0x70_1800), summary(0x1f_f800, 2, 0x70_1800)])
        #expect(mappings(0x70_3000, 0x70_4fff) == [summary(0x3000, 0x1000, 0x70_3000)])
        #expect(mappings(0x70_4000, 0x70_4fff) == [])
        #expect(mappings(0x8000_0000, 0x8000_0000) == [summary(0xffff_ffff_c000_0000, 1, 0x8000_0000)])
        #expect(mappings(0, .max) == survey.summary)
    }

    @Test func `the range that maps an address`() throws {
        let survey = try built().survey()
        #expect(survey.range(mapping: VirtualAddress(0xfff)) == nil)
        #expect(survey.range(mapping: VirtualAddress(0x1000)) == survey.ranges[0])
        #expect(survey.range(mapping: VirtualAddress(0x3fff)) == survey.ranges[0])
        #expect(survey.range(mapping: VirtualAddress(0x4000)) == nil)
        #expect(survey.range(mapping: VirtualAddress(0x1f_ffff)) == survey.ranges[1])
        #expect(survey.range(mapping: VirtualAddress(0x20_0000)) == survey.ranges[2])
        #expect(survey.range(mapping: VirtualAddress(.max)) == survey.ranges[3])
        #expect(Survey().range(mapping: VirtualAddress(0)) == nil)
    }

    @Test func `which addresses are not mapped`() throws {
        let survey = try built().survey()
        #expect(
            survey.holes(in: .all) == [
                range(0, 0xfff), range(0x4000, 0x1f_efff), range(0x40_0000, 0xffff_ffff_bfff_ffff),
            ])
        #expect(survey.holes(in: range(0x800, 0x17ff)) == [range(0x800, 0xfff)])
        #expect(survey.holes(in: range(0x1800, 0x2fff)) == [])
        #expect(survey.holes(in: range(0x2000, 0x4000)) == [range(0x4000, 0x4000)])
        #expect(survey.holes(in: range(0x5000, 0x5fff)) == [range(0x5000, 0x5fff)])
        #expect(survey.holes(in: range(.max, .max)) == [])
        #expect(Survey().holes(in: .all) == [.all])
    }

    @Test func `the same of random spaces as of their pages one by one`() throws {
        let built = try BuiltSpace("questions") { .x86LongMode(X86_64(), cr3: $0[0]) }
        let survey = try built.space.survey(in: built.memory)
        var random = SeededRandom(for: "questions")
        for _ in 0..<200 {
            let page = try #require(built.pages.randomElement(using: &random))
            let first = page.physical &+ random.sparse(2) & 0xffff
            let wanted = PhysicalRange(
                first: PhysicalAddress(first), last: PhysicalAddress(first + random.sparse(2) & 0xf_ffff))
            let bytes = survey.mappings(of: wanted).reduce(0) { $0 + $1.byteCount }
            let expected = built.pages.reduce(0 as UInt64) { sum, page in
                let place = PhysicalRange(
                    first: PhysicalAddress(page.physical), last: PhysicalAddress(page.physical + page.lastOffset))
                return sum + (place.intersection(wanted)?.byteCount ?? 0)
            }
            #expect(bytes == expected, "\(wanted); \(SeededRandom.replay("SurveyQuestionTests"))")
        }
        let holes = survey.holes(in: .all)
        for hole in holes {
            #expect(built.page(at: hole.first.rawValue) == nil)
            #expect(built.page(at: hole.last.rawValue) == nil)
            if hole.first.rawValue > 0 { #expect(built.page(at: hole.first.rawValue - 1) != nil) }
            if hole.last.rawValue < .max { #expect(built.page(at: hole.last.rawValue + 1) != nil) }
        }
        let mapped = built.pages.reduce(0) { $0 + $1.lastOffset + 1 }
        #expect(holes.reduce(0) { $0 &+ ($1.byteCount ?? 0) } == 0 &- mapped)
    }
}
