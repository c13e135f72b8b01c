import PageTables
import Reports
import TableMemory
import Testing

@testable import VirtualMemory

/// Two spaces that show a file, and one of them an anonymous region.
private struct TwoSpaces {
    let machine: HostMachine<MemoryStore>

    static func range(_ start: UInt64, _ pages: UInt64 = 4) -> VirtualRange {
        VirtualRange(first: VirtualAddress(start), last: VirtualAddress(start + (pages << 12 - 1)))
    }
    static let shared = range(0x10_0000)
    static let `private` = range(0x20_0000)
    static let anonymous = range(0x30_0000)

    init() throws {
        machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 4 * 4096)))
        let attributes = X86_64().attributes([.read, .write])
        for (space, range, content) in [
            (0, Self.shared, Region.Content.file(FileView(machine.file, .shared))),
            (0, Self.private, .file(FileView(machine.file, .private))), (0, Self.anonymous, .anonymous),
            (1, Self.shared, .file(FileView(machine.file, offset: 4096, .shared))),
        ] {
            try machine.spaces[space].add(Region(range, content, attributes), in: machine.memory)
        }
        // Page 0 is written; page 1 is read three times; page 2 is copied and read.
        try touch(0, Self.shared, 0, .write)
        try touch(0, Self.shared, 1, .read)
        try touch(1, Self.shared, 0, .read)
        try touch(0, Self.private, 1, .read)
        try touch(0, Self.private, 2, .write)
        try touch(1, Self.shared, 1, .read)
        try touch(0, Self.anonymous, 3, .write)
    }

    private func touch(_ space: Int, _ range: VirtualRange, _ page: UInt64, _ access: PageAccess) throws {
        let address = VirtualAddress(range.first.rawValue + page << 12)
        _ = try machine.touch(address, for: access, in: machine.spaces[space]).get()
    }

    func summaries(_ space: Int) -> [RegionSummary] { machine.spaces[space].regionSummaries(in: machine.memory) }

    /// The flags of the records of a range; `nil` for holes.
    func records(_ range: VirtualRange) -> [(isFile: Bool, isExclusive: Bool)?] {
        var records: [PageRecord] = []
        machine.spaces[0].readPageRecords(of: range, in: machine.memory, into: &records)
        return records.map { $0.isPresent ? ($0.isFile, $0.isExclusive) : nil }
    }
}

@Suite("What is told of regions and their pages")
struct RegionSummaryTests {
    @Test func `counts frames by whose they are and who else maps them`() throws {
        let two = try TwoSpaces()
        let (shared, copies, anonymous) = (two.summaries(0)[0], two.summaries(0)[1], two.summaries(0)[2])
        #expect(
            [shared, copies, anonymous].map(\.region.range) == [
                TwoSpaces.shared, TwoSpaces.private, TwoSpaces.anonymous,
            ])
        let third: UInt64 = 4096 * 4096 / 3
        var use = FrameUse()
        use.residentBytes = 8192
        use.share = 4096 * 4096 + third
        use.dirtyShare = 4096 * 4096
        use.sharedCleanBytes = 4096
        use.privateDirtyBytes = 4096
        #expect(shared.summary.frames == use)
        #expect(shared.summary.frames?.fileBytes == 8192)

        use = FrameUse()
        use.residentBytes = 8192
        use.share = 4096 * 4096 + third
        use.sharedCleanBytes = 4096
        use.privateCleanBytes = 4096
        use.anonymousBytes = 4096
        #expect(copies.summary.frames == use)
        #expect(anonymous.summary.frames?.anonymousBytes == 4096)

        // Shares add up to what there is.
        let all = (two.summaries(0) + two.summaries(1)).compactMap(\.summary.frames).reduce(0) { $0 + $1.share }
        let frames: UInt64 = 3 + 2
        #expect(frames << 24 - all < 8, "\(all) of \(frames) pages")
        #expect(try two.machine.lostFrames() == 0)
    }

    @Test func `is printed as Linux prints it`() throws {
        let two = try TwoSpaces()
        var buffer = ReportBuffer()
        let report = RegionReport(of: X86_64())
        for region in two.summaries(0).dropLast() { report.appendText(region, to: &buffer) }
        let file = two.machine.file.number
        let common = "KernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
        #expect(
            String(decoding: buffer.bytes, as: UTF8.self)
                == "00100000-00104000 rw-s 00000000 00:00 \(file) \nSize:                 16 kB\n" + common
                + "Rss:                   8 kB\nPss:                   5 kB\nPss_Dirty:             4 kB\n"
                + "Shared_Clean:          4 kB\nShared_Dirty:          0 kB\nPrivate_Clean:         0 kB\n"
                + "Private_Dirty:         4 kB\nReferenced:            0 kB\nAnonymous:             0 kB\n"
                + "AnonHugePages:         0 kB\nLeaves4kB:             8 kB\n"
                + "00200000-00204000 rw-p 00000000 00:00 \(file) \nSize:                 16 kB\n" + common
                + "Rss:                   8 kB\nPss:                   5 kB\nPss_Dirty:             0 kB\n"
                + "Shared_Clean:          4 kB\nShared_Dirty:          0 kB\nPrivate_Clean:         4 kB\n"
                + "Private_Dirty:         0 kB\nReferenced:            0 kB\nAnonymous:             4 kB\n"
                + "AnonHugePages:         0 kB\nLeaves4kB:             8 kB\n")

        buffer.removeAll()
        for region in two.summaries(1) { report.appendJSON(region, to: &buffer) }
        #expect(
            String(decoding: buffer.bytes, as: UTF8.self) == """
                {"start":"0x100000","end":"0x104000","read":true,"write":true,"execute":false,"content":"file",\
                "file":\(file),"offset":4096,"shared":true,"bytes":16384,"mappedBytes":8192,"residentBytes":8192,\
                "shareBytes":5461,"dirtyShareBytes":0,"sharedCleanBytes":4096,"sharedDirtyBytes":0,\
                "privateCleanBytes":4096,"privateDirtyBytes":0,"referencedBytes":0,"anonymousBytes":0,"fileBytes":8192,\
                "leaves":[{"pageBytes":4096,"pages":2,"bytes":8192}]}\n
                """)
    }

    @Test func `tells large leaves and a device's memory from frames`() throws {
        let run = try SpaceRun<SmallFormat<UInt64>>.plain("large and device")
        try #require(try run.add(run.pages(0, 31), .anonymous) == nil)
        try #require(try run.add(run.pages(64, 79), .device(start: run.device(64))) == nil)
        try run.mapNew(run.pages(16, 31), order: 4)
        try #require(try run.fault(run.address(3), for: .read) == nil)
        try #require(try run.fault(run.address(70), for: .read) == nil)
        let summaries = try run.space.regionSummaries(in: run.memory)
        #expect(summaries.map(\.summary.bytesByLevel) == [[64, 0, 1024, 0, 0], [0, 0, 1024, 0, 0]])
        #expect(summaries[0].summary.frames?.largeAnonymousBytes == 1024)
        #expect(summaries[0].summary.frames?.residentBytes == 1088)
        #expect(summaries[1].summary.frames == FrameUse())
        let part = try run.space.regionSummaries(of: run.pages(30, 64), in: run.memory)
        #expect(part.map(\.region.range) == [run.pages(30, 31), run.pages(64)])
        #expect(part.map(\.summary.mappedBytes) == [128, 64])
    }

    @Test func `counts the share of a part of a page as its bytes`() throws {
        let two = try TwoSpaces()
        func use(_ range: VirtualRange) -> FrameUse? {
            two.machine.memory.withRCUReader {
                two.machine.spaces[0].summary(of: range, countingFrames: true, in: $0).frames
            }
        }
        // The second half of page 0, which only this space maps, and the first third of page 1, which three regions map.
        let first = TwoSpaces.shared.first.rawValue
        let part = VirtualRange(first: VirtualAddress(first + 0x800), last: VirtualAddress(first + 0x17ff))
        let found = try #require(use(part))
        #expect(found.residentBytes == 0x1000 && found.privateDirtyBytes == 0x800 && found.sharedCleanBytes == 0x800)
        #expect(found.dirtyShare == 0x800 << SpaceSummary.log2Share)
        #expect(found.share == 0x800 << SpaceSummary.log2Share + 0x800 << SpaceSummary.log2Share / 3)
    }

    @Test func `records of pages say whose they are and whether somebody else maps them`() throws {
        let two = try TwoSpaces()
        func list(_ range: VirtualRange) -> [String] {
            two.records(range).map { record in
                record.map { "\($0.isFile ? "file" : "own")\($0.isExclusive ? ", exclusive" : "")" } ?? "hole"
            }
        }
        #expect(list(TwoSpaces.shared) == ["file, exclusive", "file", "hole", "hole"])
        #expect(list(TwoSpaces.private) == ["hole", "file", "own, exclusive", "hole"])
        #expect(list(TwoSpaces.anonymous) == ["hole", "hole", "hole", "own, exclusive"])
        let space = two.machine.spaces[0]
        let query = PageQuery(all: [.present], inverted: .file, told: [.file, .huge])
        let files = space.scanPages(of: .all, for: query, in: two.machine.memory)
        #expect(files.ranges.isEmpty == false && files.walkEnd == nil)
        let file = space.scanPages(of: .all, for: PageQuery(all: .file, told: .file), in: two.machine.memory)
        #expect(file.ranges.map(\.virtual) == [TwoSpaces.range(0x10_0000, 2), TwoSpaces.range(0x20_1000, 1)])
        let first = space.scanPages(
            of: .all, for: PageQuery(all: .present, told: .present), mostPages: 3, in: two.machine.memory)
        #expect(first.ranges.map(\.virtual) == [TwoSpaces.range(0x10_0000, 2), TwoSpaces.range(0x20_1000, 1)])
        #expect(first.walkEnd == VirtualAddress(0x20_2000))
        // Where nothing is mapped, to the very end.
        let holes = space.scanPages(of: .all, for: PageQuery(all: .present, inverted: .present), in: two.machine.memory)
        #expect(holes.ranges.first?.virtual == VirtualRange(first: VirtualAddress(0), last: VirtualAddress(0xf_ffff)))
        #expect(holes.ranges.last?.virtual.last == VirtualAddress(.max))
        #expect(holes.pageCount == 1 << 52 - 5)
    }

    @Test func `records are read with the lock held for one leaf table at a time`() throws {
        let run = try SpaceRun(X86_64(), "x86-64", "records in parts")
        try run.mapNew(run.pages(0x1ff))
        try run.mapNew(run.pages(0x200))
        var taken = 0
        run.memory.beforeExchange = { place in
            // Of what is not in frames, the space's lock alone is taken by an exchange.
            guard run.layout.map.frame(of: place) == nil else { return }
            taken += 1
            if taken == 2 { try? run.space.unmap(run.pages(0x200), in: run.memory) }
        }
        var records: [PageRecord] = []
        try run.space.readPageRecords(of: run.pages(0x1fe, 0x201), in: run.memory, into: &records)
        run.memory.beforeExchange = nil
        #expect(records.map(\.isPresent) == [false, true, false, false])
        #expect(records[0].rawValue == 0)
        // Once more for the writer.
        #expect(taken == 3)
    }
}
