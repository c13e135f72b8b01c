import PageTableWalk
import PageTables
import SeededRandom

/// A second stage under a guest's tables, beside an independent account of what it says.
///
/// The guest's memory is moved, page by page, to random places of the machine's.
struct BuiltStage<Guest: PageTableFormat, Stage: PageTableFormat> {
    /// What the second stage maps, told without tables.
    struct Part {
        let first: UInt64
        let size: PageSize
        let physical: UInt64
        let rights: Rights

        func contains(_ address: UInt64) -> Bool { address >= first && address - first < size.bytes }
    }

    let guest: BuiltSpace<Guest>
    private(set) var parts: [Part] = []
    private var built: HandBuiltSpace<Stage>
    private var random: SeededRandom
    private var nextTable: UInt64 = 0x1000_0000
    private var freePages: [UInt64]

    var memory: WordMemory { built.memory }
    var space: TwoStageSpace<Guest, Stage> { TwoStageSpace(guest: guest.space, stage: built.space) }

    /// - Parameter hidesTables: Whether the second stage lacks some of the guest's tables, or does not let them be read.
    init(_ name: String, guest: BuiltSpace<Guest>, stage: AddressSpace<Stage>, hidesTables: Bool) throws {
        self.guest = guest
        built = HandBuiltSpace(stage)
        random = SeededRandom(for: "stage \(name)")
        freePages = (0..<4096).map { 0x2000_0000 + $0 << 12 }.shuffled(using: &random)
        let entryBytes = UInt64(Guest.entryBytes)
        let tablePages = Set(
            guest.tables.keys.flatMap { table in
                stride(
                    from: table.address & ~0xfff,
                    through: table.address + UInt64(guest.limits(table).last) * entryBytes, by: 4096)
            })
        // Not the first, which has the root.
        for (number, page) in tablePages.sorted().enumerated() {
            try move(page, isHidden: hidesTables && number % 4 == 1)
        }
        for page in guest.pages { try mapSome(of: page) }
        memory.forgetLoads()
    }

    /// What the second stage says of an address.
    func part(at address: UInt64) -> Part? { parts.first { $0.contains(address) } }

    private mutating func move(_ page: UInt64, isHidden: Bool) throws {
        guard let place = freePages.popLast() else { return }
        for offset in stride(from: 0, to: 4096, by: 8) as StrideTo<UInt64> {
            let word = try guest.memory.load64(PhysicalAddress(page + offset), .little)
            memory.write(Entry(word), at: place + offset)
        }
        if isHidden && Bool.random(using: &random) { return }
        let rights = choices(.leafTable).filter { $0.contains(.supervisorRead) != isHidden }.randomElement(
            using: &random)
        if let rights { try map(page, place, rights, at: .leafTable) }
    }

    /// A large page around a guest's page, a small page of it, or nothing.
    private mutating func mapSome(of page: ModelPage) throws {
        for address in [page.first, page.first + page.lastOffset / 2] {
            let guestPhysical = page.physical + (address - page.first)
            let level = Level([0, 0, 1, 1, 2].randomElement(using: &random) ?? 0)
            let size = PageSize(log2Bytes: Int(built.space.format.shift(level)))
            let first = guestPhysical & ~size.offsetMask
            let end = first + size.offsetMask
            guard built.space.tree(for: VirtualAddress(end)) != nil, Int.random(in: 0..<5, using: &random) > 0,
                !parts.contains(where: { $0.first <= end && first <= $0.first + $0.size.offsetMask }),
                let rights = choices(level).randomElement(using: &random)
            else { continue }
            try map(first, random.next() & 0x3f_ffff_f000 & ~size.offsetMask, rights, at: level)
        }
    }

    /// Rights that leaves can have.
    private func choices(_ level: Level) -> [Rights] {
        (0..<64 as Range<UInt8>).map { Rights(rawValue: $0) }.filter { (try? leaf(0, $0, level)) != nil }
    }

    private func leaf(_ place: UInt64, _ rights: Rights, _ level: Level) throws -> Entry {
        let size = PageSize(log2Bytes: Int(built.space.format.shift(level)))
        return try built.space.format.leaf(PhysicalAddress(place), size, EntryAttributes(rights: rights), at: level)
    }

    private mutating func map(_ guestPhysical: UInt64, _ place: UInt64, _ rights: Rights, at level: Level) throws {
        let format = built.space.format
        guard let tree = built.space.lower else { return }
        var table = tree.table.rawValue
        var above = tree.topLevel
        while above > level {
            let index = index(guestPhysical, above)
            let entry = try memory.load(format, PhysicalAddress(built.place(table, index)))
            if format.shape(of: entry, at: above) == .table {
                table = format.table(of: entry, at: above).rawValue
            } else {
                try built.point(table, index, to: nextTable, at: above)
                table = nextTable
                nextTable += 0x4000
            }
            above = above.below
        }
        built.put(try leaf(place, rights, level), table, index(guestPhysical, level))
        parts.append(
            Part(
                first: guestPhysical, size: PageSize(log2Bytes: Int(format.shift(level))), physical: place,
                rights: rights))
    }

    private func index(_ address: UInt64, _ level: Level) -> Int {
        Int(address >> built.space.format.shift(level)) & (built.space.format.entryCount(level) - 1)
    }
}
