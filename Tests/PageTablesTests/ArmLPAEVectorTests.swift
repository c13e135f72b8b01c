import Testing

@testable import PageTables

/// Long descriptors of 32-bit Arm with what the manual and Linux say of them.
@Suite("arm long descriptors")
struct ArmLPAEVectorTests {
    let format = ArmLPAE()

    func space(ttbr0: UInt64? = 0, ttbr1: UInt64? = nil, ttbcr: UInt64 = 0) -> AddressSpace<ArmLPAE> {
        .armLPAE(format, ttbr0: ttbr0, ttbr1: ttbr1, ttbcr: ttbcr | 1 << 31)
    }

    static let memory: VectorMemory = [
        0x0: 0x1003, 0x18: 0xab_c000_0791, 0x1000: 0x2003, 0x1010: 0x12_3460_0791, 0x2008: 0xfe_dcba_9793,
        0x2010: 0xa791,
    ]

    @Test(
        arguments: [
            (0x1abc, 0xfe_dcba_9abc, "4 KiB"), (0x41_2345, 0x12_3461_2345, "2 MiB"),
            (0xc765_4321, 0xab_c765_4321, "1 GiB"),
        ] as [(UInt64, UInt64, String)])
    func `pages and blocks of 40-bit addresses`(address: UInt64, physical: UInt64, size: String) throws {
        let page = try #require(Self.memory.page(space(), address))
        #expect(page.physical == physical)
        #expect(page.size.description == size)
    }

    @Test func `type 1 is reserved in the leaf table`() {
        #expect(Self.memory.outcome(space(), 0x2000) == .stopped(.malformed, Level(0)))
        #expect(format.malformation(of: Entry(0xa791), at: Level(0)) == .reservedEncoding)
    }

    @Test(arguments: 0...2)
    func `addresses have 40 bits`(level: Int) {
        #expect(format.malformation(of: Entry(0x100_0000_0003), at: Level(level)) == .addressTooWide)
        #expect(format.malformation(of: Entry(0x80_0000_0003), at: Level(level)) == nil)
    }

    @Test(
        arguments: [
            (0x743, .all), (0x703, .supervisor), (0x783, [.supervisorRead, .supervisorExecute]),
            (0x7c3, [.supervisorRead, .supervisorExecute, .userRead, .userExecute]),
            (1 << 54 | 0x743, [.supervisorRead, .supervisorWrite, .userRead, .userWrite]),
            (1 << 53 | 0x743, .all.subtracting(.supervisorExecute)),
            (1 << 53 | 0x703, [.supervisorRead, .supervisorWrite]),
        ] as [(UInt64, Rights)])
    func `XN is for both privileges, and code must be readable`(value: UInt64, rights: Rights) {
        #expect(format.rights(of: Entry(value), at: Level(0)) == rights)
        #expect(format.effectiveRights(rights) == rights)
    }

    @Test(
        arguments: [
            (59, .all.subtracting(.supervisorExecute)), (60, .all.subtracting(.executes)), (61, .supervisor),
            (62, .all.subtracting(.writes)),
        ] as [(UInt64, Rights)])
    func `table descriptors take rights away from all below`(bit: UInt64, rights: Rights) {
        let table: UInt64 = 1 << bit | 0x2003
        let memory: VectorMemory = [0x0: 0x1003, 0x1000: table, 0x2000: 0xa743]
        #expect(memory.page(space(), 0)?.rights == rights)
        #expect(ArmLPAE(hierarchicalRights: false).rights(of: Entry(table), at: Level(1)) == .all)
    }

    @Test func `sixteen pages or blocks make a run`() {
        let contiguous: UInt64 = 1 << 52
        #expect(format.leafSize(of: Entry(contiguous | 0x703), at: Level(0)).description == "64 KiB")
        #expect(format.leafSize(of: Entry(contiguous | 0x701), at: Level(1)).description == "32 MiB")
        #expect(format.leafSize(of: Entry(contiguous | 0x701), at: Level(2)).description == "1 GiB")
    }

    @Test func `memory types are Linux's unless the registers are known`() {
        #expect(
            (0..<8).map { format.memoryType($0) } == [
                .deviceNGnRnE, .nonCacheable, .writeThrough, .writeBack, .deviceNGnRE, .unknown, .unknown, .writeBack,
            ])
        #expect(ArmLPAE(memoryAttributes: 0x44 << 56).memoryType(7) == .nonCacheable)
    }

    // MARK: Roots

    @Test(
        arguments: [
            // T0SZ, T1SZ; lower: last address, level, entries; upper: first address, level, entries.
            (0, 0, 0xffff_ffff, 2, 4, nil, 0, 0), (0, 1, 0x7fff_ffff, 2, 4, 0x8000_0000, 2, 2),
            (0, 2, 0xbfff_ffff, 2, 4, 0xc000_0000, 1, 512), (1, 0, 0x7fff_ffff, 2, 2, 0x8000_0000, 2, 4),
            (2, 2, 0x3fff_ffff, 1, 512, 0xc000_0000, 1, 512), (7, 7, 0x1ff_ffff, 1, 16, 0xfe00_0000, 1, 16),
        ] as [(UInt64, UInt64, UInt64, Int, Int, UInt64?, Int, Int)])
    func `two fields share out the addresses`(
        lowerCut: UInt64, upperCut: UInt64, lowerLast: UInt64, lowerLevel: Int, lowerEntries: Int,
        upperFirst: UInt64?, upperLevel: Int, upperEntries: Int
    ) throws {
        let space = space(ttbr0: 0x8000, ttbr1: 0x4000, ttbcr: lowerCut | upperCut << 16)
        let lower = try #require(space.lower)
        #expect(lower.range == VirtualRange(first: VirtualAddress(0), last: VirtualAddress(lowerLast)))
        #expect(lower.topLevel == Level(lowerLevel))
        #expect(lower.limits == IndexLimits(first: 0, last: lowerEntries - 1))
        guard let upperFirst else {
            #expect(space.upper == nil)
            return
        }
        let upper = try #require(space.upper)
        #expect(upper.range == VirtualRange(first: VirtualAddress(upperFirst), last: VirtualAddress(0xffff_ffff)))
        #expect(upper.topLevel == Level(upperLevel))
        #expect(upper.limits == IndexLimits(first: 0, last: upperEntries - 1))
    }

    @Test func `the upper register of Linux points into the middle of its top table`() {
        // Two GiB for the kernel: the third entry of four; three: the table of the last GiB, the fifth page.
        let half: VectorMemory = [0x5010: 0x8000_0791, 0x5018: 0xc000_0791]
        #expect(half.walk(space(ttbr0: nil, ttbr1: 0x5010, ttbcr: 1 << 16), 0x8000_1234) == 0x8000_1234)
        #expect(half.walk(space(ttbr0: nil, ttbr1: 0x5010, ttbcr: 1 << 16), 0xc000_1234) == 0xc000_1234)
        let quarter: VectorMemory = [0x9008: 0x1220_0791]
        #expect(quarter.walk(space(ttbr0: nil, ttbr1: 0x9000, ttbcr: 2 << 16), 0xc020_1234) == 0x1220_1234)
    }

    @Test func `the ASID is no part of the root, and a disabled tree does not exist`() {
        #expect(space(ttbr0: 0x00ab_00cd_1234_5020).lower?.table == PhysicalAddress(0xcd_1234_5020))
        let lowerOff = space(ttbr1: 0, ttbcr: 1 << 7 | 1 << 16)
        #expect(lowerOff.lower == nil && lowerOff.upper != nil)
        let upperOff = space(ttbr1: 0, ttbcr: 1 << 23 | 1 << 16)
        #expect(upperOff.lower != nil && upperOff.upper == nil)
    }

    // MARK: Linux

    func linux(_ value: UInt64, _ level: Int = 0) -> LinuxPageFlags? {
        guard case .page(let page) = format.linuxEntry(Entry(value), at: Level(level)) else { return nil }
        return page.flags
    }

    @Test func `Linux keeps its own bits where hardware ignores them`() {
        // Not dirty: hardware may not write it yet.
        #expect(linux(0x0040_0000_1234_5fdf) == [.read, .write, .user, .young, .hardwareValid])
        #expect(linux(0x00c0_0000_1234_5f5f) == [.read, .write, .user, .young, .dirty, .hardwareValid])
        #expect(linux(0x0500_0000_1234_5fdf) == [.read, .execute, .user, .young, .special, .hardwareValid])
        #expect(linux(0x00c0_0000_1234_571f) == [.read, .write, .young, .dirty, .global, .hardwareValid])
    }

    @Test func `a PROT_NONE page is present by its second bit`() {
        #expect(format.shape(of: Entry(0x0640_0000_1234_5f9e), at: Level(0)) == .invalid)
        #expect(linux(0x0640_0000_1234_5f9e) == [.protNone, .young])
        #expect(linux(0x0640_0000_1220_0f9c, 1) == [.protNone, .young])
    }

    @Test func `a large page without its valid bit is being split`() {
        #expect(linux(0x00c0_0000_1220_0f5d, 1) == [.read, .write, .user, .young, .dirty, .hardwareValid])
        #expect(linux(0x00c0_0000_1220_0f5c, 1) == [.read, .write, .user, .young, .dirty, .splitting])
    }

    @Test func `an entry that is not present holds a place in swap`() {
        #expect(
            format.linuxEntry(Entry(0x12_348c), at: Level(0))
                == .swap(LinuxSwap(type: 3, offset: 0x1234, flags: .exclusive)))
        #expect(format.linuxEntry(Entry(0), at: Level(0)) == .none)
        #expect(format.linuxEntry(Entry(0x1_0000_0100), at: Level(0)) == .malformed)
    }

    @Test func `Linux has no first-level blocks`() {
        #expect(format.linuxEntry(Entry(0x4000_0701), at: Level(2)) == .malformed)
        #expect(format.linuxEntry(Entry(0x4000_0003), at: Level(2)) == .table)
    }
}
