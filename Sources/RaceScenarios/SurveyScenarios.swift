import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Dumps of a space that changes meanwhile.
    static let surveys: [Scenario] = [
        Scenario(
            "dump-against-unmap-and-retraction",
            "Is all that a dump shows mapped at some moment, and what stays mapped shown, while tables are unmapped and taken back?",
            rules: [.deferTableFree, .blockTableFreeing], races: ["D10"]
        ) { execution, variation in
            // Pages 0-1, 2-3, 4-5 have leaf tables; that of 2-3 is empty.
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, processors: 3, format: MiniatureFormat(log2Entries: 2), topLevel: Level(1))
            try tables.mapDevice(0, 0)
            try tables.mapDevice(4, 4)
            try tables.unmap(4, 4, on: 0)
            try tables.mapDevice(8, 8)
            execution.spawn(named: "dump") {
                try tables.requireDumped(pages: 0...15, asMappedAt: [0: [0], 1: [5], 8: [8]], always: [8], on: 1)
            }
            execution.spawn(named: "owner") {
                try tables.unmap(0, 3, on: 0)
                try tables.mapDevicePage(5, at: 1, on: 0)
            }
            execution.spawn(named: "retraction") {
                let range = tables.pages(4, 7)
                try tables.memory(2).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
                    _ = try tables.space.reclaimEmptyTables(in: range, lock: lock)
                }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "dump-against-move",
            "Does a dump show pages at the new addresses of a table that it had read at the old ones, and that were unmapped before the move?",
            rules: [.waitBeforeRelinking, .blockTableFreeing]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 1)
            execution.spawn(named: "dump") {
                try tables.requireDumped(pages: 0...3, asMappedAt: [0: [0], 1: [1], 2: [0]], always: [], on: 1)
            }
            execution.spawn(named: "owner") {
                try tables.unmap(1, 1, on: 0)
                try tables.move(0, 1, to: 2, on: 0)
            }
            execution.atEnd {
                try tables.requireMapped([2: 0])
                try tables.requireTablesFree()
            }
        },
    ]
}

extension SpaceMachine {
    fileprivate func mapDevicePage(_ devicePage: Int, at page: Int, on processor: Int) throws {
        try space.map(pages(page), to: self.devicePage(devicePage), writable, in: memory(processor))
    }

    /// Surveys pages, and looks whether each is shown where it was mapped at some time.
    ///
    /// - Parameters:
    ///   - wanted: Of each page, the pages of the device that it was mapped to at any time.
    ///   - always: Pages that are mapped all the time.
    fileprivate func requireDumped(
        pages: ClosedRange<Int>, asMappedAt wanted: [Int: [Int]], always: Set<Int>, on processor: Int
    ) throws {
        let survey = try memory(processor).withRCUReader { (section) throws(Abandoned) in
            try space.survey(self.pages(pages.lowerBound, pages.upperBound), in: section, holes: true)
        }
        var shown: Set<Int> = []
        for range in survey.ranges {
            for offset in stride(from: 0, through: range.lastOffset, by: Int(pageBytes)) {
                let page = Int((range.first.rawValue + offset) / pageBytes)
                let place = PhysicalAddress(range.physical.rawValue + offset)
                let isRight = wanted[page, default: []].contains { devicePage($0) == place }
                try require(isRight, "page \(page) is shown at \(place), where it never was")
                try require(shown.insert(page).inserted, "page \(page) is shown twice")
            }
        }
        for hole in survey.holes {
            for page in hole.virtual.first.rawValue / pageBytes...hole.virtual.last.rawValue / pageBytes {
                try require(shown.insert(Int(page)).inserted, "page \(page) is shown, and is a hole")
                try require(!always.contains(Int(page)), "page \(page) is mapped all the time, and is shown as a hole")
            }
        }
        try require(shown.count == pages.count, "\(pages.count) pages are shown as \(shown.sorted())")
    }
}
