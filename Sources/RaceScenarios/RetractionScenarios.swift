import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Leaf tables that map nothing are taken back.
    static let retractions: [Scenario] = [
        fault(
            "fault-in-retracted-table", topLevel: Level(1), [.lockSharedFrameOnce],
            "if the table that it goes to is taken back, whose frame has the upper table too?"),
        fault(
            "fault-in-retracted-table-of-own-frame", topLevel: Level(2), [],
            "if the table that it goes to is taken back?"),
        Scenario(
            "table-retracted-by-two", "Is an empty leaf table freed once, if two take it back?",
            rules: [.revalidateUnderLock, .deferTableFree, .blockTableFreeing]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.makeEmptyTable(0)
            for processor in 0...1 {
                execution.spawn(named: "retraction") { try tables.retract(0, 3, on: processor) }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "crossed-tables-retracted",
            "Do two who take tables back wait for each other, if each leaf table is in the frame of the other's upper table?",
            rules: [.lockTablesInOrder]
        ) { execution, variation in
            // Frames: the two upper tables above, then each with the leaf table that was there first.
            let tables = try SpaceMachine<SoundStructure>(execution, variation, topLevel: Level(3))
            try tables.makeEmptyTable(0)
            try tables.makeEmptyTable(4)
            // Freed in this order, the halves are taken in the other.
            for page in [0, 4] { try tables.retract(page, page, on: 0) }
            try tables.makeEmptyTable(0)
            try tables.makeEmptyTable(4)
            for (processor, page) in [0, 4].enumerated() {
                execution.spawn(named: "retraction at \(page)") { try tables.retract(page, page, on: processor) }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "table-retracted-under-pin",
            "Is a table read by a fast pin after it was taken back because it maps nothing, with or without a batch?",
            rules: [.deferTableFree, .blockTableFreeing, .syncWhenBatchFails], races: ["D9"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, reclaiming: .direct, failing: [.batch])
            try tables.makeEmptyTable(0)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(tag == nil, "page 0 is pinned, which is not mapped")
            }
            execution.spawn(named: "retraction") { try tables.retract(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "table-retracted-under-walk-that-splits",
            "Is a table read that is taken back, by a walk with the lock for reading?",
            rules: [.deferTableFree, .blockTableFreeing], races: ["D9"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.makeEmptyTable(0)
            execution.spawn(named: "walker") {
                let walk = try tables.walkSplitting(0, 1, on: 1)
                try tables.require(walk == SplitPages(missing: 2), "a walk over 2 holes came by \(walk)")
            }
            execution.spawn(named: "retraction") { try tables.retract(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        reader(
            "records-in-retracted-table",
            "Are records of pages read in a table that is taken back?"
        ) { (tables) in
            var records: [PageRecord] = []
            try tables.space.readPageRecords(of: tables.pages(0), in: tables.memory(1), into: &records)
            try tables.require(records == [.hole], "nothing is mapped at page 0")
        },
        reader(
            "scan-in-retracted-table",
            "Are pages looked for, by what is recorded of them, in a table that is taken back?"
        ) { (tables) in
            let scan = try tables.space.scanPages(
                of: tables.pages(0, 1), for: PageQuery(all: .present), in: tables.memory(1))
            try tables.require(scan.ranges.isEmpty, "a page is found, and none is mapped")
        },
        reader(
            "region-summary-in-retracted-table",
            "Is what is mapped of a region counted in a table that is taken back?"
        ) { (tables) in
            let summaries = try tables.space.regionSummaries(in: tables.memory(1))
            try tables.require(
                summaries.map(\.summary.mappedBytes) == [0], "nothing is mapped of the region, and bytes are counted")
        },
        Scenario(
            "table-retracted-under-lock-for-reading",
            "Is a table read that is taken back, by a walk that has the lock for reading and is in no section?",
            rules: [], races: ["D1", "D9"], expectsViolation: true
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.makeEmptyTable(0)
            execution.spawn(named: "walker") {
                try tables.memory(1).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
                    _ = try tables.physical(of: 0, lock: lock)
                }
            }
            execution.spawn(named: "retraction") { try tables.retract(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]

    /// Somebody who says what is mapped, and holds the lock for reading at most.
    private static func reader(
        _ name: String, _ question: String, _ read: @escaping @Sendable (SpaceMachine<SoundStructure>) throws -> Void
    ) -> Scenario {
        Scenario(name, question, rules: [.deferTableFree, .blockTableFreeing], races: ["D9"]) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.makeEmptyTable(0)
            try tables.addRegion(0, 1, .anonymous)
            execution.spawn(named: "reader") { try read(tables) }
            execution.spawn(named: "retraction") { try tables.retract(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        }
    }

    /// A fault on its way into a table that maps nothing.
    private static func fault(
        _ name: String, topLevel: Level, _ rules: [SafetyRule], _ condition: String
    ) -> Scenario {
        Scenario(
            name, "Is a page mapped when its fault has returned, " + condition,
            rules: [.revalidateTableUnderLock, .revalidateUnderLock, .deferTableFree, .blockTableFreeing] + rules,
            races: ["D9"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, topLevel: topLevel)
            try tables.makeEmptyTable(0)
            try tables.addRegion(0, 1, .device(start: tables.device))
            execution.spawn(named: "fault") {
                let found = try tables.fault(0, atMost: tables.smallLeaf, on: 1)
                try tables.require(found == tables.devicePage(0), "page 0 is not mapped by its fault")
            }
            execution.spawn(named: "retraction") { try tables.retract(0, 1, on: 0) }
            execution.atEnd {
                try tables.requireMapped([0: 0])
                try tables.requireTablesFree()
            }
        }
    }
}

extension SpaceMachine {
    /// Leaves a leaf table behind that maps nothing.
    fileprivate func makeEmptyTable(_ page: Int) throws {
        try mapDevice(page, page)
        try unmap(page, page, on: 0)
    }

    func retract(_ first: Int, _ last: Int, on processor: Int) throws {
        let range = pages(first, last)
        try memory(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            _ = try space.reclaimEmptyTables(in: range, lock: lock)
        }
    }
}
