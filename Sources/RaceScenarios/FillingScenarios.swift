import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

// A missing table is made with its neighbour. In a space with two levels of miniature tables the frames are
//
//   A: the top table
//   B: the leaf table of pages 0-1, and that of pages 2-3

extension Scenario {
    /// Whole frames of tables.
    static let fillings: [Scenario] = [
        Scenario(
            "frame-of-tables-with-old-entries",
            "Is a page pinned through what a table held that a fault beside it has made as well?",
            rules: [.initialiseTableBeforePublishing], races: ["F11"]
        ) { execution, variation in
            let tables = try filled(execution, variation, frames: 3, format: MiniatureFormat(zeroIsEmpty: true))
            // The tables are freed with the entry of page 2 in one of them: their frame is the next to be taken, and then the
            // page's.
            try tables.mapDevice(0, 0)
            try tables.mapNew(tables.pages(2), tag: 1)
            try tables.unmap(0, 3, on: 0)
            try tables.addRegion(0, 3, .anonymous)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(2, on: 1)
                try tables.require(tag == nil, "page 2 is pinned, which is not mapped any more")
            }
            execution.spawn(named: "fault") { _ = try tables.fault(1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "walk-beside-filled-entry",
            "Does a walk take what a page held for entries, if its frame becomes tables beside the one that is missing?",
            rules: [.initialiseTableBeforePublishing], races: ["F11"]
        ) { execution, variation in
            let tables = try filled(execution, variation, frames: 2, format: MiniatureFormat(zeroIsEmpty: true))
            // The page holds what a leaf looks like where the table of pages 2-3 will be.
            let leaf = tables.format.canonical(
                .leaf(tables.devicePage(7), tables.smallLeaf), tables.writable, at: .leafTable)
            guard let page = try tables.newBlock(tag: 0) else { return }
            let half = tables.layout.map.address(of: page).rawValue + tables.pageBytes / 2
            try tables.memory(0).store(leaf, to: Word<UInt64>(PhysicalAddress(half)), .relaxed)
            try tables.references.drop(on: page, in: tables.memory(0))
            execution.spawn(named: "walker") {
                try tables.require(try tables.physical(of: 2, on: 1) == nil, "page 2 was never mapped, and is")
            }
            execution.spawn(named: "owner") { try tables.mapDevice(0, 0, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "faults-in-one-frame-of-tables",
            "Do faults at pages of neighbouring tables keep each other's page, if both of them make both tables?",
            rules: [.revalidateUnderLock]
        ) { execution, variation in
            try faultTogether(0, 2, filling: .wholeFrame, execution, variation)
        },
        Scenario(
            "fault-beside-retracted-table",
            "Is a page kept whose table was made, with one that was taken back, while a fault was about to make both?",
            rules: [.revalidateGroupUnderLock]
        ) { execution, variation in
            let tables = try filled(execution, variation)
            try tables.addRegion(0, 3, .device(start: tables.device), largestLeaf: tables.smallLeaf)
            execution.spawn(named: "fault at 2") { _ = try tables.fault(2, on: 1) }
            execution.spawn(named: "fault at 0, retraction") {
                _ = try tables.fault(0, on: 0)
                try tables.retract(2, 3, on: 0)
            }
            execution.atEnd {
                try tables.requireMapped([0: 0, 2: 2])
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "frame-of-tables-freed-by-two",
            "Does a frame of tables come back once, if two threads free the tables that were made together?",
            rules: [.releaseFragmentUnderLock], races: ["D5"]
        ) { execution, variation in
            let tables = try filled(execution, variation)
            try tables.mapDevice(0, 0)
            execution.spawn(named: "first table") { try tables.unmap(0, 1, on: 0) }
            execution.spawn(named: "second table") { try tables.unmap(2, 3, on: 1) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "filled-table-freed-under-pin",
            "Is a table read by a fast pin that was made beside another, never used, and freed, with or without a batch?",
            rules: [.deferTableFree, .blockTableFreeing, .syncWhenBatchFails]
        ) { execution, variation in
            let tables = try filled(execution, variation, reclaiming: .interrupt, failing: [.batch])
            try tables.mapDevice(0, 0)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(2, on: 1)
                try tables.require(tag == nil, "page 2 is pinned, which is not mapped")
            }
            execution.spawn(named: "owner") { try tables.unmap(2, 3, on: 0) }
            execution.atEnd {
                try tables.require(try tables.physical(of: 0) == tables.devicePage(0), "page 0 is not mapped any more")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "leaf-over-filled-table",
            "Is a table read that was made beside another, and that a large leaf has taken the place of?",
            rules: [.deferTableFree, .blockTableFreeing]
        ) { execution, variation in
            let tables = try filled(execution, variation)
            try tables.mapDevice(0, 0)
            execution.spawn(named: "walker") {
                let found = try tables.physical(of: 2, on: 1)
                try tables.require(found == nil || found == tables.devicePage(2), "page 2 is somewhere else")
            }
            execution.spawn(named: "owner") { try tables.mapDevice(2, 3, largestLeaf: tables.anyLeaf, on: 0) }
            execution.atEnd {
                try tables.require(try tables.physical(of: 3) == tables.devicePage(3), "page 3 is not mapped")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "leaf-over-kept-way",
            "Does a processor go through an empty table that it keeps the way to, after a large leaf took the table's place?",
            rules: [.flushWhenBatchFails, .lookAtFlushLog], races: ["D8"]
        ) { execution, variation in
            let tables = try filled(execution, variation, reclaiming: .direct, failing: [.batch])
            try tables.mapDevice(0, 0)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for page in [2, 3] {
                    let found = try program.physical(of: page)
                    try tables.require(found == nil || found == tables.devicePage(page), "page \(page) is elsewhere")
                }
            }
            execution.spawn(named: "owner") { try tables.mapDevice(2, 3, largestLeaf: tables.anyLeaf, on: 0) }
            execution.atEnd {
                try tables.requireMapped([0: 0, 2: 2, 3: 3])
                try tables.requireTablesFree()
            }
        },
    ]

    private static func filled(
        _ execution: Execution, _ variation: Variation, frames: UInt32 = 8, format: MiniatureFormat = MiniatureFormat(),
        reclaiming policy: ReclaimPolicy = .rcu, failing: Set<AllocationKind> = []
    ) throws -> SpaceMachine<SoundStructure> {
        try SpaceMachine(
            execution, variation, frames: frames, format: format, reclaiming: policy, filling: .wholeFrame,
            failing: failing)
    }
}
