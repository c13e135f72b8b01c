import Testing

@testable import PageTables

private let pte = Level(0)
private let pmd = Level(1)
private let pud = Level(2)
private let pml4 = Level(3)

/// Entries of x86 with what the manual says of them; `X86LinuxVectorTests` has what Linux says.
@Suite("x86 entries")
struct X86VectorTests {
    let format = X86_64()

    @Test func `a small page has its rights, flags and address`() {
        let entry = Entry(0x8000_0000_1234_5867)
        #expect(format.shape(of: entry, at: pte) == .leaf)
        let attributes = format.attributes(of: entry, at: pte)
        #expect(attributes.rights == [.supervisorRead, .supervisorWrite, .userRead, .userWrite])
        #expect(attributes.flags == [.accessed, .dirty])
        #expect(format.physical(of: entry, at: pte, for: VirtualAddress(0)) == PhysicalAddress(0x1234_5000))
    }

    @Test(
        arguments: [
            (pmd, 0x1220_10e7, 0x12_3456, 0x1232_3456, 21),
            (pud, 0x4000_10e7, 0x12_3456, 0x4012_3456, 30),
        ] as [(Level, UInt64, UInt64, UInt64, UInt8)])
    func `bit 12 of a large page is PAT`(
        level: Level, value: UInt64, offset: UInt64, physical: UInt64, log2Bytes: UInt8
    ) {
        let entry = Entry(value)
        #expect(format.shape(of: entry, at: level) == .leaf)
        #expect(format.leafSize(of: entry, at: level).log2Bytes == log2Bytes)
        #expect(format.attributes(of: entry, at: level).memoryTypeIndex == 4)
        #expect(format.physical(of: entry, at: level, for: VirtualAddress(offset)).rawValue == physical)
    }

    @Test(arguments: [(pmd, 0x1220_20e7), (pud, 0x4000_20e7)] as [(Level, UInt64)])
    func `address bits below a large page's size are reserved`(level: Level, value: UInt64) {
        #expect(format.shape(of: Entry(value), at: level) == .malformed)
        #expect(format.malformation(of: Entry(value), at: level) == .reservedBits(1 << 13))
    }

    @Test func `there are no pages of 512 GiB`() {
        #expect(format.malformation(of: Entry(0x10e7), at: pml4) == .leafAtIllegalLevel)
        #expect(X86_64FiveLevel().malformation(of: Entry(0x10e7), at: Level(4)) == .leafAtIllegalLevel)
    }

    @Test(arguments: 0...3)
    func `address bits that the processor does not have are reserved`(level: Int) {
        let narrow = X86_64(physicalAddressBits: 40)
        let entry = Entry(0x0100_0000_1067)
        #expect(narrow.malformation(of: entry, at: Level(level)) == .reservedBits(1 << 40))
        #expect(format.malformation(of: entry, at: Level(level)) == nil)
    }

    @Test(arguments: 0...3)
    func `bit 63 is reserved unless no-execute is on`(level: Int) {
        let entry = Entry(0x8000_0000_0000_1067)
        #expect(X86_64(noExecute: false).malformation(of: entry, at: Level(level)) == .reservedBits(1 << 63))
        #expect(format.malformation(of: entry, at: Level(level)) == nil)
        if level < 2 {
            #expect(X86PAE(noExecute: false).malformation(of: entry, at: Level(level)) == .reservedBits(1 << 63))
        }
    }

    @Test(arguments: 52...62 as ClosedRange<UInt64>)
    func `PAE reserves the bits that long mode ignores`(bit: UInt64) {
        let entry = Entry(0x1067 | 1 << bit)
        for level in [pte, pmd] {
            #expect(X86PAE().malformation(of: entry, at: level) == .reservedBits(1 << bit))
            #expect(format.malformation(of: entry, at: level) == nil)
        }
    }

    @Test func `PAE's top entries hold only P, PWT, PCD, available bits and an address`() {
        let pae = X86PAE()
        for bit in 1..<64 as Range<UInt64> {
            let allowed = bit == 3 || bit == 4 || 9 <= bit && bit < 52
            // QEMU sets A there.
            let expected: EntryShape = allowed || bit == 5 ? .table : .malformed
            #expect(pae.shape(of: Entry(0x1001 | 1 << bit), at: pud) == expected, "bit \(bit)")
        }
        #expect(pae.malformation(of: Entry(0x1067), at: pud) == .reservedBits(0x46))
        #expect(pae.rights(of: Entry(0x1001), at: pud) == .all)
    }

    @Test func `a 4 MiB page reaches 40 bits of address`() {
        let entry = Entry(0x8002_40e7)
        let twoLevel = X86TwoLevel()
        #expect(twoLevel.shape(of: entry, at: pmd) == .leaf)
        #expect(
            twoLevel.physical(of: entry, at: pmd, for: VirtualAddress(0x41_2345)).rawValue == 0x12_8001_2345)
        let space = AddressSpace.x86TwoLevel(twoLevel, cr3: 0)
        #expect(VectorMemory([4: 0x8002_40e7]).walk(space, 0x41_2345) == 0x12_8001_2345)
        #expect(twoLevel.malformation(of: Entry(0x8022_40e7), at: pmd) == .reservedBits(1 << 21))
        let withoutPSE36 = X86TwoLevel(physicalAddressBits: 32)
        #expect(withoutPSE36.malformation(of: entry, at: pmd) == .reservedBits(0x2_4000))
    }

    @Test func `a directory's bit 7 means nothing without page-size extensions`() {
        let entry = Entry(0x8002_40e7)
        let twoLevel = X86TwoLevel(pageSizeExtension: false)
        #expect(twoLevel.shape(of: entry, at: pmd) == .table)
        #expect(twoLevel.table(of: entry, at: pmd) == PhysicalAddress(0x8002_4000))
    }

    @Test func `memory types are those that Linux programs`() {
        let types = (0..<8).map { format.memoryType($0) }
        #expect(
            types == [
                .writeBack, .writeCombining, .uncachedMinus, .uncached, .writeBack, .writeProtected, .uncachedMinus,
                .writeThrough,
            ])
    }
}

@Suite("x86 address spaces")
struct X86WalkTests {
    static let fourLevels: VectorMemory = [
        0: 0x1067, 8: 0x5067, 0x880: 0x8067, 0x1000: 0x2067, 0x1010: 0x3_c000_00e7, 0x2000: 0x3067, 0x2008: 0x4067,
        0x2010: 0xe0_00e7, 0x3000: 0xa067, 0x3008: 0xb067, 0x4800: 0xc067, 0x5010: 0x6067, 0x6018: 0x7067,
        0x7020: 0xd067, 0x8240: 0x12_0000_00e7,
    ]
    static let fourLevelWalks: [(UInt64, UInt64)] = [
        (0x123, 0xa123), (0x1456, 0xb456), (0x30_0567, 0xc567), (0x80_8060_489a, 0xd89a), (0x52_3456, 0xf2_3456),
        (0xa123_4567, 0x3_e123_4567), (0xffff_8812_3456_789a, 0x12_3456_789a),
    ]

    @Test(arguments: fourLevelWalks)
    func `four levels`(virtual: UInt64, physical: UInt64) {
        let space = AddressSpace.x86LongMode(X86_64(), cr3: 0)
        #expect(Self.fourLevels.walk(space, virtual) == physical)
    }

    @Test(arguments: fourLevelWalks)
    func `four levels, encrypted`(virtual: UInt64, physical: UInt64) {
        let bit: UInt64 = 1 << 47
        let space = AddressSpace.x86LongMode(X86_64(encryptionMask: bit), cr3: bit)
        #expect(VectorMemory(Self.fourLevels.entries.mapValues { $0 | bit }).walk(space, virtual) == physical)
        #expect(Self.fourLevels.walk(space, virtual) == physical)
    }

    @Test func `CR3 holds more than the root`() {
        let space = AddressSpace.x86LongMode(X86_64(), cr3: 0xe000_0000_0000_0fff)
        #expect(space.lower?.table == PhysicalAddress(0))
        #expect(AddressSpace.x86PAE(X86PAE(), cr3: 0xf_1234_5fff).lower?.table == PhysicalAddress(0x1234_5fe0))
        #expect(AddressSpace.x86TwoLevel(X86TwoLevel(), cr3: 0x1234_5fff).lower?.table == PhysicalAddress(0x1234_5000))
    }

    @Test(arguments: [0x8000_0000_0000, 0x8000_0000_0000_0000, 0xffff_7fff_ffff_ffff] as [UInt64])
    func `an address that is not canonical is in no tree`(virtual: UInt64) {
        let space = AddressSpace.x86LongMode(X86_64(), cr3: 0)
        #expect(Self.fourLevels.outcome(space, virtual) == .outside)
        #expect(space.tree(for: VirtualAddress(0x7fff_ffff_ffff)) == space.lower)
        #expect(space.tree(for: VirtualAddress(0xffff_8000_0000_0000)) == space.upper)
    }

    private func fiveLevels(fourthLevel entry: UInt64) -> VectorMemory {
        [
            0: 0x1067, 0x1000: 0x2067, 0x2000: 0x3067, 0x3000: 0x4067, 0x4000: 0xa067,
            8: 0x1_0067, 0x1_0010: 0x1_1067, 0x1_1018: 0x1_2067, 0x1_2020: 0x1_3067, 0x1_3028: 0x1_d067,
            0x888: 0xe067, 0xe230: entry, 0xc8a8: 0x1_2345_4000_00e7,
        ]
    }

    @Test func `five levels`() {
        let space = AddressSpace.x86LongMode(X86_64FiveLevel(), cr3: 0)
        let memory = fiveLevels(fourthLevel: 0xc067)
        #expect(memory.walk(space, 0x123) == 0xa123)
        #expect(memory.walk(space, 0x1_0100_c080_589a) == 0x1_d89a)
        #expect(memory.walk(space, 0xff11_2345_6789_abcd) == 0x1_2345_6789_abcd)
        #expect(memory.outcome(space, 0x0100_0000_0000_0000) == .outside)
        #expect(memory.outcome(space, 0xfeff_ffff_ffff_ffff) == .outside)
        #expect(memory.outcome(space, 0xff00_0000_0000_0000) == .unavailable(Level(4)))
    }

    @Test func `bit 7 in the fourth level faults`() {
        let space = AddressSpace.x86LongMode(X86_64FiveLevel(), cr3: 0)
        let memory = fiveLevels(fourthLevel: 0xc0e7)
        #expect(memory.outcome(space, 0xff11_2345_6789_abcd) == .stopped(.malformed, pml4))
    }

    @Test func `rights are those that every entry of the path leaves`() {
        let space = AddressSpace.x86LongMode(X86_64(), cr3: 0)
        let kernel: VectorMemory = [0: 0x1003, 0x1000: 0x2007, 0x2000: 0x3007, 0x3000: 0x8000_0000_1234_5067]
        #expect(kernel.page(space, 0)?.rights == [.supervisorRead, .supervisorWrite])
        let user: VectorMemory = [
            0: 0x8000_0000_0000_1067, 0x1000: 0x2067, 0x2000: 0x3067, 0x3000: 0x1234_6065,
        ]
        #expect(user.page(space, 0)?.rights == [.supervisorRead, .userRead])
        #expect(user.page(space, 0)?.physical == 0x1234_6000)
    }

    @Test(
        arguments: [(0x123, 0xa123), (0x1456, 0xb456), (0x40_0567, 0xc567), (0x92_3456, 0x52_3456)]
            as [(UInt64, UInt64)])
    func `two levels`(virtual: UInt64, physical: UInt64) {
        let memory: VectorMemory = [
            0: 0x1067, 4: 0x2067, 8: 0x40_00e7, 0x1000: 0xa067, 0x1004: 0xb067, 0x2000: 0xc067,
        ]
        let space = AddressSpace.x86TwoLevel(X86TwoLevel(), cr3: 0)
        #expect(memory.walk(space, virtual) == physical)
        #expect(memory.outcome(space, virtual | 1 << 32) == .outside)
        #expect(memory.page(space, virtual)?.rights == .all)
    }

    private func pae(top flags: UInt64) -> VectorMemory {
        [
            0: 0x1000 | flags, 8: 0x4000 | flags, 0x1000: 0x2067, 0x1008: 0x3067, 0x1010: 0xe0_00e7, 0x2000: 0xa067,
            0x2008: 0xb067, 0x3800: 0xc067, 0x4010: 0x5067, 0x5018: 0xd067,
        ]
    }

    @Test(
        arguments: [(0x123, 0xa123), (0x30_0567, 0xc567), (0x4040_389a, 0xd89a), (0x52_3456, 0xf2_3456)]
            as [(UInt64, UInt64)])
    func `PAE`(virtual: UInt64, physical: UInt64) {
        let space = AddressSpace.x86PAE(X86PAE(), cr3: 0)
        // As a processor wants the top entries, and as QEMU leaves them.
        for flags in [0x01, 0x21] as [UInt64] {
            #expect(pae(top: flags).walk(space, virtual) == physical)
            #expect(pae(top: flags).page(space, virtual)?.rights == .all)
        }
        // As the entries of the other levels look: no processor would load them.
        #expect(pae(top: 0x67).outcome(space, virtual) == .stopped(.malformed, pud))
    }

    @Test func `PAE's top table is anywhere in a page`() {
        let space = AddressSpace.x86PAE(X86PAE(), cr3: 0x7fe0)
        #expect(space.lower?.limits == IndexLimits(first: 0, last: 3))
        #expect(VectorMemory([0x7ff8: 0x1001, 0x1ff8: 0x1_e000_00e3]).walk(space, 0xffff_ffff) == 0x1_e01f_ffff)
    }
}
