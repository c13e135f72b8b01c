import PageTableWalk
import PageTables

/// Tables that a test writes entry by entry.
struct HandBuiltSpace<F: PageTableFormat> {
    let space: AddressSpace<F>
    let memory = WordMemory()

    /// A space with an empty top table.
    init(_ space: AddressSpace<F>) {
        self.space = space
        for tree in space.trees { addTable(tree.table.rawValue, tree.topLevel) }
    }

    /// Writes a table in which nothing is mapped.
    func addTable(_ address: UInt64, _ level: Level) {
        let empty = space.format.canonical(.invalid, EntryAttributes(rights: []), at: level)
        for index in 0..<space.format.entryCount(level) { put(Entry(empty), address, index) }
    }

    func put(_ entry: Entry, _ table: UInt64, _ index: Int) {
        memory.write(entry, bytes: F.entryBytes, space.format.byteOrder, at: place(table, index))
    }

    /// Makes an entry point to a table of the level below, which this writes empty if it is not there.
    func point(
        _ table: UInt64, _ index: Int, to next: UInt64, at level: Level, rights: Rights = .all
    ) throws {
        if !memory.isPresent(next) { addTable(next, level.below) }
        put(try space.format.tableEntry(PhysicalAddress(next), rights: rights, at: level), table, index)
    }

    func map(
        _ table: UInt64, _ index: Int, _ frame: UInt64, at level: Level = .leafTable,
        _ attributes: EntryAttributes = .kernelDataAndCode
    ) throws {
        let size = PageSize(log2Bytes: Int(space.format.shift(level)))
        put(try space.format.leaf(PhysicalAddress(frame), size, attributes, at: level), table, index)
    }

    func survey(_ range: VirtualRange = .all, limits: SurveyLimits = SurveyLimits()) throws -> Survey {
        try space.survey(range, in: memory, limits: limits)
    }

    func place(_ table: UInt64, _ index: Int) -> UInt64 { table + UInt64(index * F.entryBytes) }

    /// How often each entry of a table was loaded, or `nil` if not all as often.
    func loads(_ table: UInt64, _ level: Level) -> Int? {
        let counts = Set((0..<space.format.entryCount(level)).map { memory.loads(of: place(table, $0)) })
        return counts.count == 1 ? counts.first : nil
    }
}

extension HandBuiltSpace where F == X86_64 {
    static let root: UInt64 = 0x1000

    /// An empty x86-64 space whose top table is at `root`.
    static func x86() -> HandBuiltSpace { HandBuiltSpace(.x86LongMode(X86_64(), cr3: root)) }

    /// Tables at 0x2000, 0x3000, 0x4000 for the lowest 2 MiB.
    static func x86WithPath() throws -> HandBuiltSpace {
        let built = x86()
        try built.point(root, 0, to: 0x2000, at: Level(3))
        try built.point(0x2000, 0, to: 0x3000, at: Level(2))
        try built.point(0x3000, 0, to: 0x4000, at: Level(1))
        return built
    }
}

/// What most tests want to say about a range.
struct RangeSummary: Hashable, CustomStringConvertible {
    let first: UInt64
    let bytes: UInt64
    let physical: UInt64

    var description: String { "\(hexadecimal(first)) + \(hexadecimal(bytes)) -> \(hexadecimal(physical))" }
}

extension Survey {
    var summary: [RangeSummary] { ranges.map(\.summary) }
}

extension MappedRange {
    var summary: RangeSummary {
        RangeSummary(first: first.rawValue, bytes: byteCount, physical: physical.rawValue)
    }
}

func summary(_ first: UInt64, _ bytes: UInt64, _ physical: UInt64) -> RangeSummary {
    RangeSummary(first: first, bytes: bytes, physical: physical)
}

func range(_ first: UInt64, _ last: UInt64) -> VirtualRange {
    VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
}

extension Rights {
    static var kernelData: Rights { [.supervisorRead, .supervisorWrite] }
    static var kernelCode: Rights { [.supervisorRead, .supervisorExecute] }
}

extension EntryAttributes {
    static var kernelData: EntryAttributes { EntryAttributes(rights: .kernelData) }
    static var kernelCode: EntryAttributes { EntryAttributes(rights: .kernelCode) }
    static var kernelDataAndCode: EntryAttributes { EntryAttributes(rights: .supervisor) }
    static var userData: EntryAttributes {
        EntryAttributes(rights: [.supervisorRead, .supervisorWrite, .userRead, .userWrite])
    }
}
