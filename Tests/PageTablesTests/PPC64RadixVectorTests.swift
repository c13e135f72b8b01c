import Testing

@testable import PageTables

private let pte = Level(0)
private let pmd = Level(1)
private let pud = Level(2)
private let pgd = Level(3)

@Suite("Power radix entries")
struct PPC64RadixVectorTests {
    let small = PPC64Radix4K()
    let large = PPC64Radix64K()

    @Test func `a page of the user is the supervisor's to read and write, never to execute`() {
        let entry = Entry(0xc000_0000_1234_5187)
        let attributes = small.attributes(of: entry, at: pte)
        #expect(attributes.rights == Rights.all.subtracting(.supervisorExecute))
        #expect(attributes.flags == [.accessed, .dirty])
        #expect(small.memoryType(attributes.memoryTypeIndex) == .writeBack)
        #expect(small.physical(of: entry, at: pte, for: VirtualAddress(0)) == PhysicalAddress(0x1234_5000))
        #expect(
            small.linuxEntry(entry, at: pte)
                == .mapping(0x1234_5000, 12, [.read, .write, .execute, .user, .young, .dirty, .hardwareValid]))
    }

    @Test func `entries are big-endian whatever the kernel is`() {
        #expect(small.byteOrder == .big && large.byteOrder == .big)
    }

    @Test(arguments: [0xc000_0000_1234_0100, 0xc000_0000_1234_0108] as [UInt64])
    func `PROT_NONE is valid and leaves no right`(value: UInt64) {
        let entry = Entry(value)
        #expect(large.shape(of: entry, at: pte) == .leaf)
        #expect(large.rights(of: entry, at: pte) == [])
        let user: LinuxPageFlags = value & 8 == 0 ? .user : []
        #expect(
            large.linuxEntry(entry, at: pte)
                == .mapping(0x1234_0000, 16, user.union([.protNone, .young, .hardwareValid])))
    }

    @Test func `swap offsets are in pages`() {
        #expect(large.linuxEntry(Entry(0x4000_0000_1234_0003), at: pte) == .swapped(3, 0x1234))
        #expect(small.linuxEntry(Entry(0x4000_0000_0123_4003), at: pte) == .swapped(3, 0x1234))
        #expect(
            small.linuxEntry(Entry(0x4000_0000_0123_4223), at: pte) == .swapped(3, 0x1234, [.softDirty, .exclusive]))
        #expect(small.linuxEntry(Entry(0x180), at: pte) == .none)
        #expect(small.linuxEntry(Entry(0x7), at: pte) == .malformed)
    }

    @Test func `a directory entry names the size of the table below`() {
        let entry = Entry(0x8000_0000_0300_0105)
        #expect(large.decode(entry, at: pmd).content == .table(PhysicalAddress(0x300_0100)))
        #expect(large.tableBytes(pte) == 256)
        #expect(small.malformation(of: entry, at: pmd) == .wrongTableType(found: 5, expected: 9))
        #expect(large.malformation(of: entry, at: pud) == .wrongTableType(found: 5, expected: 9))
        #expect(large.malformation(of: entry, at: pte) == .tableBelowLeafTable)
        #expect(PPC64RadixDirectory.nextIndexBits(of: entry) == 5)
        #expect(PPC64RadixDirectory.nextIndexBits(of: Entry(0xc000_0000_1234_5187)) == nil)
        #expect(PPC64RadixDirectory.nextIndexBits(of: Entry(0)) == nil)
    }

    @Test func `the root maps no pages`() {
        #expect(small.malformation(of: Entry(0xc000_0000_0000_0187), at: pgd) == .leafAtIllegalLevel)
    }

    @Test func `an invalidated page is present to Linux`() {
        let entry = Entry(0x6000_0000_1234_5187)
        #expect(small.shape(of: entry, at: pte) == .invalid)
        #expect(
            small.linuxEntry(entry, at: pte)
                == .mapping(0x1234_5000, 12, [.read, .write, .execute, .user, .young, .dirty]))
        #expect(
            small.linuxEntry(Entry(0x6000_0000_1220_0186), at: pmd)
                == .mapping(0x1220_0000, 21, [.read, .write, .user, .young, .dirty, .splitting]))
    }

    @Test func `guarded storage is never executed`() {
        let entry = Entry(0xc000_0000_4000_01af)
        let attributes = small.attributes(of: entry, at: pud)
        #expect(attributes.rights == [.supervisorRead, .supervisorWrite])
        #expect(small.memoryType(attributes.memoryTypeIndex) == .inputOutput)
        #expect(small.rights(of: Entry(0xc000_0000_4000_01bf), at: pud) == .supervisor)
        #expect(small.memoryType(1) == .strongAccessOrder && small.memoryType(3) == .tolerantInputOutput)
    }

    @Test func `protection keys are above the address`() {
        let entry = Entry(0xdf00_0000_1234_5187)
        #expect(small.attributes(of: entry, at: pte).protectionKey == 31)
        #expect(small.physical(of: entry, at: pte, for: VirtualAddress(0xfff)) == PhysicalAddress(0x1234_5fff))
    }

    @Test func `writing implies reading`() {
        #expect(small.rights(of: Entry(0xc000_0000_1234_518a), at: pte) == [.supervisorRead, .supervisorWrite])
    }
}

@Suite("Power radix walks")
struct PPC64RadixWalkVectorTests {
    let process: UInt64 = 0x4000_0000_0100_00ad
    let memory: VectorMemory = [
        0x100_0000: 0x8000_0000_0200_0009, 0x200_0000: 0x8000_0000_0200_1009, 0x200_1000: 0x8000_0000_0300_0105,
        0x300_0118: 0xc000_0000_1237_0187, 0x200_1008: 0xc000_0000_1220_0186, 0x200_0008: 0xc000_0000_4000_018e,
        0x400_0000: 0x8000_0000_0500_0009, 0x500_0000: 0xc000_0000_0000_018e, 0x100_0008: 0,
    ]

    @Test func `64 KiB pages and larger ones of a process`() throws {
        let space = try AddressSpace<PPC64Radix64K>.ppc64Radix(process: process, kernel: nil)
        #expect(space.lower?.table == PhysicalAddress(0x100_0000))
        #expect(memory.page(space, 0x3abcd)?.physical == 0x1237_abcd)
        #expect(memory.page(space, 0x3abcd)?.size == PageSize(log2Bytes: 16))
        #expect(memory.page(space, 0x3abcd)?.rights == Rights.all.subtracting(.supervisorExecute))
        #expect(memory.walk(space, 0x312345) == 0x1231_2345)
        #expect(memory.walk(space, 0x41234567) == 0x4123_4567)
        #expect(memory.page(space, 0x41234567)?.rights == [.supervisorRead, .supervisorWrite])
        #expect(memory.outcome(space, 1 << 39) == .stopped(.invalid, pgd))
        #expect(memory.outcome(space, 0xc000_0000_0123_4567) == .outside)
    }

    @Test func `quadrant 3 is the kernel's`() throws {
        let space = try AddressSpace<PPC64Radix64K>.ppc64Radix(process: process, kernel: 0x4000_0000_0400_00ad)
        #expect(memory.walk(space, 0xc000_0000_0123_4567) == 0x123_4567)
        for address in [1 << 52, 0x4000_0000_0000_0000, 0x8000_0000_0000_0000, 0xc010_0000_0000_0000] as [UInt64] {
            #expect(memory.outcome(space, address) == .outside)
        }
    }

    @Test func `a tree of 4 KiB pages is no tree of 64 KiB pages`() throws {
        let space = try AddressSpace<PPC64Radix4K>.ppc64Radix(process: process, kernel: nil)
        #expect(memory.outcome(space, 0x3abcd) == .stopped(.malformed, pmd))
        #expect(memory.walk(space, 0x312345) == 0x1231_2345)
    }

    @Test func `a process-table entry describes the tree`() throws {
        #expect(throws: RootError.wrongIndexBits(found: 9, expected: 13)) {
            try AddressSpace<PPC64Radix4K>.ppc64Radix(process: 0x4000_0000_0100_00a9, kernel: nil)
        }
        #expect(throws: RootError.wrongAddressBits(found: 51, expected: 52)) {
            try AddressSpace<PPC64Radix4K>.ppc64Radix(process: nil, kernel: 0x4000_0000_0100_008d)
        }
        let none = try AddressSpace<PPC64Radix4K>.ppc64Radix(process: 0, kernel: nil)
        #expect(none.trees.isEmpty)
    }
}
