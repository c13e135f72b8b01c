import Testing

@testable import PageTables

private let pte = Level(0)
private let pmd = Level(1)
private let pud = Level(2)
private let pgd = Level(3)

/// Trees that no hardware walks.
@Suite("Linux's tree of the Power hash MMU")
struct PPC64LinuxHashVectorTests {
    let format = PPC64LinuxHash()

    @Test func `a walk of four levels`() {
        let memory: VectorMemory = [
            0x2e2_4038: 0x8000_0000_0224_8000, 0x224_8048: 0x8000_0000_0220_0000, 0x220_0058: 0x8000_0000_0221_f000,
            0x221_f018: 0xc080_0000_0648_0386, 0x224_8050: 0xc000_0007_ffff_0184,
        ]
        let space = AddressSpace.ppc64LinuxHash(pgd: PhysicalAddress(0x2e2_4000))
        let address: UInt64 = 7 << 44 | 9 << 34 | 11 << 24 | 3 << 16 | 0xabcd
        #expect(memory.walk(space, address) == 0x648_abcd)
        #expect(memory.page(space, address)?.rights == [.supervisorRead, .supervisorWrite, .userRead, .userWrite])
        // A page of 16 GiB; what is below its size is no address.
        #expect(memory.walk(space, 7 << 44 | 10 << 34 | 0x3_1234_5678) == 0x7_1234_5678)
        #expect(memory.outcome(space, 1 << 52) == .outside)
    }

    @Test func `leaves have the bits of the radix tree and some of the hash table`() {
        // Bit 55: the page has an entry in the hash table.
        for value in [0xc080_0000_0648_0386, 0xc000_0000_0648_0386] as [UInt64] {
            #expect(
                format.linuxEntry(Entry(value), at: pte)
                    == .mapping(0x648_0000, 16, [.read, .write, .user, .young, .dirty, .softDirty, .hardwareValid]))
        }
        #expect(format.decode(Entry(0xc080_0000_0648_0386), at: pte).residue == 0x80_0000_0000_0200)
        #expect(
            format.linuxEntry(Entry(0xc000_0000_0648_0388), at: pte)
                == .mapping(0x648_0000, 16, [.protNone, .young, .dirty, .softDirty, .hardwareValid]))
        #expect(format.linuxEntry(Entry(0x4000_0000_1234_0003), at: pte) == .swapped(3, 0x1234))
        #expect(format.leafSizes(pmd) == [PageSize(log2Bytes: 24)])
    }

    @Test func `pointers to tables hold an address alone`() {
        #expect(format.malformation(of: Entry(0x8000_0000_0224_8005), at: pmd) == .reservedBits(5))
        #expect(format.malformation(of: Entry(0x8000_0000_0224_8000), at: pte) == .tableBelowLeafTable)
        #expect(format.malformation(of: Entry(0xc000_0000_0224_8000), at: pgd) == .leafAtIllegalLevel)
        #expect(format.linuxEntry(Entry(0x8000_0000_0224_8000), at: pud) == .table)
    }
}

@Suite("Linux's tree of 64-bit MIPS")
struct MIPS64VectorTests {
    let format = MIPS64()

    @Test func `pointers are virtual addresses of unmapped segments`() {
        let memory: VectorMemory = [
            0x36c_6010: 0x9000_0000_0368_2000, 0x368_2018: 0x9800_0000_036d_7000, 0x36d_7028: 0x8d3_560f,
            0x368_2020: 0x1_4000_161f, 0x36c_6018: 0xffff_ffff_8276_3000, 0x36c_7ff8: 0xffff_ffff_8276_3000,
        ]
        let space = AddressSpace.mips64(pgd: PhysicalAddress(0x36c_6000))
        #expect(memory.walk(space, 2 << 30 | 3 << 21 | 5 << 12 | 0x123) == 0x234d123)
        #expect(memory.page(space, 2 << 30 | 4 << 21 | 0x12_3456)?.physical == 0x5012_3456)
        #expect(memory.outcome(space, 3 << 30) == .stopped(.invalid, pud))
        #expect(memory.outcome(space, 1023 << 30) == .stopped(.invalid, pud))
        #expect(memory.outcome(space, 1 << 40) == .outside)
    }

    @Test func `pointers into the kernel's image are empty entries, or followed where they need not be`() {
        let entry = Entry(0xffff_ffff_8276_3000)
        #expect(format.linuxEntry(entry, at: pud) == .none)
        let followed = MIPS64(imageTablesAreEmpty: false)
        #expect(followed.decode(entry, at: pud).content == .table(PhysicalAddress(0x276_3000)))
        #expect(followed.linuxEntry(entry, at: pud) == .table)
        let memory: VectorMemory = [0: 0xffff_ffff_a276_3000, 0x276_3000: 0xffff_ffff_8276_2000, 0x276_2000: 0]
        let space = AddressSpace.mips64(followed, pgd: PhysicalAddress(0))
        #expect(memory.outcome(space, 0) == .stopped(.invalid, pte))
    }

    @Test func `what is no address of an unmapped segment is malformed`() {
        #expect(format.malformation(of: Entry(0x1234_5000), at: pud) == .reservedEncoding)
        #expect(format.malformation(of: Entry(0xc000_0000_0000_0000), at: pud) == .reservedEncoding)
        #expect(format.malformation(of: Entry(0x9000_0000_0368_2001), at: pud) == .reservedBits(1))
        #expect(format.shape(of: Entry(0), at: pud) == .invalid)
    }

    @Test func `a page that was written, one that was not, one that was not used`() {
        let both: (Rights) -> Rights = { $0.union(Rights(rawValue: $0.rawValue << 3)) }
        let written = Entry(0x8d3_560f)
        #expect(format.rights(of: written, at: pte) == .all)
        #expect(format.attributes(of: written, at: pte).flags == [.accessed, .dirty])
        #expect(format.memoryType(format.attributes(of: written, at: pte).memoryTypeIndex) == .uncached)
        #expect(
            format.linuxEntry(written, at: pte)
                == .mapping(0x234_d000, 12, [.user, .read, .write, .execute, .young, .dirty, .hardwareValid]))
        #expect(format.rights(of: Entry(0x8d3_5207), at: pte) == both([.supervisorRead, .supervisorExecute]))
        let unused = Entry(0x8d3_5009)
        #expect(format.shape(of: unused, at: pte) == .invalid)
        #expect(format.linuxEntry(unused, at: pte) == .mapping(0x234_d000, 12, [.user, .read, .execute, .dirty]))
    }

    @Test func `pages that cannot be read`() {
        #expect(format.linuxEntry(Entry(0x8d3_5089), at: pte) == .mapping(0x234_d000, 12, [.user, .protNone, .dirty]))
        // Written through once, and still not valid: this processor cannot forbid reading.
        #expect(format.shape(of: Entry(0x8d3_548f), at: pte) == .invalid)
        #expect(
            format.linuxEntry(Entry(0x8d3_548f), at: pte)
                == .mapping(0x234_d000, 12, [.user, .write, .execute, .young, .dirty]))
    }

    @Test func `large pages`() {
        #expect(format.shape(of: Entry(0x1_4000_1019), at: pmd) == .invalid)
        #expect(
            format.linuxEntry(Entry(0x1_4000_1019), at: pmd)
                == .mapping(0x5000_0000, 21, [.user, .read, .execute, .dirty]))
        #expect(format.malformation(of: Entry(0x1_4000_561f), at: pmd) == .misalignedLeaf)
        #expect(
            format.linuxEntry(Entry(0x1_4000_1018), at: pmd)
                == .mapping(0x5000_0000, 21, [.user, .read, .execute, .dirty, .splitting]))
    }

    @Test func `swap entries`() {
        #expect(format.linuxEntry(Entry(0x12_3403_0000), at: pte) == .swapped(3, 0x1234))
        #expect(format.linuxEntry(Entry(0x12_3483_0000), at: pte) == .swapped(3, 0x1234, .exclusive))
        #expect(format.linuxEntry(Entry(0x12_3403_0002), at: pte) == .malformed)
        #expect(format.linuxEntry(Entry(0), at: pte) == .none)
    }

    @Test func `bits move with the configuration`() {
        let bits = MIPS64.Bits(hugePages: false, special: true, softDirty: true, readExecuteInhibit: false)
        let other = MIPS64(bits: bits, byteOrder: .big)
        #expect(other.byteOrder == .big && other.leafSizes(pmd).isEmpty)
        // Present 0, no-read 1, write 2, accessed 3, modified 4, special 5, soft-dirty 6, global 7, valid 8, dirty 9,
        // cache 12...10.
        let entry = Entry(0x1234_5 << 13 | 3 << 10 | 0b11_0111_1101)
        #expect(other.decode(entry, at: pte).content == .leaf(PhysicalAddress(0x1234_5000), PageSize(log2Bytes: 12)))
        #expect(other.attributes(of: entry, at: pte).flags == [.accessed, .dirty])
        #expect(other.memoryType(other.attributes(of: entry, at: pte).memoryTypeIndex) == .writeBack)
        #expect(
            other.linuxEntry(entry, at: pte)
                == .mapping(
                    0x1234_5000, 12,
                    [.user, .read, .write, .execute, .young, .dirty, .special, .softDirty, .hardwareValid]))
        #expect(
            other.linuxEntry(Entry(0x1234_5 << 13 | 0x3), at: pte) == .mapping(0x1234_5000, 12, [.user, .protNone]))
    }
}

@Suite("The tree of user-mode Linux")
struct UserModeLinuxVectorTests {
    let format = UserModeLinux48()

    @Test func `a page, PROT_NONE, swap and nothing`() {
        #expect(
            format.linuxEntry(Entry(0x1234_51e3), at: pte)
                == .mapping(
                    0x1234_5000, 12, [.read, .write, .execute, .user, .young, .dirty, .hardwareValid]))
        #expect(format.rights(of: Entry(0x1234_51e3), at: pte) == .all)
        #expect(format.attributes(of: Entry(0x1234_51e3), at: pte).flags == [.accessed, .dirty])
        #expect(format.shape(of: Entry(0x1234_5190), at: pte) == .invalid)
        #expect(
            format.linuxEntry(Entry(0x1234_5190), at: pte) == .mapping(0x1234_5000, 12, [.protNone, .young, .dirty]))
        #expect(format.linuxEntry(Entry(0x91_a062), at: pte) == .swapped(3, 0x1234))
        #expect(format.linuxEntry(Entry(0x91_a462), at: pte) == .swapped(3, 0x1234, .exclusive))
        #expect(format.linuxEntry(Entry(0x2), at: pte) == .none)
        #expect(format.linuxEntry(Entry(0x2), at: pgd) == .none)
        #expect(format.shape(of: Entry(0x2), at: pgd) == .invalid)
    }

    @Test func `a pointer to a table has the bits of a page`() {
        let entry = Entry(0x3393_d1e1)
        #expect(format.decode(entry, at: pmd).content == .table(PhysicalAddress(0x3393_d000)))
        #expect(format.decode(entry, at: pmd).residue == 0)
        #expect(format.linuxEntry(entry, at: pmd) == .table)
    }

    @Test func `three levels and four`() {
        let memory: VectorMemory = [
            0x1010: 0x21e1, 0x2018: 0x31e1, 0x3020: 0x41e1, 0x4028: 0x51c1,
        ]
        let three = AddressSpace<UserModeLinux39>.userModeLinux(pgd: PhysicalAddress(0x2000))
        #expect(memory.walk(three, 3 << 30 | 4 << 21 | 5 << 12 | 0x123) == 0x5123)
        #expect(memory.outcome(three, 1 << 39) == .outside)
        let four = AddressSpace<UserModeLinux48>.userModeLinux(pgd: PhysicalAddress(0x1000))
        #expect(memory.walk(four, 2 << 39 | 3 << 30 | 4 << 21 | 5 << 12 | 0x123) == 0x5123)
        #expect(memory.page(four, 2 << 39 | 3 << 30 | 4 << 21 | 5 << 12)?.rights == Rights.all.subtracting(.writes))
    }
}
