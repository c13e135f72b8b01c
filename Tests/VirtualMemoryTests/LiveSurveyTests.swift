import MemoryImages
import PageTableWalk
import PageTables
import Reports
import TableMemory
import Testing

@testable import VirtualMemory

@Suite("A survey of a live space")
struct LiveSurveyTests {
    private typealias Run = SpaceRun<SmallFormat<UInt64>>

    /// Lets an upper entry lead to a table that another leads to already, as kernels do with the shadow of memory that nobody
    /// watches.
    private func link(_ run: Run, _ page: UInt64, to table: PhysicalAddress, at level: Level) throws {
        let root = try run.memory.withRCUReader { (section) throws(MemoryMisuse) in try run.space.view(in: section) }
        var upper = root.trees[0].table
        for above in stride(from: root.trees[0].topLevel.rawValue, to: level.rawValue, by: -1) {
            let index = run.format.index(of: run.address(page), at: Level(above))
            let entry = try run.memory.load(run.format, run.space.place(index, of: upper))
            upper = run.format.table(of: entry, at: Level(above))
        }
        let place = run.space.place(run.format.index(of: run.address(page), at: level), of: upper)
        try run.memory.store(run.space.tableEntry(table, at: level), run.format, at: place, .relaxed)
    }

    private func survey(_ run: Run, _ range: VirtualRange, holes: Bool = false) throws -> Survey {
        try run.memory.withRCUReader { (section) throws(MemoryMisuse) in
            try run.space.survey(range, in: section, holes: holes)
        }
    }

    @Test func `loads each entry of a table once, however many entries lead to it`() throws {
        let run = try Run.plain("shared tables")
        try run.mapNew(run.pages(1))
        try run.map(run.pages(2), to: run.device(7), .read)
        // Pages 0-47 become twelve times the same four.
        try run.map(run.pages(63), to: run.device(9))
        let before = try survey(run, run.pages(0, 63))
        let tables = before.tables
        let leafTable = try #require(tables.first { $0.level == .leafTable })
        let middle = try #require(tables.first { $0.level == Level(1) })
        try link(run, 16, to: middle.address, at: Level(2))
        for page in [4, 8, 12] as [UInt64] { try link(run, page, to: leafTable.address, at: Level(1)) }
        try link(run, 32, to: middle.address, at: Level(2))

        run.memory.entryLoads = [:]
        let shared = try survey(run, run.pages(0, 63), holes: true)
        let loads = try #require(run.memory.entryLoads)
        run.memory.entryLoads = nil
        #expect(Set(loads.values) == [1], "an entry is loaded more than once")
        #expect(loads.count == tables.count * run.format.entryCount(.leafTable))
        #expect(shared.tables.map(\.address) == tables.map(\.address))
        #expect(shared.oddities.isEmpty)

        // Twelve times the same leaf table, and the page that was there before.
        let places = (0..<12).map { 4 * UInt64($0) }
        let device = try #require(before.ranges.first { $0.physical == run.device(7) })
        #expect(
            shared.ranges.filter { $0.physical == device.physical }.map(\.first.rawValue)
                == places.map { ($0 + 2) * 64 })
        #expect(shared.ranges.count == 2 * 12 + 1)
        #expect(shared.holes.first == Hole(run.pages(0), level: .leafTable))
        #expect(shared.holes.filter { $0.level == .leafTable }.count == 12 + 2)
        for range in shared.ranges { #expect(try run.physical(range.first) == range.physical) }
    }

    @Test func `is reported in the words of a dump of an image`() throws {
        let run = try SpaceRun(X86_64(), "x86-64", "reported survey")
        try run.mapNew(run.pages(0x400, 0x401), order: 1)
        try #require(try run.map(run.pages(0x600, 0x7ff), to: PhysicalAddress(1 << 40)) == nil)
        try #require(try run.map(run.pages(0x10_0000, 0x10_01ff), to: PhysicalAddress(1 << 40), .read) == nil)
        let (survey, view) = try run.memory.withRCUReader { (section) throws(MemoryMisuse) in
            (try run.space.survey(in: section, holes: true), try run.space.view(in: section))
        }
        var (live, image) = (ReportBuffer(), ReportBuffer())
        for (report, isLive) in [
            (DumpReport(of: view), true), (DumpReport(of: .x86Long(view), view: .hardware), false),
        ] {
            var buffer = ReportBuffer()
            report.appendHeader(to: &buffer)
            for range in survey.ranges {
                report.appendText(range, to: &buffer)
                report.appendJSON(range, root: "live", to: &buffer)
            }
            for hole in survey.holes {
                report.appendText(hole, to: &buffer)
                report.appendJSON(hole, to: &buffer)
            }
            if isLive { live = buffer } else { image = buffer }
        }
        #expect(live.bytes == image.bytes)
        let text = String(decoding: live.bytes, as: UTF8.self)
        #expect(
            text.contains(
                "0x0000000100000000 ..< 0x0000000100200000      2 MiB  -> 0x0000010000000000      2 MiB  user r--  ---  write-back"
            ), "\(text)")
        #expect(text.contains("0x0000000000000000 ..< 0x0000000000400000  hole, level 1"), "\(text)")
    }
}
