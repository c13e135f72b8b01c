import PageTables
import SeededRandom

/// A page that a space maps, told without tables.
struct ModelPage: Hashable {
    let first: UInt64
    /// Bytes but one of what its one entry covers.
    let lastOffset: UInt64
    let physical: UInt64
    /// Rights are those of the whole path.
    let attributes: EntryAttributes
    /// Of the page, or of the run of pages that the entry belongs to.
    let size: PageSize
    let level: Level

    var last: UInt64 { first + lastOffset }

    /// The part of the page in a range.
    func cut(to range: VirtualRange) -> ModelPage? {
        let (from, to) = (max(first, range.first.rawValue), min(last, range.last.rawValue))
        guard from <= to else { return nil }
        return ModelPage(
            first: from, lastOffset: to - from, physical: physical + (from - first), attributes: attributes,
            size: size, level: level)
    }
}

/// Tables of a format with random pages in them, some tables reached by several entries, beside an independent account
/// of what they say.
///
/// Every entry goes through the format's own checked encoders. The account is a tree of plain values: it is read without
/// a bit of an entry being decoded.
struct BuiltSpace<F: PageTableFormat> {
    struct Table: Hashable {
        let address: UInt64
        let level: Level
    }

    /// What was written to a slot of a table.
    enum Slot {
        case leaf(frame: UInt64, PageSize, EntryAttributes)
        case table(Table, Rights)
    }

    /// What the entries above a table leave of rights and of indexes.
    struct Reach: Hashable {
        let rights: Rights
        let indexes: IndexLimits
    }

    let space: AddressSpace<F>
    let memory = WordMemory()
    /// Every table with what was written to it; other slots are empty.
    private(set) var tables: [Table: [Int: Slot]] = [:]
    /// What is mapped, in the order of addresses.
    private(set) var pages: [ModelPage] = []
    /// How each table is reached: once for each path with other rights, or to other entries.
    private(set) var reaches: [Table: Set<Reach>] = [:]

    private var random: SeededRandom
    private var nextTable: UInt64 = 0x10_0000
    private var leafChoices: [LeafKind: [EntryAttributes]] = [:]
    private var tableChoices: [Level: [Rights]] = [:]

    private struct LeafKind: Hashable {
        let level: Level
        let size: PageSize
    }

    /// - Parameter makeSpace: Makes the space as a register would say it, with top tables at the given addresses.
    init(_ name: String, makeSpace: (_ roots: [UInt64]) throws -> AddressSpace<F>) throws {
        random = SeededRandom(for: "space \(name)")
        space = try makeSpace([0x1_0000, 0x4_0000])
        for tree in space.trees {
            addTable(Table(address: tree.table.rawValue, level: tree.topLevel), tree.limits.last)
        }
        for tree in space.trees {
            try mapRun(from: tree.range.first.rawValue, in: tree)
            try mapLast(in: tree)
        }
        var places: [UInt64] = []
        for _ in 0..<16 {
            guard let tree = space.trees.randomElement(using: &random) else { break }
            let near = places.randomElement(using: &random) ?? 0
            let far = UInt64.random(in: tree.range.first.rawValue...tree.range.last.rawValue, using: &random)
            let place = Bool.random(using: &random) && tree.range.contains(VirtualAddress(near)) ? near : far
            places.append(place)
            try mapRun(from: place, in: tree)
        }
        for _ in 0..<4 { try shareTable() }
        for tree in space.trees { tell(tree) }
        pages.sort { $0.first < $1.first }
        memory.forgetLoads()
    }

    var format: F { space.format }

    /// The indexes that a table has.
    func limits(_ table: Table) -> IndexLimits {
        space.trees.first { $0.table.rawValue == table.address }?.limits
            ?? IndexLimits(first: 0, last: format.entryCount(table.level) - 1)
    }

    /// The page that maps an address.
    func page(at address: UInt64) -> ModelPage? {
        var (low, high) = (0, pages.count)
        while low < high {
            let middle = (low + high) / 2
            if pages[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low < pages.count && pages[low].first <= address ? pages[low] : nil
    }

    // MARK: The account

    private mutating func tell(_ tree: TableTree) {
        tell(
            Table(address: tree.table.rawValue, level: tree.topLevel), tree.range.first.rawValue & ~tree.addressMask,
            .all, tree.range)
    }

    private mutating func tell(_ table: Table, _ base: UInt64, _ rights: Rights, _ range: VirtualRange) {
        let shift = format.shift(table.level)
        let limits = limits(table)
        let indexes = IndexLimits(
            first: range.first.rawValue <= base ? 0 : Int((range.first.rawValue - base) >> shift),
            last: min(Int((range.last.rawValue - base) >> shift), limits.last))
        guard indexes.first <= indexes.last else { return }
        reaches[table, default: []].insert(Reach(rights: rights, indexes: indexes))
        for (index, slot) in tables[table] ?? [:] where indexes.contains(index) {
            let first = base &+ UInt64(index) << shift
            switch slot {
            case .leaf(let frame, let size, var attributes):
                attributes.rights = format.effectiveRights(attributes.rights.intersection(rights))
                pages.append(
                    ModelPage(
                        first: first, lastOffset: 1 << shift - 1, physical: frame, attributes: attributes, size: size,
                        level: table.level))
            case .table(let below, let own):
                let entry = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first | (1 << shift - 1)))
                guard let range = range.intersection(entry) else { continue }
                tell(below, first, rights.intersection(own), range)
            }
        }
    }

    // MARK: Mapping

    /// Maps some pages upward, with consecutive frames as a rule.
    private mutating func mapRun(from address: UInt64, in tree: TableTree) throws {
        let kind = randomKind()
        guard let choices = leafChoices[kind], var attributes = choices.randomElement(using: &random) else { return }
        var place = address & ~kind.size.offsetMask
        var frame = randomFrame(kind)
        let joined = UInt64(kind.size.log2Bytes) > format.shift(kind.level)
        for _ in 0..<Int.random(in: 1...(joined ? 2 : 8), using: &random) {
            guard tree.range.contains(VirtualAddress(place)), try map(place, frame, kind, attributes, in: tree) else {
                return
            }
            frame += kind.size.bytes
            switch Int.random(in: 0..<8, using: &random) {
            case 0: attributes = choices.randomElement(using: &random) ?? attributes
            case 1: frame = randomFrame(kind)
            case 2: place &+= kind.size.bytes
            default: break
            }
            place &+= kind.size.bytes
        }
    }

    private mutating func mapLast(in tree: TableTree) throws {
        let kind = randomKind()
        guard let attributes = leafChoices[kind]?.randomElement(using: &random) else { return }
        _ = try map(tree.range.last.rawValue & ~kind.size.offsetMask, randomFrame(kind), kind, attributes, in: tree)
    }

    /// Maps one page, or one run of pages.
    /// - Returns: False if something is there already.
    private mutating func map(
        _ address: UInt64, _ frame: UInt64, _ kind: LeafKind, _ attributes: EntryAttributes, in tree: TableTree
    ) throws -> Bool {
        let step: UInt64 = 1 << format.shift(kind.level)
        let parts = (0..<kind.size.bytes / step).map { $0 * step }
        guard try parts.allSatisfy({ try freeSlot(for: address + $0, at: kind.level, in: tree) != nil }) else {
            return false
        }
        for part in parts {
            guard let (table, index) = try freeSlot(for: address + part, at: kind.level, in: tree) else { continue }
            // The entries of a run name each its own frame, or all of them the first.
            let entry =
                try (try? format.leaf(PhysicalAddress(frame + part), kind.size, attributes, at: kind.level))
                ?? format.leaf(PhysicalAddress(frame), kind.size, attributes, at: kind.level)
            write(entry, table, index)
            tables[table]?[index] = .leaf(frame: frame + part, kind.size, attributes)
        }
        return true
    }

    /// Points one more entry to a table that has one already, with rights of its own.
    private mutating func shareTable() throws {
        let shared = tables.keys.filter { table in !space.trees.contains { $0.table.rawValue == table.address } }
        guard let tree = space.trees.randomElement(using: &random),
            let table = shared.sorted(by: { $0.address < $1.address }).randomElement(using: &random),
            table.level < tree.topLevel
        else { return }
        let above = Level(table.level.rawValue + 1)
        let address = UInt64.random(in: tree.range.first.rawValue...tree.range.last.rawValue, using: &random)
        guard let (parent, index) = try freeSlot(for: address, at: above, in: tree) else { return }
        try point(parent, index, to: table)
    }

    /// The free slot of an address in a table of a level. Makes the tables above it.
    private mutating func freeSlot(
        for address: UInt64, at level: Level, in tree: TableTree
    ) throws -> (Table, Int)? {
        var table = Table(address: tree.table.rawValue, level: tree.topLevel)
        var index = Int((address & tree.addressMask) >> format.shift(tree.topLevel))
        guard index <= tree.limits.last else { return nil }
        while table.level > level {
            switch tables[table]?[index] {
            case .leaf: return nil
            case .table(let next, _): table = next
            case nil:
                let below = table.level.below
                let bytes = UInt64(format.tableBytes(below))
                nextTable = (nextTable + bytes * UInt64.random(in: 1...3, using: &random)) & ~(bytes - 1)
                let next = Table(address: nextTable, level: below)
                nextTable += bytes
                addTable(next, format.entryCount(below) - 1)
                try point(table, index, to: next)
                table = next
            }
            index = Int(address >> format.shift(table.level)) & (format.entryCount(table.level) - 1)
        }
        return tables[table]?[index] == nil ? (table, index) : nil
    }

    private mutating func point(_ table: Table, _ index: Int, to next: Table) throws {
        if tableChoices[table.level] == nil {
            tableChoices[table.level] = (0..<64).map { Rights(rawValue: $0) }.filter {
                $0.contains(.supervisorRead)
                    && (try? format.tableEntry(PhysicalAddress(next.address), rights: $0, at: table.level)) != nil
            }
        }
        let choice = tableChoices[table.level]?.randomElement(using: &random) ?? .all
        let rights = Int.random(in: 0..<3, using: &random) == 0 ? choice : .all
        write(
            try format.tableEntry(PhysicalAddress(next.address), rights: rights, at: table.level), table, index)
        tables[table]?[index] = .table(next, rights)
    }

    // MARK: Memory

    /// A table without anything; zero is not empty in every format.
    private mutating func addTable(_ table: Table, _ last: Int) {
        guard tables[table] == nil else { return }
        tables[table] = [:]
        let empty = Entry(format.canonical(.invalid, EntryAttributes(rights: []), at: table.level))
        for index in 0...last { write(empty, table, index) }
    }

    private func write(_ entry: Entry, _ table: Table, _ index: Int) {
        memory.write(
            entry, bytes: F.entryBytes, format.byteOrder, at: table.address + UInt64(index * F.entryBytes))
    }

    // MARK: Choices

    /// A size of leaves, base pages more often than others.
    private mutating func randomKind() -> LeafKind {
        let top = space.trees.map(\.topLevel.rawValue).min() ?? 0
        let wish = Level(Bool.random(using: &random) ? 0 : Int.random(in: 0...top, using: &random))
        let level = format.leafSizes(wish).isEmpty ? Level.leafTable : wish
        let sizes = format.leafSizes(level)
        let base = PageSize(log2Bytes: Int(format.shift(level)))
        let kind = LeafKind(level: level, size: sizes.randomElement(using: &random) ?? base)
        if leafChoices[kind] == nil { leafChoices[kind] = choices(kind) }
        return kind
    }

    /// Attributes that leaves of a kind can have.
    private func choices(_ kind: LeafKind) -> [EntryAttributes] {
        (0..<64 as Range<UInt8>).flatMap { rights in
            [0, 3, 7].flatMap { flags in
                (0..<2 as Range<UInt8>).map { type in
                    EntryAttributes(
                        rights: Rights(rawValue: rights), flags: EntryFlags(rawValue: flags), memoryTypeIndex: type)
                }
            }
        }.filter { (try? format.leaf(PhysicalAddress(0), kind.size, $0, at: kind.level)) != nil }
    }

    /// A frame that leaves room for the pages of a run above it.
    private mutating func randomFrame(_ kind: LeafKind) -> UInt64 {
        guard let attributes = leafChoices[kind]?.first else { return 0 }
        let widest = ([47, 39, 33] as [UInt64]).first { bits in
            let frame = PhysicalAddress(1 << bits)
            return bits > UInt64(kind.size.log2Bytes)
                && (try? format.leaf(frame, kind.size, attributes, at: kind.level)) != nil
        }
        return random.next() & (1 << (widest ?? 31) - 1) & ~kind.size.offsetMask
    }
}
