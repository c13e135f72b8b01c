import Testing

@testable import PageTables

private let page = Level(0)
private let segment = Level(1)
private let region3 = Level(2)
private let region2 = Level(3)
private let region1 = Level(4)

@Suite("s390x entries")
struct S390xVectorTests {
    let format = S390x()

    @Test func `the empty page-table entry is neither zero nor a page`() {
        #expect(format.shape(of: Entry(0x400), at: page) == .invalid)
        #expect(format.linuxEntry(Entry(0x400), at: page) == .none)
        #expect(format.shape(of: Entry(0), at: page) == .leaf)
    }

    @Test func `a writable page may forbid execution`() {
        let entry = Entry(0x1234_513d)
        #expect(format.attributes(of: entry, at: page) == EntryAttributes(rights: [.supervisorRead, .supervisorWrite]))
        #expect(
            format.linuxEntry(entry, at: page)
                == .mapping(0x1234_5000, 12, [.read, .write, .young, .dirty, .hardwareValid]))
    }

    @Test func `a clean page is writable to Linux and protected to hardware`() {
        let entry = Entry(0x1234_5335)
        #expect(format.rights(of: entry, at: page) == .supervisorRead)
        #expect(
            format.linuxEntry(entry, at: page) == .mapping(0x1234_5000, 12, [.read, .write, .young, .hardwareValid]))
    }

    @Test func `PROT_NONE and old pages are invalid to hardware and present to Linux`() {
        #expect(format.shape(of: Entry(0x1234_560d), at: page) == .invalid)
        #expect(
            format.linuxEntry(Entry(0x1234_560d), at: page) == .mapping(0x1234_5000, 12, [.protNone, .young, .dirty]))
        #expect(format.shape(of: Entry(0x1234_571b), at: page) == .invalid)
        #expect(
            format.linuxEntry(Entry(0x1234_571b), at: page) == .mapping(0x1234_5000, 12, [.read, .dirty, .softDirty]))
    }

    @Test func `bit 0x800 of a valid page-table entry must be zero`() {
        #expect(format.malformation(of: Entry(0x1234_5b00), at: page) == .reservedBits(0x800))
        #expect(format.linuxEntry(Entry(0x1234_5b00), at: page) == .malformed)
        #expect(format.shape(of: Entry(0x1234_5f00), at: page) == .invalid)
    }

    @Test func `swap entries of pages, segments and regions`() {
        #expect(format.linuxEntry(Entry(0x123_4614), at: page) == .swapped(5, 0x1234))
        #expect(format.linuxEntry(Entry(0x123_4e16), at: page) == .swapped(5, 0x1234, [.exclusive, .softDirty]))
        #expect(format.linuxEntry(Entry(0x123_4170), at: segment) == .swapped(5, 0x1234))
        #expect(format.linuxEntry(Entry(0x123_4174), at: region3) == .swapped(5, 0x1234))
        #expect(format.linuxEntry(Entry(0x123_4170), at: region3) == .malformed)
    }

    @Test func `a segment-table entry points to 2 KiB`() {
        for entry in [Entry(0x30801), Entry(0x30800)] {
            #expect(format.decode(entry, at: segment).content == .table(PhysicalAddress(0x30800)))
            #expect(format.limits(below: entry, at: segment) == IndexLimits(first: 0, last: 255))
            #expect(format.linuxEntry(entry, at: segment) == .table)
        }
    }

    @Test func `the access-control bits of a large page are Linux's where they are not hardware's`() {
        let entry = Entry(0x1230_f501)
        #expect(
            format.attributes(of: entry, at: segment) == EntryAttributes(rights: [.supervisorRead, .supervisorWrite]))
        #expect(
            format.linuxEntry(entry, at: segment)
                == .mapping(0x1230_0000, 20, [.read, .write, .young, .dirty, .hardwareValid]))
        #expect(format.rights(of: Entry(0x1230_f701), at: segment) == .supervisorRead)

        let keyed = Entry(0x1231_a401)
        #expect(format.attributes(of: keyed, at: segment).protectionKey == 10)
        #expect(
            format.linuxEntry(keyed, at: segment)
                == .mapping(0x1230_0000, 20, [.read, .write, .execute, .hardwareValid]))
    }

    @Test func `older kernels have other bits in large pages and no bit for present`() {
        let older = S390x(linuxLeafBits: .withoutPresent)
        #expect(
            older.linuxEntry(Entry(0x1230_7503), at: segment)
                == .mapping(0x1230_0000, 20, [.read, .write, .young, .dirty, .softDirty, .hardwareValid]))
        #expect(
            older.linuxEntry(Entry(0x1230_6721), at: segment)
                == .mapping(0x1230_0000, 20, [.read, .dirty, .softDirty]))
        #expect(older.linuxEntry(Entry(0x1230_0720), at: segment) == .mapping(0x1230_0000, 20, [.protNone]))
        #expect(format.linuxEntry(Entry(0x1230_0720), at: segment) == .malformed)
        #expect(S390x.LinuxLeafBits(segmentTableEntry: Entry(0x30800)) == .withoutPresent)
        #expect(S390x.LinuxLeafBits(segmentTableEntry: Entry(0x30801)) == .withPresent)
    }

    @Test(arguments: [(segment, 0x20), (region3, 0x24), (region2, 0x28), (region1, 0x2c)] as [(Level, UInt64)])
    func `empty entries name their table's type`(level: Level, value: UInt64) {
        #expect(format.shape(of: Entry(value), at: level) == .invalid)
        #expect(format.linuxEntry(Entry(value), at: level) == .none)
        #expect(format.decode(Entry(value), at: level).residue == 0)
        #expect(format.shape(of: Entry(0), at: segment) == .table)
    }

    @Test func `a region entry tells the quarters of the table below`() {
        let whole = Entry(0x1234_0007)
        #expect(format.decode(whole, at: region3).content == .table(PhysicalAddress(0x1234_0000)))
        #expect(format.limits(below: whole, at: region3) == IndexLimits(first: 0, last: 2047))
        #expect(format.limits(below: Entry(0x1047), at: region3) == IndexLimits(first: 512, last: 2047))
        #expect(format.limits(below: Entry(0x1046), at: region3) == IndexLimits(first: 512, last: 1535))
        // Nothing is left between an offset of 2 and a length of 1.
        #expect(format.shape(of: Entry(0x1085), at: region3) == .invalid)
    }

    @Test func `an entry of another kind of table is malformed`() {
        #expect(format.malformation(of: Entry(0x1007), at: region2) == .wrongTableType(found: 1, expected: 2))
        #expect(format.malformation(of: Entry(0x1000), at: region1) == .wrongTableType(found: 0, expected: 3))
        #expect(format.malformation(of: Entry(0x1004), at: segment) == .wrongTableType(found: 1, expected: 0))
    }

    @Test func `a private space has no common segments and regions`() {
        let privateSpace = S390x(privateSpace: true)
        for (level, value) in [(segment, 0x1010), (region3, 0x1017)] as [(Level, UInt64)] {
            #expect(privateSpace.malformation(of: Entry(value), at: level) == .reservedBits(0x10))
            #expect(format.shape(of: Entry(value), at: level) == .table)
        }
        #expect(S390x(edat2: false, privateSpace: true).shape(of: Entry(0x1017), at: region3) == .table)
    }

    @Test func `large pages depend on the facility`() {
        let (none, segments) = (S390x(edat1: false, edat2: false), S390x(edat2: false))
        #expect(none.shape(of: Entry(0x10_0400), at: segment) == .table)
        #expect(segments.shape(of: Entry(0x10_0400), at: segment) == .leaf)
        #expect(segments.shape(of: Entry(0x8000_0407), at: region3) == .table)
        #expect(format.shape(of: Entry(0x8000_0407), at: region3) == .leaf)
        #expect(format.shape(of: Entry(0x8000_040b), at: region2) == .table)
    }
}

@Suite("s390x walks")
struct S390xWalkVectorTests {
    private func space(_ asce: UInt64, edat: Bool = true) throws -> AddressSpace<S390x> {
        try .s390x(asce: asce, edat1: edat, edat2: edat)
    }

    @Test(arguments: [(0x1234_01c7, 2), (0x1234_01cb, 3), (0x1234_01cf, 4)] as [(UInt64, Int)])
    func `the ASCE of a process tells its depth`(asce: UInt64, top: Int) throws {
        let space = try space(asce)
        let tree = try #require(space.lower)
        #expect(tree.table == PhysicalAddress(0x1234_0000) && tree.topLevel == Level(top))
        #expect(space.format.privateSpace)
        #expect(space.upper == nil)
    }

    @Test func `a space ends where its top level ends`() throws {
        let ends = try [0x3, 0x7, 0xb, 0xf].map { try space($0).lower?.range.last.rawValue }
        #expect(ends == [0x7fff_ffff, 0x3ff_ffff_ffff, 0x1f_ffff_ffff_ffff, .max] as [UInt64?])
        #expect(VectorMemory([:]).outcome(try space(0x7), 0x400_0000_0000) == .outside)
        for address in [0x80000000, 0x400_0000_0000, 0x20_0000_0000_0000] as [UInt64] {
            #expect(VectorMemory([:]).outcome(try space(0x3), address) == .outside)
        }
    }

    @Test func `a space may be real`() {
        #expect(throws: RootError.realSpace) { try space(0x1234_0027) }
    }

    @Test func `an index beyond a table's quarters is not read`() throws {
        #expect(VectorMemory([0x1000: 0x2007]).outcome(try space(0x4), 512 << 31) == .unavailable(region3))
        let memory: VectorMemory = [0: 0x1047, 0x1028: 0x2000, 0x2000: 0x5000]
        #expect(memory.outcome(try space(0x7), 5 << 20) == .unavailable(segment))
    }

    @Test func `every level can protect, regions with EDAT only`() throws {
        let memory: VectorMemory = [0: 0x1207, 0x1000: 0x2001, 0x2000: 0x5034]
        #expect(memory.page(try space(0x7), 0)?.rights == [.supervisorRead, .supervisorExecute])
        #expect(memory.page(try space(0x7, edat: false), 0)?.rights == .supervisor)
        #expect(memory.walk(try space(0x7), 0x123) == 0x5123)

        let protected: VectorMemory = [0: 0x30a01, 0x30808: 0x1234_513d]
        #expect(protected.page(try space(0x3), 0x1000)?.rights == .supervisorRead)
    }

    @Test func `two levels`() throws {
        let memory: VectorMemory = [
            0: 0x1000, 0x8: 0x1800, 0x10: 0xd00400, 0x1000: 0xa000, 0x1008: 0xb000, 0x1810: 0xc000,
        ]
        let space = try space(0x3)
        #expect(memory.walk(space, 0x123) == 0xa123)
        #expect(memory.walk(space, 0x1234) == 0xb234)
        #expect(memory.walk(space, 0x102345) == 0xc345)
        #expect(memory.walk(space, 0x212345) == 0xd12345)
    }

    @Test func `three levels`() throws {
        let memory: VectorMemory = [
            0: 0x1007, 0x8: 0x3007, 0x1000: 0x2000, 0x1008: 0x2800, 0x1010: 0xe00400, 0x2000: 0xa000, 0x2008: 0xb000,
            0x2c00: 0xc000, 0x3010: 0x4000, 0x4018: 0xd000,
        ]
        let space = try space(0x7)
        #expect(memory.walk(space, 0x123) == 0xa123)
        #expect(memory.walk(space, 0x180567) == 0xc567)
        #expect(memory.walk(space, 0x8020389a) == 0xd89a)
        #expect(memory.walk(space, 0x234567) == 0xe34567)
    }

    @Test func `five levels`() throws {
        let memory: VectorMemory = [
            0: 0x100f, 0x8: 0x500f, 0x1000: 0x200b, 0x2000: 0x3007, 0x2008: 0x1f00000404, 0x3000: 0x4000,
            0x3010: 0xe00400, 0x4000: 0xa000, 0x4008: 0xb000, 0x5010: 0x600b, 0x6018: 0x7007, 0x7020: 0x8000,
            0x8028: 0xc000,
        ]
        let space = try space(0xf)
        #expect(memory.walk(space, 0x20080180405567) == 0xc567)
        #expect(memory.walk(space, 0x92345678) == 0x1f12345678)
        #expect(memory.page(space, 0x92345678)?.size == PageSize(log2Bytes: 31))
        #expect(memory.walk(space, 0x234567) == 0xe34567)
    }

    @Test(
        arguments: [
            (0x20000000000000, .stopped(.invalid, region1)), (0x40000000000000, .stopped(.malformed, region1)),
            (0x60000000000000, .unavailable(region2)), (0x600c0000000000, .unavailable(region2)),
            (0x40000000000, .stopped(.invalid, region2)), (0x80000000000, .stopped(.malformed, region2)),
            (0xc0000000000, .unavailable(region3)), (0xc0180000000, .unavailable(region3)),
            (0x80000000, .stopped(.invalid, region3)), (0x100000000, .stopped(.malformed, region3)),
            (0x180000000, .unavailable(segment)), (0x180300000, .unavailable(segment)),
            (0x100000, .stopped(.invalid, segment)), (0x200000, .stopped(.malformed, segment)),
            (0x1000, .stopped(.invalid, page)),
        ] as [(UInt64, VectorMemory.Outcome)])
    func `five levels, each with its ways to fail`(address: UInt64, outcome: VectorMemory.Outcome) throws {
        let memory: VectorMemory = [
            0: 0x100f, 0x8: 0x002f, 0x10: 0x0007, 0x18: 0x004e, 0x1000: 0x200b, 0x1008: 0x202b, 0x1010: 0x200f,
            0x1018: 0x204b, 0x2000: 0x3007, 0x2008: 0x3027, 0x2010: 0x300b, 0x2018: 0x3046, 0x3000: 0x4000,
            0x3008: 0x4020, 0x3010: 0x4004, 0x4000: 0xa000, 0x4008: 0x5400,
        ]
        #expect(memory.outcome(try space(0xf), address) == outcome)
        #expect(memory.walk(try space(0xf), 0x123) == 0xa123)
    }

    @Test func `a space that grew a level translates its old addresses as before`() throws {
        let memory: VectorMemory = [
            0x10008: 0x20007, 0x20000: 0x30000, 0x30000: 0x1234_5000,
            // The new top: the old one in slot 0, and something above.
            0x50000: 0x1000b, 0x50008: 0x6000b, 0x60000: 0x70007, 0x70000: 0x80000, 0x80000: 0x5432_1000,
        ]
        let (before, after) = (try space(0x10007), try space(0x5000b))
        #expect(memory.walk(before, 0x8000_0123) == 0x1234_5123)
        #expect(memory.walk(after, 0x8000_0123) == 0x1234_5123)
        #expect(memory.outcome(before, 0x400_0000_0000) == .outside)
        #expect(memory.walk(after, 0x400_0000_0123) == 0x5432_1123)
    }
}
