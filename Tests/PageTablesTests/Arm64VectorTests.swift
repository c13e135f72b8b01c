import Testing

@testable import PageTables

private let pte = Level(0)

/// Entries of 64-bit Arm with what the manual says of them.
@Suite("arm64 entries")
struct Arm64VectorTests {
    let format = Arm64<Granule4K>()
    let lpa2 = Arm64<Granule4K>(wideAddresses: true)

    @Test func `a page has its rights, flags, memory type and address`() {
        let entry = Entry(0x0068_0000_1234_5fc3)
        #expect(format.shape(of: entry, at: pte) == .leaf)
        let attributes = format.attributes(of: entry, at: pte)
        #expect(attributes.rights == [.supervisorRead, .userRead])
        #expect(attributes.flags == [.accessed])
        #expect(attributes.memoryTypeIndex == 0)
        #expect(format.memoryType(0) == .writeBack)
        #expect(format.physical(of: entry, at: pte, for: VirtualAddress(0xabc)).rawValue == 0x1234_5abc)
    }

    @Test func `a page with DBM is writable if the processor manages the dirty state`() {
        let clean = Entry(0x0068_0000_1234_5fc3)
        let managed = Arm64<Granule4K>(hardwareDirty: true).attributes(of: clean, at: pte)
        #expect(managed.rights == [.supervisorRead, .supervisorWrite, .userRead, .userWrite])
        #expect(managed.flags == [.accessed])
    }

    @Test func `a page with DBM is dirty once it is writable`() {
        let dirty = format.attributes(of: Entry(0x0068_0000_1234_5f43), at: pte)
        #expect(dirty.rights == [.supervisorRead, .supervisorWrite, .userRead, .userWrite])
        #expect(dirty.flags == [.accessed, .dirty])
    }

    @Test func `bit 55 says that a page was written only where it is known to be software's record`() {
        let readOnly = Entry(0x00e8_0000_1234_5fc3 & ~(1 << 51))
        let ours = Arm64<Granule4K>(softwareDirty: true)
        #expect(format.attributes(of: readOnly, at: pte).flags == [.accessed])
        #expect(ours.attributes(of: readOnly, at: pte).flags == [.accessed, .dirty])
        #expect(ours.attributes(of: readOnly, at: pte).rights == [.supervisorRead, .userRead])
        #expect(
            ours.attributeBits(of: readOnly, at: pte) != ours.attributeBits(of: Entry(0x0060_0000_1234_5fc3), at: pte))
        #expect(
            format.attributeBits(of: readOnly, at: pte)
                == format.attributeBits(of: Entry(0x0060_0000_1234_5fc3), at: pte))
    }

    @Test func `the record of a write goes from DBM to bit 55 with the right to write, and back`() {
        let ours = Arm64<Granule4K>(hardwareDirty: true, softwareDirty: true)
        var decoded = ours.decode(Entry(0x0068_0000_1234_5f43), at: pte)
        decoded.attributes.rights.subtract(.writes)
        let protected = ours.encode(decoded, at: pte)
        #expect(protected.rawValue == 0x00e0_0000_1234_5fc3)
        decoded = ours.decode(protected, at: pte)
        decoded.attributes.rights.formUnion(.writes)
        #expect(ours.encode(decoded, at: pte).rawValue == 0x0068_0000_1234_5f43)
        decoded.attributes.flags.remove(.dirty)
        #expect(ours.encode(decoded, at: pte).rawValue == 0x0068_0000_1234_5fc3)
        decoded.attributes.rights.subtract(.writes)
        #expect(ours.encode(decoded, at: pte).rawValue == 0x0060_0000_1234_5fc3)
    }

    @Test func `the access flag does not decide whether an entry is a leaf`() {
        #expect(format.shape(of: Entry(0x1000_0343), at: pte) == .leaf)
        #expect(format.attributes(of: Entry(0x1000_0343), at: pte).flags == .global)
    }

    @Test func `upper address bits are where the mode has them`() {
        let entry = Entry(0x0060_1234_5678_9fc3)
        func address<F: PageTableFormat>(_ format: F) -> UInt64 {
            format.physical(of: entry, at: pte, for: VirtualAddress(0)).rawValue
        }
        #expect(address(lpa2) == 0xc_1234_5678_9000)
        #expect(address(Arm64<Granule64K>(wideAddresses: true)) == 0x9_1234_5678_0000)
        #expect(address(format) == 0x1234_5678_9000)
    }

    @Test func `LPA2 has two address bits more above bit 47`() {
        let entry = Entry(0x0003_0000_0000_0403)
        #expect(lpa2.physical(of: entry, at: pte, for: VirtualAddress(0)).rawValue == 0x3_0000_0000_0000)
        #expect(format.physical(of: entry, at: pte, for: VirtualAddress(0)).rawValue == 0)
    }

    @Test func `an address above the configured width is malformed`() {
        let narrow = Arm64<Granule4K>(physicalAddressBits: 40)
        for level in 0...3 {
            #expect(narrow.malformation(of: Entry(0x100_0000_0403), at: Level(level)) == .addressTooWide)
        }
        let narrowLPA2 = Arm64<Granule4K>(wideAddresses: true, physicalAddressBits: 50)
        #expect(narrowLPA2.malformation(of: Entry(0x503), at: pte) == .addressTooWide)
        #expect(narrowLPA2.malformation(of: Entry(0x0002_0000_0000_0403), at: pte) == nil)
    }

    @Test func `type 1 is reserved in the leaf table`() {
        #expect(format.malformation(of: Entry(0xa791), at: pte) == .reservedEncoding)
    }

    @Test func `blocks are only at the levels that have them`() {
        func levels<Granule>(_ format: Arm64<Granule>) -> [Int] {
            (1...4).filter { format.shape(of: Entry(0x791), at: Level($0)) == .leaf }
        }
        #expect(levels(Arm64<Granule4K>()) == [1, 2])
        #expect(levels(Arm64<Granule4K>(wideAddresses: true)) == [1, 2, 3])
        #expect(levels(Arm64<Granule16K>()) == [1])
        #expect(levels(Arm64<Granule16K>(wideAddresses: true)) == [1, 2])
        #expect(levels(Arm64<Granule64K>()) == [1])
        #expect(levels(Arm64<Granule64K>(wideAddresses: true)) == [1, 2])
        #expect(format.malformation(of: Entry(0x80_0000_0791), at: Level(3)) == .leafAtIllegalLevel)
    }

    @Test func `a block of 512 GiB needs LPA2`() {
        let entry = Entry(0x80_0000_0791)
        #expect(lpa2.leafSize(of: entry, at: Level(3)).description == "512 GiB")
        #expect(lpa2.physical(of: entry, at: Level(3), for: VirtualAddress(0x12_3456)).rawValue == 0xc_0080_0012_3456)
    }

    @Test(
        arguments: [
            (12, 0, "64 KiB"), (12, 1, "32 MiB"), (12, 2, "16 GiB"), (14, 0, "2 MiB"), (14, 1, "1 GiB"),
            (16, 0, "2 MiB"), (16, 1, "16 GiB"),
        ] as [(Int, Int, String)])
    func `the contiguous bit makes a run of pages of their own addresses`(granule: Int, level: Int, size: String) {
        func check<Granule>(_ format: Arm64<Granule>) {
            let place: UInt64 = 3 << format.shift(Level(level))
            let entry = Entry(1 << 52 | place | (level == 0 ? 0x703 : 0x701))
            #expect(format.leafSize(of: entry, at: Level(level)).description == size)
            #expect(
                format.physical(of: entry, at: Level(level), for: VirtualAddress(place << 4 | 0x123)).rawValue
                    == place | 0x123)
        }
        switch granule {
        case 12: check(Arm64<Granule4K>())
        case 14: check(Arm64<Granule16K>())
        default: check(Arm64<Granule64K>())
        }
    }

    @Test func `address bits below a block's size are not part of it`() {
        let entry = Entry(0x3_c012_3791)
        #expect(format.physical(of: entry, at: Level(2), for: VirtualAddress(0x42)).rawValue == 0x3_c000_0042)
        let decoded = format.decode(entry, at: Level(2))
        #expect(decoded.residue & 0x12_3000 == 0x12_3000)
        #expect(format.encode(decoded, at: Level(2)) == entry)
    }

    @Test func `user code needs no right to read`() {
        let entry = Entry(0x0020_0000_1234_5f83)
        #expect(format.rights(of: entry, at: pte) == [.supervisorRead, .userExecute])
    }

    @Test func `the supervisor never executes what the user can write`() {
        let rights = format.rights(of: Entry(0x1234_6743), at: pte)
        #expect(rights == .all)
        #expect(format.effectiveRights(rights) == .all.subtracting(.supervisorExecute))
        #expect(format.effectiveRights(.supervisor) == .supervisor)
    }

    @Test(
        arguments: [
            (0x1800_0000_1234_5003, 0x1234_6743, [.supervisorRead, .supervisorWrite, .userRead, .userWrite]),
            (0x4000_0000_1234_5003, 0x1234_6743, [.supervisorRead, .supervisorExecute, .userRead, .userExecute]),
            (0x2000_0000_1234_5003, 0x0040_0000_1234_6743, [.supervisorRead, .supervisorWrite, .supervisorExecute]),
        ] as [(UInt64, UInt64, Rights)])
    func `table descriptors take rights away from all below`(table: UInt64, page: UInt64, rights: Rights) {
        let memory: VectorMemory = [0x0: table, 0x1234_5000: page]
        func effective(_ format: Arm64<Granule4K>) -> Rights? {
            // 30 address bits with 4 KiB start at level 1.
            let space = try? AddressSpace.arm64(format, ttbr0: 0, ttbr1: nil, tcr: 34)
            return space.flatMap { memory.page($0, 0) }?.rights
        }
        #expect(effective(format) == rights)
        let alone = format.effectiveRights(format.rights(of: Entry(page), at: pte))
        #expect(effective(Arm64<Granule4K>(hierarchicalRights: false)) == alone)
    }

    @Test func `MAIR names the memory types where it is known`() {
        let known = Arm64<Granule4K>(memoryAttributes: 0x0c08_0400_bb44_f0ff)
        #expect(
            (0..<8).map { known.memoryType($0) } == [
                .writeBack, .tagged, .nonCacheable, .writeThrough, .deviceNGnRnE, .deviceNGnRE, .deviceNGRE, .deviceGRE,
            ])
        let odd = Arm64<Granule4K>(memoryAttributes: 0xf440_0280_a002_ff4f)
        #expect(
            (0..<8).map { odd.memoryType($0) } == [
                .unknown, .writeBack, .unknown, .writeThrough, .unknown, .unknown, .nonCacheable, .unknown,
            ])
        #expect(
            (0..<8).map { format.memoryType($0) } == [
                .writeBack, .writeBack, .nonCacheable, .deviceNGnRnE, .deviceNGnRE, .unknown, .unknown, .unknown,
            ])
    }
}

/// What Linux means by entries of 64-bit Arm.
@Suite("arm64 entries as Linux reads them")
struct Arm64LinuxVectorTests {
    let format = Arm64<Granule4K>()

    func page(_ value: UInt64, _ level: Int = 0) -> LinuxPage? {
        guard case .page(let page) = format.linuxEntry(Entry(value), at: Level(level)) else { return nil }
        return page
    }

    @Test func `a writable page is dirty once hardware may write it`() {
        let clean = page(0x0068_0000_1234_5fc3)
        #expect(clean?.frame == PhysicalAddress(0x1234_5000))
        #expect(clean?.flags == [.read, .write, .user, .young, .hardwareValid])
        #expect(page(0x0068_0000_1234_5f43)?.flags == clean?.flags.union(.dirty))
        #expect(page(0x00e8_0000_1234_5fc3)?.flags == clean?.flags.union(.dirty))
    }

    @Test func `a PROT_NONE page is present and not valid`() {
        let entry = Entry(0x0060_0000_1234_5f82)
        #expect(format.shape(of: entry, at: Level(0)) == .invalid)
        let page = page(entry.rawValue)
        #expect(page?.frame == PhysicalAddress(0x1234_5000))
        #expect(page?.flags == [.protNone, .young])
    }

    @Test func `a large page that is being split is present and not valid`() {
        let page = page(0x0068_0000_1220_0f40, 1)
        #expect(page?.size.description == "2 MiB")
        #expect(page?.flags == [.read, .write, .user, .young, .dirty, .splitting])
    }

    @Test func `an entry that is not present holds a place in swap`() {
        #expect(format.linuxEntry(Entry(0x123_40c0), at: Level(0)) == .swap(LinuxSwap(type: 3, offset: 0x1234)))
        #expect(
            format.linuxEntry(Entry(0xffff_ffff_ffff_f7fc), at: Level(0))
                == .swap(
                    LinuxSwap(type: 31, offset: 0x3_ffff_ffff_ffff, flags: [.exclusive, .userfaultWriteProtect])))
        #expect(format.linuxEntry(Entry(0), at: Level(0)) == .none)
        #expect(format.linuxEntry(Entry(0x1000_0002), at: Level(0)) == .malformed)
    }

    @Test func `Linux keeps special and write-protected pages in software bits`() {
        #expect(
            page(0x0560_0000_1234_5fc3)?.flags == [
                .read, .user, .young, .special, .userfaultWriteProtect, .hardwareValid,
            ])
    }

    @Test func `a page of the kernel is global and never for the user`() {
        #expect(page(0x0068_0000_1234_5703)?.flags == [.read, .write, .young, .dirty, .global, .hardwareValid])
        #expect(page(0x0040_0000_1234_5783)?.flags == [.read, .execute, .young, .global, .hardwareValid])
    }

    @Test func `a page of the kernel needs no DBM to be writable`() {
        #expect(page(0x0060_0000_1234_5703)?.flags == [.read, .write, .young, .global, .hardwareValid])
        #expect(page(0x0060_0000_1234_5f43)?.flags == [.read, .user, .young, .hardwareValid])
    }

    @Test func `a user page can be executable only`() {
        #expect(page(0x0020_0000_1234_5f83)?.flags == [.user, .execute, .young, .hardwareValid])
    }

    @Test func `a contiguous page of Linux has the size of its run`() {
        let page = page(0x0078_0000_1234_5fc3)
        #expect(page?.size.description == "64 KiB")
        #expect(page?.frame == PhysicalAddress(0x1234_5000))
    }

    @Test func `tables and blocks are where hardware has them`() {
        #expect(format.linuxEntry(Entry(0x1003), at: Level(1)) == .table)
        #expect(page(0x2_4000_0701, 2)?.size.description == "1 GiB")
        #expect(format.linuxEntry(Entry(0x701), at: Level(3)) == .malformed)
    }
}
