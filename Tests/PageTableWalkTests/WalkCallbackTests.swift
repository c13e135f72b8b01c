import PageTableWalk
import PageTables
import Testing

@Suite("The callbacks of a walk")
struct WalkCallbackTests {
    /// Two levels: a table of two pages, a large page, a hole, a table with a page, a malformed entry, a hole.
    private func built() throws -> HandBuiltSpace<X86TwoLevel> {
        let built = HandBuiltSpace(.x86TwoLevel(X86TwoLevel(), cr3: 0x1000))
        try built.point(0x1000, 0, to: 0x2000, at: Level(1), rights: .all.subtracting(.user))
        try built.map(0x2000, 1, 0x70_0000)
        try built.map(0x2000, 1023, 0x71_0000)
        try built.map(0x1000, 1, 0x40_0000, at: Level(1))
        try built.point(0x1000, 4, to: 0x3000, at: Level(1))
        try built.map(0x3000, 0, 0x72_0000)
        built.put(Entry(1 << 21 | 0x81), 0x1000, 5)
        return built
    }

    private let everything = [
        "enter 0x1000 level 1",
        "table 0x0 ..< 0x400000",
        "enter 0x2000 level 0",
        "hole 0x0 ..< 0x1000 level 0",
        "leaf 0x1000 ..< 0x2000",
        "hole 0x2000 ..< 0x3ff000 level 0",
        "leaf 0x3ff000 ..< 0x400000",
        "leave 0x2000",
        "leaf 0x400000 ..< 0x800000",
        "hole 0x800000 ..< 0x1000000 level 1",
        "table 0x1000000 ..< 0x1400000",
        "enter 0x3000 level 0",
        "leaf 0x1000000 ..< 0x1001000",
        "hole 0x1001000 ..< 0x1400000 level 0",
        "leave 0x3000",
        "malformed 0x1400000",
        "hole 0x1800000 ..< 0x100000000 level 1",
        "leave 0x1000",
    ]

    /// The lines of a walk that is given some answers.
    private func walk(
        _ built: HandBuiltSpace<X86TwoLevel>, _ range: VirtualRange = .all, _ answers: [String: [WalkAction]] = [:]
    ) throws -> (lines: [String], finished: Bool) {
        var journal = WalkJournal<X86TwoLevel>()
        journal.answers = answers
        let finished = try built.space.walk(range, in: built.memory, visitor: &journal)
        return (journal.lines, finished)
    }

    @Test func `come in the order of addresses, tables before and after what is in them`() throws {
        let built = try built()
        let (lines, finished) = try walk(built)
        #expect(lines == everything)
        #expect(finished)
        #expect([0x1000, 0x2000, 0x3000].map { built.loads($0, .leafTable) } == [1, 1, 1])
    }

    @Test func `tell the rights that the entries above leave`() throws {
        let built = try built()
        var journal = WalkJournal<X86TwoLevel>()
        try built.space.walk(in: built.memory, visitor: &journal)
        #expect(journal.rights == [.all, .all.subtracting(.user), .all])
    }

    @Test func `are cut to the range of the walk`() throws {
        #expect(
            try walk(try built(), range(0x1800, 0x40_0fff)).lines == [
                "enter 0x1000 level 1", "table 0x1800 ..< 0x400000", "enter 0x2000 level 0", "leaf 0x1800 ..< 0x2000",
                "hole 0x2000 ..< 0x3ff000 level 0", "leaf 0x3ff000 ..< 0x400000", "leave 0x2000",
                "leaf 0x400000 ..< 0x401000", "leave 0x1000",
            ])
        #expect(
            try walk(try built(), range(0x90_0123, 0x90_0123)).lines == [
                "enter 0x1000 level 1", "hole 0x900123 ..< 0x900124 level 1", "leave 0x1000",
            ])
        #expect(try walk(try built(), range(1 << 32, .max)).lines.isEmpty)
    }

    @Test func `of an entry that is skipped are followed by none of its table`() throws {
        let built = try built()
        let lines = try walk(built, .all, ["table 0x0 ..< 0x400000": [.skip]]).lines
        #expect(lines == Array(everything[..<2] + everything[8...]))
        #expect(built.memory.loads(of: 0x2000, bytes: 4096) == 0)
        #expect(built.memory.lookups.map(\.rawValue) == [0x1000, 0x3000])
    }

    @Test func `of a table that is skipped are only the one before it`() throws {
        let built = try built()
        let lines = try walk(built, .all, ["enter 0x2000 level 0": [.skip]]).lines
        #expect(lines == Array(everything[..<3] + everything[8...]))
        #expect(built.memory.loads(of: 0x2000, bytes: 4096) == 0)
        #expect(built.memory.lookups.map(\.rawValue) == [0x1000, 0x3000])
    }

    @Test(arguments: [2, 3, 4, 6, 8, 9, 10, 11, 13, 15, 16])
    func `end where one of them stops, and every table that was entered is left`(number: Int) throws {
        let built = try built()
        let (lines, finished) = try walk(built, .all, [everything[number]: [.stop]])
        var expected = Array(everything[...number])
        if (3...6).contains(number) { expected.append("leave 0x2000") }
        if (12...13).contains(number) { expected.append("leave 0x3000") }
        expected.append("leave 0x1000")
        #expect(lines == expected)
        #expect(!finished)
    }

    @Test func `that stop at the first table have nothing to leave`() throws {
        let (lines, finished) = try walk(try built(), .all, ["enter 0x1000 level 1": [.stop]])
        #expect(lines == ["enter 0x1000 level 1"])
        #expect(!finished)
    }

    @Test func `stop before the upper half where they stop in the lower`() throws {
        let built = try HandBuiltSpace<X86_64>.x86WithPath()
        try built.map(0x4000, 0, 0x70_0000)
        var journal = WalkJournal<X86_64>()
        journal.answers = ["leaf 0x0 ..< 0x1000": [.stop]]
        #expect(try !built.space.walk(in: built.memory, visitor: &journal))
        #expect(journal.lines.count { $0.hasPrefix("enter 0x1000") } == 1)
        #expect(
            journal.lines.suffix(4) == ["leave 0x4000", "leave 0x3000", "leave 0x2000", "leave 0x1000"])
    }

    @Test func `pass the memory's failure on`() throws {
        let built = try built()
        built.memory.broken = PhysicalRange(first: PhysicalAddress(0x3000), last: PhysicalAddress(0x3fff))
        #expect(throws: WordMemory.Failure.broken(PhysicalAddress(0x3000))) { _ = try walk(built) }
    }
}

@Suite("While another thread changes the tables")
struct ConcurrentChangeTests {
    private func built() throws -> HandBuiltSpace<X86TwoLevel> {
        let built = HandBuiltSpace(.x86TwoLevel(X86TwoLevel(), cr3: 0x1000))
        try built.point(0x1000, 0, to: 0x2000, at: Level(1))
        try built.map(0x2000, 1, 0x70_0000)
        built.addTable(0x3000, .leafTable)
        try built.map(0x3000, 2, 0x71_0000)
        return built
    }

    private let format = X86TwoLevel()

    /// Changes an entry right after it was loaded for the `number`th time.
    private func change(
        _ built: HandBuiltSpace<X86TwoLevel>, _ table: UInt64, _ index: Int, to entry: Entry, afterLoad number: Int = 1
    ) {
        built.memory.afterLoad = { memory, address, count in
            guard address == built.place(table, index), count == number else { return }
            memory.write(entry, bytes: 4, at: address)
        }
    }

    private func pointer(_ table: UInt64) throws -> Entry {
        try format.tableEntry(PhysicalAddress(table), at: Level(1))
    }

    @Test func `a walk descends by the value that its callback was given`() throws {
        let built = try built()
        change(built, 0x1000, 0, to: try pointer(0x3000))
        var journal = WalkJournal<X86TwoLevel>()
        try built.space.walk(in: built.memory, visitor: &journal)

        #expect(journal.entries.first == (try pointer(0x2000)))
        #expect(journal.lines.contains("enter 0x2000 level 0"))
        #expect(!journal.lines.contains("enter 0x3000 level 0"))
        #expect(built.memory.loads(of: 0x1000) == 1)
    }

    @Test func `a translation goes by the value that it loaded, and loads it once`() throws {
        let built = try built()
        change(built, 0x1000, 0, to: Entry(0))
        var path = TranslationPath()
        guard
            case .mapped(let mapping) = try built.space.translate(
                VirtualAddress(0x1234), in: built.memory, observer: &path)
        else {
            Issue.record("the table that was there is not walked")
            return
        }
        #expect(mapping.physical == PhysicalAddress(0x70_0234))
        #expect(path.steps.map(\.entry) == [try pointer(0x2000), mapping.leaf])
        #expect(
            path.steps.map(\.position) == [
                EntryPosition(table: PhysicalAddress(0x1000), index: 0, level: Level(1)),
                EntryPosition(table: PhysicalAddress(0x2000), index: 1, level: .leafTable),
            ])
        #expect(built.memory.loads == [0x1000: 1, 0x2004: 1])
    }

    @Test func `a callback that wants an entry again gets the new value`() throws {
        let built = try built()
        change(built, 0x1000, 0, to: try pointer(0x3000))
        var journal = WalkJournal<X86TwoLevel>()
        journal.answers = ["table 0x0 ..< 0x400000": [.again]]
        try built.space.walk(in: built.memory, visitor: &journal)

        #expect(
            journal.lines.prefix(4) == [
                "enter 0x1000 level 1", "table 0x0 ..< 0x400000", "table 0x0 ..< 0x400000", "enter 0x3000 level 0",
            ])
        #expect(try journal.entries.prefix(2) == [pointer(0x2000), pointer(0x3000)])
        #expect(!journal.lines.contains("enter 0x2000 level 0"))
        #expect(built.memory.loads(of: 0x1000) == 2)
        #expect(built.memory.loads(of: 0x1004) == 1)
    }

    @Test func `an entry that is gone when it is wanted again is part of a hole`() throws {
        let built = try built()
        change(built, 0x2000, 1, to: Entry(0))
        var journal = WalkJournal<X86TwoLevel>()
        journal.answers = ["leaf 0x1000 ..< 0x2000": [.again]]
        try built.space.walk(range(0, 0x3f_ffff), in: built.memory, visitor: &journal)
        #expect(
            journal.lines.dropFirst(3) == [
                "hole 0x0 ..< 0x1000 level 0", "leaf 0x1000 ..< 0x2000", "hole 0x1000 ..< 0x400000 level 0",
                "leave 0x2000", "leave 0x1000",
            ])
    }

    @Test func `a table that became a large page when it is wanted again is a leaf`() throws {
        let built = try built()
        let large = try format.leaf(
            PhysicalAddress(0x80_0000), PageSize(log2Bytes: 22), .kernelDataAndCode, at: Level(1))
        change(built, 0x1000, 0, to: large)
        var journal = WalkJournal<X86TwoLevel>()
        journal.answers = ["table 0x0 ..< 0x400000": [.again]]
        try built.space.walk(range(0, 0x3f_ffff), in: built.memory, visitor: &journal)
        #expect(
            journal.lines == [
                "enter 0x1000 level 1", "table 0x0 ..< 0x400000", "leaf 0x0 ..< 0x400000", "leave 0x1000",
            ])
        #expect(journal.entries == [try pointer(0x2000), large])
    }

    @Test func `an entry may be wanted again as often as it changes`() throws {
        let built = try built()
        built.memory.afterLoad = { memory, address, count in
            guard address == 0x2004 else { return }
            memory.write(Entry(0x70_0000 + UInt64(count) << 12 | 3), bytes: 4, at: address)
        }
        var journal = WalkJournal<X86TwoLevel>()
        journal.answers = ["leaf 0x1000 ..< 0x2000": [.again, .again, .again, .skip]]
        try built.space.walk(in: built.memory, visitor: &journal)
        #expect(journal.entries.dropFirst().map { $0.rawValue >> 12 } == [0x700, 0x701, 0x702, 0x703])
        #expect(built.memory.loads(of: 0x2004) == 4)
    }
}
