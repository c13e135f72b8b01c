import Testing

@testable import PageTables

/// Roots of 64-bit Arm, and walks from them.
@Suite("arm64 spaces")
struct Arm64WalkTests {
    /// A TCR_EL1 with one granule and one width of addresses for both halves.
    static func tcr(granule log2Bytes: Int, bits: Int) -> UInt64 {
        let size = UInt64(64 - bits)
        let (lower, upper): (UInt64, UInt64) =
            switch log2Bytes {
            case 12: (0, 2)
            case 14: (2, 1)
            default: (1, 3)
            }
        return size | size << 16 | lower << 14 | upper << 30
    }

    /// One root for both halves.
    func space<Granule>(_ format: Arm64<Granule>, root: UInt64 = 0, bits: Int) throws -> AddressSpace<Arm64<Granule>> {
        try .arm64(
            format, ttbr0: root, ttbr1: root, tcr: Self.tcr(granule: Int(Granule.log2Bytes), bits: bits))
    }

    @Test(
        arguments: [
            (12, 39, 2, 512), (12, 48, 3, 512), (12, 52, 4, 16), (12, 47, 3, 256), (12, 42, 3, 8), (12, 36, 2, 64),
            (14, 52, 3, 32), (14, 48, 3, 2), (14, 47, 2, 2048), (14, 42, 2, 64), (14, 39, 2, 8), (14, 36, 1, 2048),
            (16, 52, 2, 1024), (16, 48, 2, 64), (16, 47, 2, 32), (16, 42, 1, 8192), (16, 39, 1, 1024), (16, 36, 1, 128),
        ] as [(Int, Int, Int, Int)])
    func `the width of addresses decides the top level and its table`(
        granule: Int, bits: Int, level: Int, entries: Int
    ) throws {
        func check<Granule>(_ format: Arm64<Granule>) throws {
            let space = try space(format, bits: bits)
            let (lower, upper) = (try #require(space.lower), try #require(space.upper))
            #expect(lower.topLevel == Level(level) && upper.topLevel == Level(level))
            #expect(lower.limits == IndexLimits(first: 0, last: entries - 1) && upper.limits == lower.limits)
            #expect(lower.range == VirtualRange(first: VirtualAddress(0), last: VirtualAddress((1 << bits) - 1)))
            #expect(upper.range == VirtualRange(first: VirtualAddress(.max << bits), last: VirtualAddress(.max)))
        }
        switch granule {
        case 12: try check(Arm64<Granule4K>(wideAddresses: bits > 48))
        case 14: try check(Arm64<Granule16K>(wideAddresses: bits > 48))
        default: try check(Arm64<Granule64K>())
        }
    }

    @Test func `the two granule fields have different codes`() {
        let control = Arm64TranslationControl(1 << 14 | 1 << 30)
        #expect(control.lower.log2GranuleBytes == 16)
        #expect(control.upper.log2GranuleBytes == 14)
    }

    @Test func `a half of another granule needs another space`() throws {
        let tcr: UInt64 = 16 | 16 << 16 | 1 << 14 | 1 << 30
        let format = Arm64<Granule64K>()
        #expect(try AddressSpace.arm64(format, ttbr0: 0x1_0000, ttbr1: nil, tcr: tcr).lower != nil)
        #expect(throws: RootError.wrongGranule(field: .tg1, found: 14, expected: 16)) {
            try AddressSpace.arm64(format, ttbr0: 0x1_0000, ttbr1: 0x2_0000, tcr: tcr)
        }
    }

    @Test(arguments: [0, 11, 12, 15, 49, 63])
    func `addresses of a width that does not exist are an error`(size: Int) {
        #expect(throws: RootError.addressSizeOutOfRange(field: .t0sz, value: size)) {
            try AddressSpace.arm64(Arm64<Granule4K>(), ttbr0: 0, ttbr1: nil, tcr: UInt64(size))
        }
        #expect(throws: RootError.addressSizeOutOfRange(field: .t1sz, value: size)) {
            try AddressSpace.arm64(Arm64<Granule4K>(), ttbr0: nil, ttbr1: 0, tcr: UInt64(size) << 16 | 2 << 30)
        }
    }

    @Test func `a disabled half has no tree`() throws {
        let tcr = Self.tcr(granule: 12, bits: 48)
        let format = Arm64<Granule4K>()
        let lowerOff = try AddressSpace.arm64(format, ttbr0: 0, ttbr1: 0, tcr: tcr | 1 << 7)
        #expect(lowerOff.lower == nil && lowerOff.upper != nil)
        let upperOff = try AddressSpace.arm64(format, ttbr0: 0, ttbr1: 0, tcr: tcr | 1 << 23)
        #expect(upperOff.lower != nil && upperOff.upper == nil)
    }

    @Test func `ASID and CnP are no part of the root`() throws {
        let space = try space(Arm64<Granule4K>(), root: 0x1234_0000_4123_4001, bits: 48)
        #expect(space.lower?.table == PhysicalAddress(0x4123_4000))
    }

    @Test func `a root of 52 bits has its upper bits below`() throws {
        let space = try space(Arm64<Granule64K>(wideAddresses: true), root: 0x0000_1234_5678_0024, bits: 48)
        #expect(space.upper?.table == PhysicalAddress(0x9_1234_5678_0000))
    }

    @Test func `a root beyond physical memory is an error`() {
        #expect(throws: RootError.addressTooWide(field: .ttbr0, address: PhysicalAddress(0x100_0000_0000))) {
            try AddressSpace.arm64(
                Arm64<Granule4K>(physicalAddressBits: 40), ttbr0: 0x100_0000_0000, ttbr1: nil, tcr: 16)
        }
    }

    @Test func `TCR configures a format`() {
        let lpa2 = Arm64<Granule4K>(tcr: 1 << 59 | 6 << 32 | 3 << 39)
        #expect(lpa2.wideAddresses && lpa2.physicalAddressBits == 52 && lpa2.hardwareDirty && lpa2.hierarchicalRights)
        let narrow = Arm64<Granule4K>(tcr: 6 << 32 | 1 << 40 | 1 << 41)
        #expect(!narrow.wideAddresses && narrow.physicalAddressBits == 48 && !narrow.hardwareDirty)
        #expect(narrow.hierarchicalRights)
        let flat = Arm64<Granule64K>(tcr: 6 << 32 | 3 << 41)
        #expect(flat.wideAddresses && flat.physicalAddressBits == 52 && !flat.hierarchicalRights)
        let small = Arm64<Granule64K>(tcr: 2 << 32)
        #expect(!small.wideAddresses && small.physicalAddressBits == 40)
    }

    // MARK: Walks

    static let memory4K: VectorMemory = [
        0x0: 0x1003, 0x8: 0x5003, 0x120: 0xf003, 0x1000: 0x2003, 0x1010: 0x3_c000_0791, 0x2000: 0x3003,
        0x2008: 0x4003, 0x2010: 0xe0_0791, 0x3000: 0xa793, 0x3008: 0xb793, 0x4800: 0xc793, 0x5010: 0x6003,
        0x6018: 0x7003, 0x7020: 0xd793, 0xf688: 0x1234_4000_0791,
    ]

    @Test(
        arguments: [
            (0x123, 0xa123), (0x1234, 0xb234), (0x30_089a, 0xc89a), (0x80_8060_489a, 0xd89a),
            (0x52_3456, 0xf2_3456), (0xa123_4567, 0x3_e123_4567), (0xffff_1234_5678_9abc, 0x1234_5678_9abc),
        ] as [(UInt64, UInt64)])
    func `4 KiB pages and 48-bit addresses`(address: UInt64, physical: UInt64) throws {
        #expect(Self.memory4K.walk(try space(Arm64<Granule4K>(), bits: 48), address) == physical)
    }

    @Test(
        arguments: [
            (0x123, 0xc_0000_0000_a123), (0x1234, 0xc_0000_0000_b234), (0x80_8060_489a, 0xc_0000_0000_d89a),
            (0x52_3456, 0xc_0000_00f2_3456), (0xa123_4567, 0xc_0003_e123_4567),
            (0xffff_1234_5678_9abc, 0xc_1234_5678_9abc), (0x123_4567_89ab, 0xc_0623_4567_89ab),
        ] as [(UInt64, UInt64)])
    func `4 KiB pages and 48-bit addresses with LPA2`(address: UInt64, physical: UInt64) throws {
        var memory = Self.memory4K
        memory.entries[0x10] = 0x600_0000_0791
        #expect(memory.walk(try space(Arm64<Granule4K>(wideAddresses: true), bits: 48), address) == physical)
    }

    @Test(arguments: [0x123, 0x1234, 0x52_3456, 0xa123_4567, 0x80_8060_489a, 0x100_8060_489a] as [UInt64])
    func `a walk stops at what is not a descriptor`(address: UInt64) throws {
        var memory = Self.memory4K
        let spoiled: [UInt64: UInt64] = [
            0x8: 0x5000, 0x10: 0x100_0000_0001, 0x1010: 0x3_c000_0790, 0x2010: 0xe0_0790, 0x3000: 0xa792,
            0x3008: 0xb791,
        ]
        memory.entries.merge(spoiled) { _, new in new }
        guard case .stopped = memory.outcome(try space(Arm64<Granule4K>(), bits: 48), address) else {
            Issue.record("the walk did not stop")
            return
        }
    }

    @Test func `addresses that are not canonical have no tree`() throws {
        let space = try space(Arm64<Granule4K>(), bits: 48)
        #expect(Self.memory4K.outcome(space, 0x1_0000_0000_0123) == .outside)
        #expect(Self.memory4K.outcome(space, 0xfffe_1234_5678_9abc) == .outside)
        #expect(Self.memory4K.outcome(space, 0xab00_0000_0000_0123) == .outside)
    }

    @Test func `4 KiB pages and 52-bit addresses with LPA2`() throws {
        let memory: VectorMemory = [
            0x78: 0x1003, 0x1000: 0x2003, 0x2000: 0x3003, 0x3000: 0x4003, 0x4000: 0x0060_1234_5678_9fc3,
        ]
        let space = try space(Arm64<Granule4K>(wideAddresses: true), bits: 52)
        #expect(memory.walk(space, 0xffff_0000_0000_0abc) == 0xc_1234_5678_9abc)
    }

    @Test func `64 KiB pages and 52-bit addresses, and the same tables for 48 bits`() throws {
        let memory: VectorMemory = [
            0x1e00: 0x1_0003, 0x1_0000: 0x2_0003, 0x2_0000: 0x0060_1234_5678_9fc3,
        ]
        let format = Arm64<Granule64K>(wideAddresses: true)
        #expect(memory.walk(try space(format, bits: 52), 0xffff_0000_0000_0abc) == 0x9_1234_5678_0abc)
        // Linux enters the table of a 52-bit space in the middle if the processor has no more than 48.
        #expect(memory.walk(try space(format, root: 0x1e00, bits: 48), 0xffff_0000_0000_0abc) == 0x9_1234_5678_0abc)
    }

    @Test func `16 KiB pages and a top table of two entries`() throws {
        let memory: VectorMemory = [0x8: 0x4003, 0x4000: 0x8003, 0x8000: 0xe00_0791]
        #expect(memory.walk(try space(Arm64<Granule16K>(), bits: 48), 0xffff_8000_0012_3456) == 0xe12_3456)
    }

    @Test(
        arguments: [
            (0x123, 0x2_8123), (0x4123, 0x2_c123), (0x300_0567, 0x3_0567), (0x8020_0601_089a, 0x3_489a),
            (0x412_3456, 0xe12_3456), (0xffff_1234_5678_9abc, 0x1234_5678_9abc),
        ] as [(UInt64, UInt64)])
    func `16 KiB pages and 48-bit addresses`(address: UInt64, physical: UInt64) throws {
        let memory: VectorMemory = [
            0x0: 0x4003, 0x8: 0x1_4003, 0x4000: 0x8003, 0x4918: 0x3_c003, 0x8000: 0xc003, 0x8008: 0x1_0003,
            0x8010: 0xe00_0791, 0xc000: 0x2_8793, 0xc008: 0x2_c793, 0x1_2000: 0x3_0793, 0x1_4010: 0x1_8003,
            0x1_8018: 0x3_8003, 0x3_8020: 0x3_4793, 0x3_d158: 0x1234_5600_0791,
        ]
        #expect(memory.walk(try space(Arm64<Granule16K>(), bits: 48), address) == physical)
    }

    static let memory64K: VectorMemory = [
        0x0: 0x2_0003, 0x8: 0xd_0003, 0x20: 0xf_0003, 0x2_0000: 0x3_0003, 0x2_0008: 0x4_0003,
        0x2_0010: 0xe000_0791, 0x3_0000: 0xa_0793, 0x3_0008: 0xb_0793, 0x4_8000: 0xc_0793, 0xd_0010: 0xe_0003,
        0xe_0018: 0xd_0793, 0xf_8d10: 0x1234_4000_0791,
    ]

    @Test(
        arguments: [
            (0x123, 0xa_0123), (0x1_2345, 0xb_2345), (0x3000_0567, 0xc_0567), (0x400_4003_89ab, 0xd_89ab),
            (0x4123_4567, 0xe123_4567), (0xffff_1234_5678_9abc, 0x1234_5678_9abc),
        ] as [(UInt64, UInt64)])
    func `64 KiB pages and 48-bit addresses`(address: UInt64, physical: UInt64) throws {
        #expect(Self.memory64K.walk(try space(Arm64<Granule64K>(), bits: 48), address) == physical)
    }

    @Test(
        arguments: [
            (0x1_2345, 0x9_0000_000b_2345), (0x4123_4567, 0x9_0000_e123_4567),
            (0x812_3456_789a, 0x9_0c12_3456_789a),
        ] as [(UInt64, UInt64)])
    func `64 KiB pages with LPA`(address: UInt64, physical: UInt64) throws {
        var memory = Self.memory64K
        memory.entries[0x10] = 0xc00_0000_9791
        memory.entries[0x3_0008] = 0xb_9793
        // The address of a table has its upper bits in the same place.
        memory.entries[0x2_0000] = 0x3_9003
        memory.entries[0x9_0000_0003_0008] = 0xb_9793
        memory.entries[0x2_0010] = 0xe000_9791
        #expect(memory.walk(try space(Arm64<Granule64K>(wideAddresses: true), bits: 48), address) == physical)
    }
}
