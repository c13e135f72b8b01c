import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

// Two tables share a frame. In a space with three levels of miniature tables the frames are
//
//   A: the top table, and the table of level 1 for pages 0-3
//   B: the leaf table of pages 0-1, and that of pages 2-3
//
// Whoever unmaps pages 0-1 frees one half of B after it has released the lock, when somebody else may be unmapping pages 2-3.

extension Scenario {
    /// Tables that are parts of one frame.
    static let fragments: [Scenario] = [
        Scenario(
            "halves-freed-at-once",
            "Is a frame given back once, and taken off its list before, if its halves are freed by two threads at once?",
            rules: [.releaseFragmentUnderLock], races: ["D5"]
        ) { execution, variation in
            let tables = try halves(SoundStructure.self, execution, variation)
            execution.spawn(named: "first half") { try tables.unmap(0, 1, on: 0) }
            execution.spawn(named: "second half") { try tables.unmap(2, 3, on: 1) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "half-taken-while-other-is-freed",
            "Is a half of a frame taken for a table while the other half is freed, and the frame with it?",
            rules: [.releaseFragmentUnderLock], races: ["D5"]
        ) { execution, variation in
            let tables = try halves(SoundStructure.self, execution, variation, frames: 3, mapped: 1)
            execution.spawn(named: "first half") { try tables.unmap(0, 1, on: 0) }
            execution.spawn(named: "second half") { try tables.mapDevice(2, 2, on: 1) }
            execution.atEnd {
                let isMapped = try tables.physical(of: 2) == tables.devicePage(2)
                try tables.require(isMapped, "page 2 is not where it was mapped")
                try tables.mapDevice(0, 0)
                let free = try tables.references.allocator.freeFrameCount(in: tables.memory(0))
                try tables.require(free == 1, "two leaf tables do not share a frame, though half of one was free")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "stale-reference-to-table-frame",
            "Does it matter if somebody takes a reference on a stale frame number while the frame becomes one of tables?",
            rules: [], structures: [FragmentsCountedInReferences.self], races: ["D6"]
        ) { execution, variation in
            func body<S: SpaceStructure>(_: S.Type) throws {
                let tables = try halves(S.self, execution, variation, frames: 2, mapped: 0)
                // The top table is in one of two frames: the other one was a page, and becomes B.
                guard let frame = try tables.newBlock(tag: 1) else { return }
                try tables.references.drop(on: frame, in: tables.memory(0))
                execution.spawn(named: "speculator") {
                    if let head = try tables.references.take(on: frame, in: tables.memory(1)) {
                        try tables.references.drop(on: head, in: tables.memory(1))
                    }
                }
                execution.spawn(named: "owner") { try tables.mapDevice(0, 3, on: 0) }
                execution.atEnd { try tables.requireTablesFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "stale-pin-of-table-frame",
            "Is a page's frame that becomes one of tables harmed by a pin without a lock that comes too late?",
            rules: [], structures: [FragmentsCountedInReferences.self], races: ["D6"]
        ) { execution, variation in
            func body<S: SpaceStructure>(_: S.Type) throws {
                let tables = try SpaceMachine<S>(execution, variation, frames: 3, topLevel: Level(2))
                try tables.mapNew(tables.pages(0), tag: 1)
                execution.spawn(named: "pinner") {
                    let tag = try tables.tagOfFastPin(0, on: 1)
                    try tables.require(tag == nil || tag == 1, "page 0 is pinned and holds \(tag ?? 0)")
                }
                execution.spawn(named: "owner") {
                    // The page's frame is then the only free one, and becomes the two tables of page 4.
                    try tables.unmap(0, 0, on: 0)
                    try tables.mapDevice(2, 2, on: 0)
                    try tables.mapDeviceIfPossible(4, 4)
                }
                execution.atEnd { try tables.requireTablesFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "half-waits-while-other-is-freed",
            "May one half of a frame wait for readers, linked through its frame, while the other half is freed and taken?",
            rules: [.releaseFragmentUnderLock], structures: [SharedLink.self], races: ["D5"]
        ) { execution, variation in
            func body<S: SpaceStructure>(_: S.Type) throws {
                let tables = try halves(S.self, execution, variation, failing: [.batch])
                execution.spawn(named: "first half") { try tables.unmap(0, 1, on: 0) }
                execution.spawn(named: "second half") {
                    try tables.unmap(2, 3, on: 1)
                    try tables.mapDevice(2, 2, on: 1)
                }
                execution.atEnd { try tables.requireTablesFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "half-waits-while-other-is-taken",
            "May one half of a frame wait for readers, linked through its frame, while the frame is listed for its other half?",
            rules: [.releaseFragmentUnderLock], structures: [SharedLink.self], races: ["D5"]
        ) { execution, variation in
            func body<S: SpaceStructure>(_: S.Type) throws {
                let tables = try halves(S.self, execution, variation, frames: 8, mapped: 1, failing: [.batch])
                execution.spawn(named: "first half") { try tables.unmap(0, 1, on: 0) }
                execution.spawn(named: "second half") {
                    try tables.mapDevice(2, 2, on: 1)
                    try tables.unmap(2, 3, on: 1)
                }
                execution.atEnd { try tables.requireTablesFree() }
            }
            try body(variation.structure)
        },
    ]

    /// A space of which the first `mapped` leaf tables are there.
    private static func halves<S: SpaceStructure>(
        _: S.Type, _ execution: Execution, _ variation: Variation, frames: UInt32 = 6, mapped: Int = 2,
        failing: Set<AllocationKind> = []
    ) throws -> SpaceMachine<S> {
        let tables = try SpaceMachine<S>(execution, variation, frames: frames, topLevel: Level(2), failing: failing)
        if mapped > 0 { try tables.mapDevice(0, 2 * mapped - 1) }
        return tables
    }
}
