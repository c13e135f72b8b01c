import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing

/// A guest's format over a second stage's.
struct StageCase: Sendable, CustomTestStringConvertible {
    let name: String
    let checkTranslations: @Sendable (_ hidesTables: Bool) throws -> Void
    let checkSurvey: @Sendable () throws -> Void

    init<Guest: PageTableFormat, Stage: PageTableFormat>(
        _ name: String, _ guest: @escaping @Sendable ([UInt64]) throws -> AddressSpace<Guest>,
        over stage: @escaping @Sendable () throws -> AddressSpace<Stage>
    ) {
        self.name = name
        @Sendable func build(_ hidesTables: Bool) throws -> BuiltStage<Guest, Stage> {
            let guest = try BuiltSpace("two stages, \(name)", makeSpace: guest)
            return try BuiltStage(name, guest: guest, stage: try stage(), hidesTables: hidesTables)
        }
        checkTranslations = { try StageCheck(built: try build($0), name: name).translations(hidesTables: $0) }
        checkSurvey = { try StageCheck(built: try build(false), name: name).survey() }
    }

    var testDescription: String { name }

    static let all: [StageCase] = [
        StageCase(
            "x86-64 over EPT", { .x86LongMode(X86_64(), cr3: $0[0]) }, over: { try .x86EPT(X86EPT(), eptp: 0x40_005e) }),
        StageCase(
            "x86 PAE over EPT with five levels", { .x86PAE(X86PAE(), cr3: $0[0]) },
            over: { try .x86EPT(X86EPTFiveLevel(), eptp: 0x40_0066) }),
        StageCase(
            "riscv Sv48 over Sv48x4", { try .riscv(RISCVSv48(), satp: 9 << 60 | $0[0] >> 12) },
            over: { try .riscvGuestStage(RISCVSv48x4(), hgatp: 9 << 60 | 0x400) }),
        StageCase(
            "riscv Sv39 over Sv57x4", { try .riscv(RISCVSv39(), satp: 8 << 60 | $0[0] >> 12) },
            over: { try .riscvGuestStage(RISCVSv57x4(), hgatp: 10 << 60 | 0x400) }),
        // Its region tables take four pages each, wherever the second stage has them.
        StageCase(
            "s390x over s390x", { try .s390x(asce: $0[0] | 8 | 3) }, over: { try .s390x(asce: 0x40_0000 | 8 | 3) }),
        StageCase(
            "ppc64 radix over ppc64 radix",
            { try .ppc64Radix(PPC64Radix64K(), process: radix($0[0]), kernel: radix($0[1])) },
            over: { try .ppc64Radix(PPC64Radix4K(), process: radix(0x40_0000), kernel: radix(0x40_0000)) }),
    ]

    private static func radix(_ table: UInt64) -> UInt64 { 2 << 61 | 5 << 5 | table | 13 }
}

@Suite("Through two stages")
struct TwoStageTests {
    @Test(arguments: StageCase.all, [false, true])
    func `a translation is that of the guest's tables and then the second stage's`(stage: StageCase, hidesTables: Bool)
        throws
    {
        try stage.checkTranslations(hidesTables)
    }

    @Test(arguments: StageCase.all)
    func `a survey of a guest's tables is the one that the guest would make`(stage: StageCase) throws {
        try stage.checkSurvey()
    }

    @Test func `a translation loads as many words as both depths make`() throws {
        let (built, space) = try smallGuest()
        guard case .mapped(let found) = try space.translate(VirtualAddress(0x3abc), in: built.memory) else {
            Issue.record("the address is mapped")
            return
        }
        #expect(found.physical == PhysicalAddress(0x7777_7abc))
        #expect(found.guest.physical == PhysicalAddress(0x9abc))
        #expect(found.pageSize == PageSize(log2Bytes: 12))
        #expect(built.memory.loads.values.reduce(0, +) == 24)
    }

    @Test func `the stage that stops an address is told, with level and guest-physical address`() throws {
        let (built, space) = try smallGuest()
        func fault(_ address: UInt64, needing needed: Rights = .supervisorRead) throws -> TwoStageFault? {
            guard
                case .unmapped(let fault) = try space.translate(
                    VirtualAddress(address), in: built.memory, needing: needed)
            else { return nil }
            return fault
        }
        #expect(
            try fault(0x4000) == .guest(Fault(reason: .notPresent, level: .leafTable, entry: Entry(0))),
            "the guest maps nothing")
        let unmapped = Fault(reason: .notPresent, level: .leafTable, entry: Entry(0))
        #expect(
            try fault(0x5000)
                == .page(SecondStageFault(guestPhysical: PhysicalAddress(0xb000), reason: .unmapped(unmapped))))
        #expect(
            try fault(0x20_0000)
                == .table(
                    .leafTable, SecondStageFault(guestPhysical: PhysicalAddress(0xd000), reason: .unmapped(unmapped))))
        #expect(
            try fault(0x3000, needing: .supervisorWrite)
                == .table(
                    Level(3),
                    SecondStageFault(
                        guestPhysical: PhysicalAddress(0x1000),
                        reason: .denied([.supervisorRead, .userRead], .leafTable))))
        let wide = try fault(0x6000)
        guard case .page(let stop) = wide, case .unmapped(let reason) = stop.reason else {
            Issue.record("\(String(describing: wide))")
            return
        }
        #expect(reason.reason == .outOfRange)
        #expect(stop.guestPhysical == PhysicalAddress(1 << 49))
    }

    /// Tables of a guest at 0x1000 ... 0x4fff, which the second stage has in reverse order from 0x100000 downward.
    private func smallGuest() throws -> (HandBuiltSpace<X86EPT>, TwoStageSpace<X86_64, X86EPT>) {
        let guest = HandBuiltSpace<X86_64>(.x86LongMode(X86_64(), cr3: 0x1000))
        for (level, table) in [(3, 0x1000), (2, 0x2000), (1, 0x3000)] as [(Int, UInt64)] {
            try guest.point(table, 0, to: table + 0x1000, at: Level(level))
        }
        try guest.map(0x4000, 3, 0x9000)
        try guest.map(0x4000, 5, 0xb000)
        try guest.map(0x4000, 6, 1 << 49)
        try guest.point(0x3000, 1, to: 0xd000, at: Level(1))
        let stage = HandBuiltSpace<X86EPT>(try .x86EPT(eptp: 0x20_005e))
        for (level, table) in [(3, 0x20_0000), (2, 0x20_1000), (1, 0x20_2000)] as [(Int, UInt64)] {
            try stage.point(table, 0, to: table + 0x1000, at: Level(level))
        }
        for page in 1...4 as ClosedRange<UInt64> {
            let place = 0x10_0000 - page << 12
            try stage.map(0x20_3000, Int(page), place, EntryAttributes(rights: [.supervisorRead, .userRead]))
            for offset in stride(from: 0, to: 4096, by: 8) as StrideTo<UInt64> {
                let word = try guest.memory.load64(PhysicalAddress(page << 12 + offset), .little)
                stage.memory.write(Entry(word), at: place + offset)
            }
        }
        try stage.map(0x20_3000, 9, 0x7777_7000, EntryAttributes(rights: .all))
        stage.memory.forgetLoads()
        return (stage, TwoStageSpace(guest: guest.space, stage: stage.space))
    }

    @Test(arguments: [ByteOrder.little, .big])
    func `a word across two pages is put together from both`(order: ByteOrder) throws {
        let (built, space) = try smallGuest()
        let memory = SecondStageMemory(built.memory, through: space.stage)
        for (index, byte) in [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88].enumerated()
            as EnumeratedSequence<[UInt64]>
        {
            let address = 0x1ffd + UInt64(index)
            let place = (address < 0x2000 ? 0xf_f000 : 0xf_e000) + address & 0xfff
            built.memory.write(Entry(byte), bytes: 1, at: place)
        }
        let address = PhysicalAddress(0x1ffd)
        #expect(try memory.load64(address, order) == (order == .big ? 0x1122_3344_5566_7788 : 0x8877_6655_4433_2211))
        #expect(try memory.load32(address, order) == (order == .big ? 0x1122_3344 : 0x4433_2211))
    }

    @Test func `tables of noise in both stages are walked to an end`() throws {
        var (mapped, tables) = (0, 0)
        for seed in 0..<4 as Range<UInt64> {
            let memory = NoiseMemory(seed: seed)
            let space = TwoStageSpace<X86_64, X86EPT>(
                guest: .x86LongMode(X86_64(), cr3: 0x1000), stage: try .x86EPT(eptp: 0x501e))
            var random = SeededRandom(seed: seed)
            for _ in 0..<500 {
                let address = VirtualAddress(random.next() & 0x7fff_ffff_ffff)
                if case .mapped = space.translate(address, in: memory) { mapped += 1 }
            }
            let guestMemory = SecondStageMemory(memory, through: space.stage)
            tables += try space.guest.survey(in: guestMemory, limits: SurveyLimits(repeatedRanges: 100)).tables.count
        }
        #expect(mapped > 0 && tables > 8, "noise that maps nothing tries nothing")
    }
}

/// Memory that has a number everywhere, always the same one; entries with few tables to point to, so that there are loops.
private struct NoiseMemory: TableMemory {
    typealias Failure = Never

    let seed: UInt64

    func load64(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt64 {
        var random = SeededRandom(seed: seed ^ address.rawValue &* 0x9e37_79b9)
        let number = random.next()
        switch number >> 60 {
        // A large page or nonsense, and no pointer to one more table.
        case 0: return number | 0x80
        case 1: return 0
        case 2: return number & 0xf_ffff_ffe0_0000 | 0xb7
        default: return number & 0x7000 | (address.rawValue & 8 == 0 ? 7 : 0x37)
        }
    }

    func load32(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt32 {
        UInt32(truncatingIfNeeded: load64(address, order))
    }
    func table(at address: PhysicalAddress, bytes: Int) -> PhysicalAddress { address }
    func load64(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) -> UInt64 {
        load64(PhysicalAddress(table.rawValue &+ UInt64(8 * index)), order)
    }
    func load32(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) -> UInt32 {
        load32(PhysicalAddress(table.rawValue &+ UInt64(4 * index)), order)
    }
}

/// A translation of two stages, composed from what was written down beside both.
private struct StageCheck<Guest: PageTableFormat, Stage: PageTableFormat> {
    let built: BuiltStage<Guest, Stage>
    let name: String

    private enum Answer: Equatable {
        case mapped(UInt64, Rights, PageSize)
        case guest(Level)
        case table(Level, UInt64)
        case page(UInt64)
        case outside
    }

    func translations(hidesTables: Bool) throws {
        var seen: Set<String> = []
        var random = SeededRandom(for: "addresses of \(name)")
        let addresses = built.guest.pages.flatMap { page in
            let behind = page.last == .max ? page.last : page.last + 1
            return [page.first, page.first + page.lastOffset / 2, page.last, behind]
        }
        let others = built.guest.space.trees.flatMap { tree in
            (0..<32).map { _ in UInt64.random(in: tree.range.first.rawValue...tree.range.last.rawValue, using: &random)
            }
        }
        for address in addresses + others {
            let (found, expected) = (try answer(address), expectation(address))
            if found != expected {
                throw SpaceFailure(place: "\(name): \(hexadecimal(address)): \(found), not \(expected)", line: #line)
            }
            seen.insert("\(expected)".prefix { $0 != "(" }.description)
        }
        let wanted: Set<String> = hidesTables ? ["table"] : ["mapped", "guest"]
        #expect(wanted.isSubset(of: seen), "\(name): just \(seen); \(SeededRandom.replay("TwoStageTests"))")
    }

    private func answer(_ address: UInt64) throws -> Answer {
        switch try built.space.translate(VirtualAddress(address), in: built.memory) {
        case .mapped(let found): .mapped(found.physical.rawValue, found.rights, found.pageSize)
        case .unmapped(.guest(let fault)): fault.reason == .outOfRange ? .outside : .guest(fault.level)
        case .unmapped(.table(let level, let fault)): .table(level, fault.guestPhysical.rawValue)
        case .unmapped(.page(let fault)): .page(fault.guestPhysical.rawValue)
        }
    }

    private func expectation(_ address: UInt64) -> Answer {
        let guest = built.guest
        guard let tree = guest.space.tree(for: VirtualAddress(address)) else { return .outside }
        var table = BuiltSpace<Guest>.Table(address: tree.table.rawValue, level: tree.topLevel)
        var index = Int((address & tree.addressMask) >> guest.format.shift(tree.topLevel))
        while true {
            let place = table.address + UInt64(index * Guest.entryBytes)
            guard let part = built.part(at: place), part.rights.contains(.supervisorRead) else {
                return .table(table.level, place)
            }
            switch guest.tables[table]?[index] {
            case nil: return .guest(table.level)
            case .table(let next, _): table = next
            case .leaf: return page(address)
            }
            index = Int(address >> guest.format.shift(table.level)) & (guest.format.entryCount(table.level) - 1)
        }
    }

    private func page(_ address: UInt64) -> Answer {
        guard let page = built.guest.page(at: address) else { return .outside }
        let guestPhysical = page.physical + (address - page.first)
        guard let part = built.part(at: guestPhysical) else { return .page(guestPhysical) }
        return .mapped(
            part.physical + (guestPhysical - part.first), page.attributes.rights.intersection(part.rights),
            min(page.size, part.size))
    }

    func survey() throws {
        let memory = SecondStageMemory(built.memory, through: built.space.stage)
        let (found, expected) = (
            try built.guest.space.survey(in: memory), try built.guest.space.survey(in: built.guest.memory)
        )
        #expect(found.summary == expected.summary, "\(SeededRandom.replay("TwoStageTests"))")
        #expect(found.oddities == expected.oddities)
        #expect(found.tables.map(\.address) == expected.tables.map(\.address))
    }
}
