import PageTableWalk
import PageTables
import SeededRandom
import Testing

/// After a fork most pages of a child are "old" on s390x: Linux has them present, and the MMU does not.
@Suite("Of an s390x process, hardware and Linux see")
struct TwoViewTests {
    /// A segment table with a page table, an old large page, a valid one, one without access, and one in swap.
    private func built() throws -> HandBuiltSpace<S390x> {
        let built = HandBuiltSpace(try AddressSpace.s390x(asce: 0x1_0000 | 3))
        try built.point(0x1_0000, 0, to: 0x2_0000, at: Level(1))
        // Linux's bits of a page: present 1, soft-dirty 2, young 4, dirty 8, read 10, write 20; invalid 400,
        // protected 200, no-execute 100.
        built.put(Entry(0x70_0000 | 0x13d), 0x2_0000, 0)
        built.put(Entry(0x70_1000 | 0x611 | 0x100), 0x2_0000, 1)
        built.put(Entry(0x70_2000 | 0x611 | 0x100), 0x2_0000, 2)
        built.put(Entry(0x70_3000 | 0x601 | 0x100), 0x2_0000, 3)
        built.put(Entry(5 << 12 | 3 << 2 | 0x600), 0x2_0000, 4)
        // Linux's bits of a large page: present 1, young 1000, dirty 2000, read 4000, write 8000; format control 400,
        // invalid 20.
        built.put(Entry(0x80_0000 | 0x4000 | 0x100 | 0x421 | 0x200), 0x1_0000, 8)
        built.put(Entry(0x90_0000 | 0xf000 | 0x100 | 0x401), 0x1_0000, 9)
        built.put(Entry(0xa0_0000 | 0x100 | 0x421 | 0x200), 0x1_0000, 10)
        return built
    }

    private let pages: [(address: UInt64, physical: UInt64, hardware: Bool, readable: Bool)] = [
        (0x0abc, 0x70_0abc, true, true),
        (0x1abc, 0x70_1abc, false, true),
        (0x2fff, 0x70_2fff, false, true),
        (0x3000, 0x70_3000, false, false),
        (0x80_1234, 0x80_1234, false, true),
        (0x90_1234, 0x90_1234, true, true),
        (0xaf_ffff, 0xaf_ffff, false, false),
    ]

    @Test func `different pages, and each view answers for itself`() throws {
        let built = try built()
        let (hardware, linux) = (built.space, built.space.linuxView)
        for page in pages {
            let address = VirtualAddress(page.address)
            switch try hardware.translate(address, in: built.memory) {
            case .mapped(let mapping):
                #expect(page.hardware, "\(address)")
                #expect(mapping.physical.rawValue == page.physical)
            case .unmapped(let fault):
                #expect(!page.hardware, "\(address)")
                #expect(fault.reason == .notPresent)
            }
            guard case .mapped(let mapping) = try linux.translate(address, in: built.memory) else {
                Issue.record("Linux has a page at \(address)")
                continue
            }
            #expect(mapping.physical.rawValue == page.physical)
            #expect(mapping.rights.contains(.supervisorRead) == page.readable, "\(address)")
            #expect(!mapping.rights.contains(.supervisorExecute))
        }
    }

    @Test func `no page in a swap entry and none in an empty one`() throws {
        let built = try built()
        for address in [0x4000, 0x5000, 0xb0_0000] as [UInt64] {
            for answer in [
                try built.space.translate(VirtualAddress(address), in: built.memory),
                try built.space.linuxView.translate(VirtualAddress(address), in: built.memory),
            ] {
                guard case .unmapped(let fault) = answer else {
                    Issue.record("\(hexadecimal(address)) is mapped")
                    continue
                }
                #expect(fault.reason == .notPresent)
            }
        }
    }

    @Test func `different ranges`() throws {
        let built = try built()
        #expect(
            try built.survey().summary == [
                summary(0, 0x1000, 0x70_0000), summary(0x90_0000, 0x10_0000, 0x90_0000),
            ])
        let linux = try built.space.linuxView.survey(in: built.memory)
        #expect(
            linux.summary == [
                summary(0, 0x1000, 0x70_0000), summary(0x1000, 0x2000, 0x70_1000), summary(0x3000, 0x1000, 0x70_3000),
                summary(0x80_0000, 0x10_0000, 0x80_0000), summary(0x90_0000, 0x10_0000, 0x90_0000),
                summary(0xa0_0000, 0x10_0000, 0xa0_0000),
            ])
        #expect(
            linux.ranges.map(\.attributes.rights) == [
                .kernelData, .supervisorRead, [], .supervisorRead, .kernelData, [],
            ])
        #expect(
            linux.ranges.map(\.attributes.flags) == [[.accessed, .dirty], [], [], [], [.accessed, .dirty], []])
        #expect(linux.ranges.map(\.pageSize.log2Bytes) == [12, 12, 12, 20, 20, 20])
    }

    @Test func `the same tables, read once by each`() throws {
        let built = try built()
        let hardware = try built.survey()
        #expect(built.memory.loads.values.allSatisfy { $0 == 1 })
        let linux = try built.space.linuxView.survey(in: built.memory)
        #expect(built.memory.loads.values.allSatisfy { $0 == 2 })
        #expect(hardware.tables.map(\.address) == linux.tables.map(\.address))
        #expect(hardware.tables.map(\.leaves) == [1, 1])
        #expect(linux.tables.map(\.leaves) == [3, 4])
        #expect(hardware.oddities.isEmpty && linux.oddities.isEmpty)
    }
}

@Suite("Linux's view of random spaces")
struct LinuxViewProperties {
    /// Pages that hardware maps are pages to Linux, at the same place.
    private func check<F: LinuxPageTableFormat>(
        _ name: String, _ makeSpace: ([UInt64]) throws -> AddressSpace<F>
    ) throws {
        let built = try BuiltSpace(name, makeSpace: makeSpace)
        let linux = built.space.linuxView
        let survey = try linux.survey(in: built.memory)
        #expect(survey.oddities.isEmpty)
        for page in built.pages {
            for address in [page.first, page.first + page.lastOffset / 3, page.last] {
                let place = "\(name) \(hexadecimal(address)); \(SeededRandom.replay("LinuxViewProperties"))"
                guard case .mapped(let mapping) = try linux.translate(VirtualAddress(address), in: built.memory),
                    let range = survey.range(mapping: VirtualAddress(address))
                else {
                    Issue.record("nothing at \(place)")
                    continue
                }
                #expect(mapping.physical.rawValue == page.physical + (address - page.first), "\(place)")
                #expect(
                    range.physical.rawValue + (address - range.first.rawValue) == mapping.physical.rawValue, "\(place)")
                #expect(range.pageSize == page.size, "\(place)")
            }
        }
        let mapped = built.pages.reduce(0) { $0 &+ $1.lastOffset &+ 1 }
        #expect(survey.ranges.reduce(0) { $0 &+ $1.byteCount } == mapped, "\(name)")
    }

    @Test func `has every page that hardware maps, at the same place`() throws {
        try check("s390x") { try .s390x(asce: $0[0] | 3 << 2 | 3) }
        try check("x86-64") { .x86LongMode(X86_64(), cr3: $0[0]) }
        try check("riscv") { try .riscv(RISCVSv48(), satp: 9 << 60 | $0[0] >> 12) }
        try check("arm64") {
            try .arm64(Arm64<Granule4K>(), ttbr0: $0[0], ttbr1: $0[1], tcr: 2 << 30 | 16 << 16 | 16)
        }
    }
}
