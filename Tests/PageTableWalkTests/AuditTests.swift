import PageTables
import SeededRandom
import Testing

@testable import PageTableWalk

@Suite("An audit")
struct AuditTests {
    typealias X86 = HandBuiltSpace<X86_64>

    private let kernel = range(0xffff_8000_0000_0000, .max)

    private func audit(_ built: X86) throws -> [AuditFinding] {
        try built.survey().audit(of: built.space.format, kernel: kernel)
    }

    /// Code and data of the kernel, code and data of the user, each in its half.
    private func clean() throws -> X86 {
        let built = try X86.x86WithPath()
        try built.map(
            0x4000, 0, 0x70_0000,
            EntryAttributes(rights: [.supervisorRead, .userRead, .supervisorExecute, .userExecute]))
        try built.map(0x4000, 1, 0x70_1000, .userData)
        try built.point(X86.root, 256, to: 0x5000, at: Level(3))
        try built.map(0x5000, 0, 0, at: Level(2), .kernelData)
        try built.map(0x5000, 1, 0x4000_0000, at: Level(2), .kernelCode)
        return built
    }

    @Test func `of a clean space finds nothing`() throws {
        #expect(try audit(try clean()) == [])
    }

    @Test func `finds what can be written and executed, by the kernel or by the user`() throws {
        let built = try clean()
        try built.map(0x4000, 8, 0x71_0000, EntryAttributes(rights: .all))
        try built.map(0x5000, 2, 0x8000_0000, at: Level(2), .kernelDataAndCode)
        let ranges = try built.survey().ranges
        #expect(
            try audit(built) == [
                .writableAndExecutable(ranges[2]), .writableAndExecutable(try #require(ranges.last)),
            ])
        #expect(ranges[2].summary == summary(0x8000, 0x1000, 0x71_0000))
    }

    @Test func `goes by the rights of the whole path`() throws {
        let built = try clean()
        try built.point(0x3000, 1, to: 0x6000, at: Level(1), rights: .all.subtracting(.executes))
        try built.map(0x6000, 0, 0x71_0000, EntryAttributes(rights: .all))
        #expect(try audit(built) == [])
    }

    @Test func `does not call writable and executable what a format cannot keep from execution`() throws {
        let built = HandBuiltSpace(.x86TwoLevel(X86TwoLevel(), cr3: 0x1000))
        try built.map(0x1000, 1, 0x40_0000, at: Level(1))
        #expect(try built.survey().audit(of: built.space.format, kernel: nil) == [])
    }

    @Test func `finds what the user can use of the kernel's addresses`() throws {
        let built = try clean()
        try built.map(
            0x5000, 3, 0xc000_0000, at: Level(2), EntryAttributes(rights: [.supervisorRead, .userRead]))
        let range = try #require(try built.survey().ranges.last)
        #expect(try audit(built) == [.userAccessibleKernel(range)])
        #expect(try built.survey().audit(of: built.space.format, kernel: nil) == [])

        // Only the part that is the kernel's.
        let part = VirtualRange(first: VirtualAddress(range.first.rawValue + 0x1000), last: VirtualAddress(.max))
        guard
            case .userAccessibleKernel(let found) = try built.survey().audit(of: built.space.format, kernel: part).first
        else {
            Issue.record("nothing is found")
            return
        }
        #expect(found.summary == summary(range.first.rawValue + 0x1000, 1 << 30 - 0x1000, 0xc000_1000))
    }

    @Test func `does not speak of users where a format knows none`() throws {
        let built = HandBuiltSpace(try AddressSpace.s390x(asce: 0x1_0000 | 1 << 2 | 3))
        try built.map(0x1_0000, 0, 0, at: Level(2), .kernelData)
        #expect(try built.survey().audit(of: built.space.format, kernel: .all) == [])
    }

    @Test func `finds tables that the user can write`() throws {
        let built = try clean()
        try built.map(0x4000, 2, 0x3000, .userData)
        let range = try built.survey().ranges[2]
        #expect(try audit(built) == [.writablePageTables(range, tables: [PhysicalAddress(0x3000)], count: 1)])

        // All of them, through a large page that starts below them.
        try built.map(0x4000, 2, 0x72_0000, .kernelData)
        try built.map(0x3000, 1, 0, at: Level(1), .userData)
        let large = try #require(try built.survey().range(mapping: VirtualAddress(0x20_0000)))
        #expect(
            try audit(built) == [
                .writablePageTables(
                    large, tables: [0x1000, 0x2000, 0x3000, 0x4000, 0x5000].map { PhysicalAddress($0) }, count: 5)
            ])
    }

    @Test func `does not mind tables that the user can only read, or the kernel write`() throws {
        let built = try clean()
        try built.map(0x4000, 2, 0x3000, EntryAttributes(rights: [.supervisorRead, .userRead]))
        try built.map(0x4000, 3, 0x3000, .kernelData)
        #expect(try audit(built) == [])
    }

    @Test func `lists only some of many tables and tells their number`() throws {
        let built = try clean()
        for index in 2..<42 { try built.point(0x3000, index, to: 0x10_0000 + UInt64(index) << 12, at: Level(1)) }
        try built.map(0x3000, 1, 0, at: Level(1), .userData)
        guard case .writablePageTables(_, let tables, let count) = try audit(built).first else {
            Issue.record("nothing is found")
            return
        }
        #expect(count == 45)
        #expect(tables.count == Survey.listedTables)
    }

    @Test func `lists a table that is read at two levels once`() throws {
        let built = try clean()
        // A leaf table that is a directory as well: its leaves are no pages there.
        try built.point(0x3000, 1, to: 0x6000, at: Level(1))
        try built.point(0x2000, 1, to: 0x6000, at: Level(2))
        try built.map(0x4000, 2, 0x6000, .userData)
        let range = try built.survey().ranges[2]
        #expect(try audit(built) == [.writablePageTables(range, tables: [PhysicalAddress(0x6000)], count: 1)])
    }

    @Test func `finds the same memory mapped with two memory types`() throws {
        let built = try clean()
        // The user's page as the kernel's large page has it is one type; uncached is another.
        try built.map(
            0x4000, 1, 0x70_1000,
            EntryAttributes(rights: [.supervisorRead, .supervisorWrite, .userRead, .userWrite], memoryTypeIndex: 3))
        let ranges = try built.survey().ranges
        let place = PhysicalRange(first: PhysicalAddress(0x70_1000), last: PhysicalAddress(0x70_1fff))
        #expect(try audit(built) == [.conflictingMemoryTypes(place, ranges[2], ranges[1])])
    }

    @Test func `does not mind two numbers of one memory type`() throws {
        let built = try clean()
        // Linux's PAT has write-back in slots 0 and 4.
        #expect(built.space.format.memoryType(0) == built.space.format.memoryType(4))
        try built.map(
            0x4000, 1, 0x70_1000,
            EntryAttributes(rights: [.supervisorRead, .supervisorWrite, .userRead, .userWrite], memoryTypeIndex: 4))
        #expect(try audit(built) == [])
    }

    @Test func `finds just the memory that is mapped with two types, each stretch once`() throws {
        let format = X86_64()
        var random = SeededRandom(for: "memory types")
        for _ in 0..<300 {
            // Mappings of a memory of 64 bytes, so that they meet in every way.
            let ranges = (0..<Int.random(in: 1...7, using: &random)).map { number in
                let first = random.next() & 63
                return MappedRange(
                    first: VirtualAddress(UInt64(number) << 12), physical: PhysicalAddress(first),
                    lastOffset: random.next() & 31 & (63 - first),
                    attributes: EntryAttributes(
                        rights: .kernelData, memoryTypeIndex: UInt8.random(in: 0...3, using: &random)),
                    pageSize: PageSize(log2Bytes: 12), level: 0)
            }
            var survey = Survey()
            survey.ranges = ranges
            func types(at byte: UInt64) -> Set<MemoryType> {
                Set(
                    ranges.filter { $0.physicalRange.contains(PhysicalAddress(byte)) }
                        .map { format.memoryType($0.attributes.memoryTypeIndex) })
            }
            var told: [UInt64] = []
            for case .conflictingMemoryTypes(let place, let one, let other) in survey.audit(of: format, kernel: nil) {
                #expect(one.physicalRange.intersection(place) == place)
                #expect(other.physicalRange.intersection(place) == place)
                #expect(
                    format.memoryType(one.attributes.memoryTypeIndex)
                        != format.memoryType(other.attributes.memoryTypeIndex))
                told += place.first.rawValue...place.last.rawValue
            }
            let expected = (0..<128).filter { types(at: $0).count > 1 }
            #expect(told == expected, "\(SeededRandom.replay("AuditTests")): \(ranges.map(\.summary))")
        }
    }

    @Test func `finds conflicts up to the last byte of memory`() {
        func mapping(_ first: UInt64, _ type: UInt8) -> MappedRange {
            MappedRange(
                first: VirtualAddress(UInt64(type) << 40), physical: PhysicalAddress(first), lastOffset: .max - first,
                attributes: EntryAttributes(rights: .kernelData, memoryTypeIndex: type),
                pageSize: PageSize(log2Bytes: 12), level: 0)
        }
        var survey = Survey()
        survey.ranges = [mapping(.max - 0x1fff, 0), mapping(.max - 0xfff, 3), mapping(.max - 0xff, 1)]
        let place = PhysicalRange(first: PhysicalAddress(.max - 0xfff), last: PhysicalAddress(.max))
        #expect(
            survey.audit(of: X86_64(), kernel: nil)
                == [.conflictingMemoryTypes(place, survey.ranges[0], survey.ranges[1])])
    }

    @Test func `passes on what was odd: malformed entries, tables outside memory, loops`() throws {
        let built = try clean()
        built.put(Entry(0x81), X86.root, 7)
        try built.point(0x3000, 8, to: 0x6000, at: Level(1))
        built.memory.remove(0x6000, bytes: 4096)
        try built.point(0x5000, 9, to: X86.root, at: Level(2))
        let findings = try audit(built)
        let oddities = try built.survey().oddities
        #expect(findings == oddities.map(AuditFinding.oddity))
        #expect(
            oddities.map(\.kind) == [
                .absent(entries: 512), .malformed(Entry(0x81), .leafAtIllegalLevel),
                .loop(to: PhysicalAddress(X86.root)),
            ])
    }
}
