import Testing

@testable import PageTables

private let section = Level(1)
private let page = Level(0)

/// Short descriptors with what the manual says of them, and walks of them.
@Suite("arm short descriptors")
struct ArmShortVectorTests {
    let format = ArmShort()

    func space(_ format: ArmShort = ArmShort()) -> AddressSpace<ArmShort> {
        .armShort(format, ttbr0: 0, ttbr1: nil, ttbcr: 0)
    }

    @Test func `a table has 256 entries`() {
        #expect(format.shape(of: Entry(0x4001), at: section) == .table)
        #expect(format.table(of: Entry(0x4001), at: section) == PhysicalAddress(0x4000))
        #expect(format.limits(below: Entry(0x4001), at: section) == IndexLimits(first: 0, last: 255))
    }

    @Test(
        arguments: [
            (0x23_4567, 0x8, 0x10_0002, 0x13_4567, "1 MiB"),
            (0x10d_cba9, 0x40, 0xf04_0002, 0xf0d_cba9, "16 MiB"),
            (0x20a_9876, 0x80, 0xdce4_01e2, 0xfe_dc0a_9876, "16 MiB"),
            (0x2a_bcde, 0x8, 0x11_0c0f, 0x1a_bcde, "1 MiB"),
        ] as [(UInt64, UInt64, UInt64, UInt64, String)])
    func `sections and supersections`(
        address: UInt64, place: UInt64, value: UInt64, physical: UInt64, size: String
    ) throws {
        let page = try #require(VectorMemory([place: value]).page(space(), address))
        #expect(page.physical == physical)
        #expect(page.size.description == size)
    }

    @Test(
        arguments: [
            (0x10_0123, 0x4000, 0xa012, 0xa123, "4 KiB"), (0x10_7123, 0x401c, 0x1_0011, 0x1_7123, "64 KiB"),
        ] as [(UInt64, UInt64, UInt64, UInt64, String)])
    func `small and large pages`(
        address: UInt64, place: UInt64, value: UInt64, physical: UInt64, size: String
    ) throws {
        let page = try #require(VectorMemory([0x4: 0x4001, place: value]).page(space(), address))
        #expect(page.physical == physical)
        #expect(page.size.description == size)
        #expect(page.rights == .supervisor)
    }

    @Test func `type 3 of the first level is a section that the supervisor never executes`() {
        let attributes = format.attributes(of: Entry(0x11_0c0f), at: section)
        #expect(attributes.rights == .all.subtracting(.supervisorExecute))
        #expect(attributes.memoryTypeIndex == 3)
    }

    @Test(
        arguments: [
            (0, []), (1, [.supervisorRead, .supervisorWrite]), (2, [.supervisorRead, .supervisorWrite, .userRead]),
            (3, [.supervisorRead, .supervisorWrite, .userRead, .userWrite]), (4, []), (5, [.supervisorRead]),
            (6, [.supervisorRead, .userRead]), (7, [.supervisorRead, .userRead]),
        ] as [(UInt64, Rights)])
    func `access permissions`(permission: UInt64, rights: Rights) {
        let field = permission & 3 | (permission & 4) << 3
        // Small page, large page, section, supersection; each never to be executed.
        #expect(format.rights(of: Entry(0x3 | field << 4), at: page) == rights)
        #expect(format.rights(of: Entry(0x8001 | field << 4), at: page) == rights)
        #expect(format.rights(of: Entry(0x12 | field << 10), at: section) == rights)
        #expect(format.rights(of: Entry(0x4_0012 | field << 10), at: section) == rights)
    }

    @Test func `what can be read can be executed`() {
        #expect(
            format.rights(of: Entry(0x232), at: page) == [.supervisorRead, .supervisorExecute, .userRead, .userExecute])
        #expect(format.rights(of: Entry(0x2), at: page) == [])
    }

    @Test func `with the access flag there are three permission bits less one`() {
        let format = ArmShort(accessFlagEnabled: true)
        let old = format.attributes(of: Entry(0x1022), at: page)
        #expect(old.rights == .all)
        #expect(old.flags == .global)
        #expect(format.attributes(of: Entry(0x1032), at: page).flags == [.global, .accessed])
        #expect(format.rights(of: Entry(0x1002), at: page) == .supervisor)
    }

    @Test func `a table takes execution from the supervisor`() {
        let memory: VectorMemory = [0x4: 0x4005, 0x4000: 0xa032]
        #expect(memory.page(space(), 0x10_0000)?.rights == .all.subtracting(.supervisorExecute))
    }

    @Test func `domains allow nothing, what descriptors allow, or everything`() {
        let format = ArmShort(domainAccess: 0x31)
        // A section that nobody may access.
        #expect(format.rights(of: Entry(0x10_0012), at: section) == [])
        #expect(format.rights(of: Entry(0x10_0c02), at: section) == .all)
        #expect(format.rights(of: Entry(0x10_0c22), at: section) == [])
        #expect(format.rights(of: Entry(0x10_0052), at: section) == .all)
        #expect(format.attributes(of: Entry(0x10_0052), at: section).protectionKey == 2)
        let memory: VectorMemory = [0x0: 0x4021, 0x4000: 0xa032, 0x4: 0x4001]
        #expect(memory.page(space(format), 0x0)?.rights == [])
        #expect(memory.page(space(format), 0x10_0000)?.rights == .all)
        // A supersection has domain 0; the field holds address bits.
        #expect(format.rights(of: Entry(0x4_0c22), at: section) == .all)
        #expect(format.attributes(of: Entry(0x4_0c22), at: section).protectionKey == 0)
    }

    @Test func `memory types with and without remapping`() {
        let linux = (0..<8).map { format.memoryType($0) }
        #expect(
            linux == [
                .deviceNGnRnE, .nonCacheable, .writeThrough, .writeBack, .deviceNGnRE, .deviceNGnRnE, .deviceNGnRnE,
                .writeBack,
            ])
        #expect((0..<8).map { format.memoryType($0 | 24) } == linux)
        let direct = ArmShort(memoryTypes: .direct)
        #expect(
            (0..<9).map { direct.memoryType($0) } == [
                .deviceNGnRnE, .deviceNGnRE, .writeThrough, .writeBack, .nonCacheable, .unknown, .unknown, .writeBack,
                .deviceNGnRE,
            ])
        #expect(direct.memoryType(0b10101) == .writeBack)
        #expect(direct.memoryType(0b11010) == .writeThrough)
        #expect(direct.memoryType(0b10000) == .nonCacheable)
        #expect(direct.memoryType(0b10001) == .unknown)
    }

    @Test func `a small page has TEX in another place than the others`() {
        #expect(format.attributes(of: Entry(0x1056), at: page).memoryTypeIndex == 0b00101)
        #expect(format.attributes(of: Entry(0x1_1015), at: page).memoryTypeIndex == 0b00101)
        #expect(format.attributes(of: Entry(0x10_1406), at: section).memoryTypeIndex == 0b00101)
    }

    @Test func `a split gives the lower addresses a short table`() throws {
        let memory: VectorMemory = [0x1004: 0x10_0c0e]
        let split = AddressSpace.armShort(format, ttbr0: 0x104a, ttbr1: 0x8_4059, ttbcr: 2)
        #expect(memory.walk(split, 0x10_0000) == 0x10_0000)
        let (lower, upper) = (try #require(split.lower), try #require(split.upper))
        #expect(lower.table == PhysicalAddress(0x1000))
        #expect(lower.limits == IndexLimits(first: 0, last: 1023))
        #expect(lower.range == VirtualRange(first: VirtualAddress(0), last: VirtualAddress(0x3fff_ffff)))
        #expect(upper.table == PhysicalAddress(0x8_4000))
        #expect(upper.limits == IndexLimits(first: 0, last: 4095))
        #expect(upper.range == VirtualRange(first: VirtualAddress(0x4000_0000), last: VirtualAddress(0xffff_ffff)))
        let upperMemory: VectorMemory = [0x8_7ffc: 0x10_0c0e]
        #expect(upperMemory.walk(split, 0xfff0_0042) == 0x10_0042)
    }

    @Test func `without a split the first register translates everything`() {
        let space = AddressSpace.armShort(format, ttbr0: 0x8000_404a, ttbr1: 0x4000, ttbcr: 0)
        #expect(space.lower?.table == PhysicalAddress(0x8000_4000))
        #expect(space.lower?.range.last == VirtualAddress(0xffff_ffff))
        #expect(space.upper == nil)
    }

    @Test func `a disabled tree does not exist`() {
        let lowerOff = AddressSpace.armShort(format, ttbr0: 0, ttbr1: 0, ttbcr: 1 << 4 | 1)
        #expect(lowerOff.lower == nil && lowerOff.upper != nil)
        let upperOff = AddressSpace.armShort(format, ttbr0: 0, ttbr1: 0, ttbcr: 1 << 5 | 1)
        #expect(upperOff.lower != nil && upperOff.upper == nil)
    }
}

/// Linux's own entries of 32-bit Arm with short descriptors.
@Suite("arm short descriptors as Linux reads them")
struct ArmShortLinuxVectorTests {
    let format = ArmShort()

    func linux(_ value: UInt64) -> LinuxPageFlags? {
        guard case .page(let found) = format.linuxEntry(Entry(value), at: page),
            found.frame == PhysicalAddress(0x1234_5000), found.size.log2Bytes == 12
        else { return nil }
        return found.flags
    }

    @Test(
        arguments: [
            (0x1234_575f, true, 0x1234_5c7f), (0x1234_575f, false, 0x1234_547f), (0x1234_551f, false, 0x1234_567e),
            (0x1234_555d, false, 0), (0x1234_5fdf, false, 0), (0x1234_565f, false, 0x1234_545f),
        ] as [(UInt64, Bool, UInt64)])
    func `the hardware entry beside a Linux entry`(value: UInt64, notGlobal: Bool, hardware: UInt64) {
        #expect(format.hardwareEntry(ofLinux: Entry(value), notGlobal: notGlobal) == Entry(hardware))
    }

    @Test func `pages have the rights of Linux's own bits`() {
        #expect(linux(0x1234_575f) == [.read, .write, .user, .young, .dirty, .hardwareValid])
        #expect(linux(0x1234_551f) == [.read, .write, .execute, .user, .young, .hardwareValid])
        #expect(linux(0x1234_565f) == [.read, .write, .young, .dirty, .hardwareValid])
        #expect(linux(0x1234_55df) == [.read, .execute, .user, .young, .dirty, .hardwareValid])
    }

    @Test func `old and inaccessible pages are present though hardware has nothing`() {
        #expect(linux(0x1234_555d) == [.read, .write, .execute, .user, .dirty])
        #expect(linux(0x1234_5fdf) == [.protNone, .young, .dirty])
    }

    @Test func `an entry that is not present holds a place in swap`() {
        #expect(format.linuxEntry(Entry(0x12_340c), at: page) == .swap(LinuxSwap(type: 3, offset: 0x1234)))
        #expect(
            format.linuxEntry(Entry(0x12_34fc), at: page)
                == .swap(LinuxSwap(type: 31, offset: 0x1234, flags: .exclusive)))
        #expect(format.linuxEntry(Entry(0), at: page) == .none)
        #expect(format.linuxEntry(Entry(0x1002), at: page) == .malformed)
    }

    @Test func `Linux walks its own tables, 2048 bytes below those of hardware`() {
        let memory: VectorMemory = [
            0x0: 0x1234_5801, 0x4: 0x1234_5c01,
            // Hardware: nothing, because the page is old.
            0x1234_5804: 0, 0x1234_5004: 0x5555_555d, 0x1234_5404: 0x6666_675f, 0x1234_5c04: 0x6666_647f,
        ]
        let space = AddressSpace.armShort(format, ttbr0: 0, ttbr1: nil, ttbcr: 0)
        #expect(format.linuxTable(of: Entry(0x1234_5801), at: section) == PhysicalAddress(0x1234_5000))
        #expect(memory.walk(space, 0x1abc) == nil)
        #expect(memory.walk(space.linuxView, 0x1abc) == 0x5555_5abc)
        #expect(memory.walk(space, 0x10_1abc) == 0x6666_6abc)
        #expect(memory.walk(space.linuxView, 0x10_1abc) == 0x6666_6abc)
    }

    @Test func `both entries of a page name the same memory type`() {
        let view = LinuxView(format)
        for type in 0..<8 as Range<UInt64> {
            let linux = Entry(0x1234_5043 | type << 2)
            let hardware = format.hardwareEntry(ofLinux: linux, notGlobal: true)
            #expect(view.attributes(of: linux, at: page).memoryTypeIndex == UInt8(type))
            #expect(
                format.memoryType(format.attributes(of: hardware, at: page).memoryTypeIndex)
                    == view.memoryType(UInt8(type)))
        }
    }

    @Test func `sections are pages with the rights that hardware gives`() {
        #expect(format.linuxEntry(Entry(0x4001), at: section) == .table)
        #expect(
            format.linuxEntry(Entry(0x6001_141e), at: section)
                == .page(
                    LinuxPage(
                        frame: PhysicalAddress(0x6000_0000), size: PageSize(log2Bytes: 20),
                        flags: [.read, .write, .global, .hardwareValid])))
        #expect(format.linuxEntry(Entry(0x6000_0000), at: section) == .malformed)
    }
}
