import Testing

@testable import PageTables

private let pte = Level(0)
private let pmd = Level(1)

@Suite("RISC-V entries")
struct RISCVVectorTests {
    let format = RISCVSv39()

    @Test func `a page of the user is the supervisor's to read and write, never to execute`() {
        let entry = Entry(0x2000_00d7)
        #expect(format.decode(entry, at: pte).content == .leaf(PhysicalAddress(0x8000_0000), PageSize(log2Bytes: 12)))
        let attributes = format.attributes(of: entry, at: pte)
        #expect(attributes.rights == [.supervisorRead, .supervisorWrite, .userRead, .userWrite])
        #expect(attributes.flags == [.accessed, .dirty])
        #expect(format.rights(of: Entry(0x2000_00df), at: pte) == Rights.all.subtracting(.supervisorExecute))
        #expect(format.rights(of: Entry(0x2000_00cf), at: pte) == .supervisor)
        #expect(format.rights(of: Entry(0x2000_00d9), at: pte) == .userExecute)
    }

    @Test func `a 64 KiB run takes its low page number from the address`() {
        let entry = Entry(0x8000_0000_2000_60d7)
        #expect(format.decode(entry, at: pte).content == .leaf(PhysicalAddress(0x8001_0000), PageSize(log2Bytes: 16)))
        #expect(format.physical(of: entry, at: pte, for: VirtualAddress(0x1_a123)) == PhysicalAddress(0x8001_a123))
        #expect(
            format.linuxEntry(entry, at: pte)
                == .mapping(0x8001_0000, 16, [.read, .write, .user, .young, .dirty, .hardwareValid]))
        #expect(RISCVSv39(svnapot: false).malformation(of: entry, at: pte) == .reservedBits(1 << 63))
    }

    @Test func `runs are of 64 KiB and in the leaf table only`() {
        #expect(format.malformation(of: Entry(0x8000_0000_2000_50d7), at: pte) == .reservedEncoding)
        #expect(format.malformation(of: Entry(0x8000_0000_2000_60d7), at: pmd) == .reservedEncoding)
    }

    @Test func `a large page may be at any level and must be aligned`() {
        let entry = Entry(0x2008_00ef)
        #expect(format.leafSize(of: entry, at: pmd) == PageSize(log2Bytes: 21))
        #expect(format.physical(of: entry, at: pmd, for: VirtualAddress(0x12_3456)) == PhysicalAddress(0x8032_3456))
        #expect(format.attributes(of: entry, at: pmd).flags == [.accessed, .dirty, .global])
        #expect(format.malformation(of: Entry(0x2008_04ef), at: pmd) == .misalignedLeaf)
        #expect(RISCVSv57().leafSizes(Level(4)) == [PageSize(log2Bytes: 48)])
    }

    @Test func `write without read is reserved, or a shadow stack`() {
        #expect(format.malformation(of: Entry(0x2000_00d5), at: pte) == .reservedEncoding)
        #expect(format.malformation(of: Entry(0x2000_00dd), at: pte) == .reservedEncoding)
        let stacks = RISCVSv39(shadowStack: true)
        #expect(stacks.shape(of: Entry(0x2000_00d5), at: pte) == .leaf)
        #expect(stacks.rights(of: Entry(0x2000_00d5), at: pte) == [.supervisorRead, .userRead])
        #expect(stacks.malformation(of: Entry(0x2000_00dd), at: pte) == .reservedEncoding)
    }

    @Test(arguments: [4, 6, 7, 61, 62, 63] as [UInt64])
    func `a pointer to a table holds no bits of leaves`(bit: UInt64) {
        #expect(format.malformation(of: Entry(0x401 | 1 << bit), at: pmd) == .reservedBits(1 << bit))
        #expect(format.shape(of: Entry(0x401), at: pmd) == .table)
        #expect(format.shape(of: Entry(0x421), at: pmd) == .table)
    }

    @Test(arguments: 54...60 as ClosedRange<UInt64>)
    func `bits between address and memory type are reserved, two of them only without the extension`(bit: UInt64) {
        let entry = Entry(0x2000_00d7 | 1 << bit)
        #expect(format.malformation(of: entry, at: pte) == .reservedBits(1 << bit))
        let extended = RISCVSv39(softwareBits59And60: true)
        #expect(extended.malformation(of: entry, at: pte) == (bit < 59 ? .reservedBits(1 << bit) : nil))
    }

    @Test func `the leaf table points nowhere`() {
        #expect(format.malformation(of: Entry(0xc01), at: pte) == .tableBelowLeafTable)
    }

    @Test func `memory types depend on the extension`() {
        let entry = Entry(0x4000_0000_0400_00e7)
        #expect(format.physical(of: entry, at: pte, for: VirtualAddress(0)) == PhysicalAddress(0x1000_0000))
        let attributes = format.attributes(of: entry, at: pte)
        #expect(attributes.rights == [.supervisorRead, .supervisorWrite])
        #expect(format.memoryType(attributes.memoryTypeIndex) == .inputOutput)
        #expect(RISCVSv39(svpbmt: false).malformation(of: entry, at: pte) == .reservedBits(1 << 62))
        #expect(format.malformation(of: Entry(0x6000_0000_0400_00e7), at: pte) == .reservedEncoding)
        #expect(format.memoryType(1) == .nonCacheable && format.memoryType(0) == .unspecified)
    }

    @Test func `PROT_NONE is invalid to hardware and holds no right for Linux`() {
        #expect(format.shape(of: Entry(0x2000_0022), at: pte) == .invalid)
        #expect(format.linuxEntry(Entry(0x2000_0022), at: pte) == .mapping(0x8000_0000, 12, [.protNone]))
        #expect(format.linuxEntry(Entry(0x2008_0022), at: pmd) == .mapping(0x8020_0000, 21, [.protNone]))
        #expect(format.linuxEntry(Entry(0), at: pte) == .none)
    }

    @Test func `a large page that is being split is present to Linux`() {
        #expect(format.shape(of: Entry(0x2008_00d6), at: pmd) == .invalid)
        #expect(
            format.linuxEntry(Entry(0x2008_00d6), at: pmd)
                == .mapping(0x8020_0000, 21, [.read, .write, .user, .young, .dirty, .splitting]))
        #expect(format.linuxEntry(Entry(0x2008_00d6), at: pte) == .malformed)
    }

    @Test func `swap entries and software bits`() {
        #expect(format.linuxEntry(Entry(0x123_4180), at: pte) == .swapped(3, 0x1234))
        #expect(
            format.linuxEntry(Entry(0x123_41d8), at: pte)
                == .swapped(3, 0x1234, [.softDirty, .userfaultWriteProtect, .exclusive]))
        let extended = RISCVSv39(softwareBits59And60: true)
        #expect(
            extended.linuxEntry(Entry(0x1800_0000_2000_0153), at: pte)
                == .mapping(
                    0x8000_0000, 12,
                    [.read, .user, .young, .special, .softDirty, .userfaultWriteProtect, .hardwareValid]))
    }

    @Test func `Sv32 has short entries and long addresses`() {
        let sv32 = RISCVSv32()
        #expect(RISCVSv32.entryBytes == 4)
        #expect(
            sv32.decode(Entry(0xfff0_00cf), at: pmd).content
                == .leaf(PhysicalAddress(0x3_ffc0_0000), PageSize(log2Bytes: 22)))
        #expect(sv32.malformation(of: Entry(0xfff0_04cf), at: pmd) == .misalignedLeaf)
        #expect(sv32.linuxEntry(Entry(0x123_4180), at: pte) == .swapped(3, 0x1234))
        #expect(sv32.linuxEntry(Entry(0x2000_0022), at: pte) == .mapping(0x8000_0000, 12, [.protNone]))
    }
}

@Suite("RISC-V walks")
struct RISCVWalkVectorTests {
    let sv39: VectorMemory = [
        0: 0x401, 0x8: 0x1001, 0x10: 0xf000000f, 0x1000: 0x801, 0x1008: 0xc01, 0x1010: 0x38000f, 0x2000: 0x280f,
        0x2008: 0x2c0f, 0x3800: 0x300f, 0x4010: 0x1401, 0x5018: 0x2000000000340f,
    ]

    @Test func `satp tells the mode and the root`() throws {
        #expect(RISCVMode(satp: 0x8000_0000_0008_0abc) == .sv39)
        #expect(RISCVMode(satp: 0x9000_0000_0008_0abc) == .sv48)
        #expect(RISCVMode(satp: 0xa000_0000_0008_0abc) == .sv57)
        #expect(RISCVMode(satp: 0) == .bare)
        #expect(RISCVMode(satp: 0x1000_0000_0000_0000) == nil)
        #expect(RISCVMode(satp32: 0x8000_0abc) == .sv32)
        let space = try AddressSpace<RISCVSv39>.riscv(satp: 0x8123_4000_0008_0abc)
        #expect(space.lower?.table == PhysicalAddress(0x80ab_c000) && space.upper?.table == space.lower?.table)
        #expect(try AddressSpace<RISCVSv57>.riscv(satp: 0xa000_0000_0008_0abc).lower?.topLevel == Level(4))
        #expect(throws: RootError.wrongMode(found: 9, expected: 8)) {
            try AddressSpace<RISCVSv39>.riscv(satp: 0x9000_0000_0008_0abc)
        }
        #expect(throws: RootError.realSpace) { try AddressSpace<RISCVSv48>.riscv(satp: 0) }
        #expect(throws: RootError.realSpace) { try AddressSpace<RISCVSv32>.riscvSv32(satp: 0x7fff_ffff) }
    }

    @Test func `three levels`() throws {
        let space = try AddressSpace<RISCVSv39>.riscv(satp: 8 << 60)
        #expect(sv39.walk(space, 0x123) == 0xa123)
        #expect(sv39.walk(space, 0x300567) == 0xc567)
        #expect(sv39.walk(space, 0x4040389a) == 0x8000000000d89a)
        #expect(sv39.walk(space, 0x523456) == 0xf23456)
        #expect(sv39.walk(space, 0xa1234567) == 0x3e1234567)
        #expect(sv39.outcome(space, 1 << 39) == .outside)
        #expect(sv39.outcome(space, 0x3f_ffff_ffff) == .unavailable(Level(2)))
    }

    @Test func `a missing table stops the walk at the top`() throws {
        let space = try AddressSpace<RISCVSv39>.riscv(satp: 8 << 60)
        #expect(VectorMemory([0x8: 0]).outcome(space, 0x4000_0000) == .stopped(.invalid, Level(2)))
    }

    @Test func `five levels`() throws {
        let memory: VectorMemory = [
            0: 0x401, 0x8: 0, 0x10: 0x380000000000f, 0x1000: 0x801, 0x1010: 0x600000000f, 0x2000: 0xc01,
            0x3000: 0x1001, 0x4000: 0x280f,
        ]
        let space = try AddressSpace<RISCVSv57>.riscv(satp: 10 << 60)
        #expect(memory.walk(space, 0x2468ace02468a) == 0xe468ace02468a)
        #expect(memory.page(space, 0x2468ace02468a)?.size == PageSize(log2Bytes: 48))
        #expect(memory.walk(space, 0x123456789ab) == 0x1a3456789ab)
        #expect(memory.walk(space, 0x123) == 0xa123)
    }

    @Test func `four levels and two`() throws {
        let memory: VectorMemory = [0xff8: 0x401, 0x1ff8: 0x801, 0x2ff8: 0xc01, 0x3ff8: 0x1234_08cf]
        let sv48 = try AddressSpace<RISCVSv48>.riscv(satp: 9 << 60)
        #expect(memory.walk(sv48, .max) == 0x48d0_2fff)
        let short: VectorMemory = [0x1000: 0x801, 0x1004: 0xfff0_00cf, 0x2004: 0xffff_fccf]
        let sv32 = try AddressSpace<RISCVSv32>.riscvSv32(satp: 0x8000_0001)
        #expect(short.walk(sv32, 0x1234) == 0x3_ffff_f234)
        #expect(short.walk(sv32, 0x41_2345) == 0x3_ffc1_2345)
    }
}
