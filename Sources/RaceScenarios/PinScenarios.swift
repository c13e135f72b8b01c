import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Pins without a lock, against unmapping.
    static let pins: [Scenario] = [
        Scenario(
            "pin-against-unmap",
            "Is a page pinned without a lock that was unmapped, freed and used for something else meanwhile?",
            rules: [.recheckEntryAfterPin, .pinOnlyLiveFrame], races: ["C3"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 5)
            try tables.mapNew(tables.pages(0), tag: 1)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(
                    tag == nil || tag == 1, "page 0 is pinned and holds \(tag ?? 0), which is not its content")
            }
            execution.spawn(named: "owner") {
                try tables.space.unmap(tables.pages(0), in: tables.memory(0))
                if let other = try tables.newBlock(tag: 2) {
                    try tables.references.drop(on: other, in: tables.memory(0))
                }
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "pin-range-against-unmap",
            "Are pages of two tables pinned in order and as long as they are mapped, while both are unmapped and used again?",
            rules: [.recheckEntryAfterPin, .pinOnlyLiveFrame], races: ["C3"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapTagged(0, 3)
            execution.spawn(named: "pinner") { try tables.requireTaggedPins(1, 2, isWhole: false, on: 1) }
            execution.spawn(named: "owner") {
                try tables.space.unmap(tables.pages(1, 2), in: tables.memory(0))
                try tables.reuseFrame()
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "pin-large-block-against-unmap",
            "Is a page of a large leaf pinned that was unmapped, and whose block was freed and cut apart meanwhile?",
            rules: [.recheckEntryAfterPin, .recheckHeadAfterPin, .forgetBlockBeforeReuse, .pinOnlyLiveFrame],
            races: ["C1", "C3"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, processors: 3, frames: 3)
            try tables.mapNew(tables.pages(0, 1), order: 1, tag: SpaceMachine<SoundStructure>.tag(0))
            execution.spawn(named: "pinner") { try tables.requireTaggedPins(1, 1, isWhole: false, on: 1) }
            execution.spawn(named: "owner") { try tables.space.unmap(tables.pages(0, 1), in: tables.memory(0)) }
            // The block as it was, or its first half.
            execution.spawn(named: "other") { try tables.reuseFrame(order: execution.choose(2, "order"), on: 2) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "pin-against-unmapped-table",
            "Is a page pinned through a table that was unlinked, whose entries look as if it was not?",
            rules: [.recheckUpperEntryAfterPin, .blockTableFreeing, .deferTableFree, .pinOnlyLiveFrame]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, processors: 3, frames: 2)
            try tables.mapTagged(0, 0)
            execution.spawn(named: "pinner") { try tables.requireTaggedPins(0, 0, isWhole: false, on: 1) }
            execution.spawn(named: "owner") { try tables.space.unmap(tables.pages(0, 1), in: tables.memory(0)) }
            execution.spawn(named: "other") { try tables.reuseFrame(on: 2) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "pin-against-unmapped-subtree",
            "Is a page pinned if an entry two levels above the leaf was cleared, though only one level is looked at again?",
            rules: [.recheckUpperEntryAfterPin, .blockTableFreeing, .deferTableFree, .pinOnlyLiveFrame]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, processors: 3, frames: 3, topLevel: Level(2))
            try tables.mapTagged(0, 0)
            execution.spawn(named: "pinner") { try tables.requireTaggedPins(0, 0, isWhole: false, on: 1) }
            execution.spawn(named: "owner") { try tables.space.unmap(tables.pages(0, 3), in: tables.memory(0)) }
            execution.spawn(named: "other") { try tables.reuseFrame(on: 2) }
            execution.atEnd { try tables.requireAllFree() }
        },
        // The section is what tables need, and pages do not: here pages are freed and used again while the pinner is in its
        // section, through a leaf that was cleared as well as through a table that was unlinked.
        Scenario(
            "recheck-protects-pages",
            "Are liveness and the second look enough where pages are freed without an interrupt or a grace period?",
            rules: [.pinOnlyLiveFrame, .recheckEntryAfterPin, .recheckUpperEntryAfterPin], races: ["C3"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, processors: 3, frames: 4)
            try tables.mapTagged(1, 2)
            execution.spawn(named: "pinner") { try tables.requireTaggedPins(1, 2, isWhole: false, on: 1) }
            execution.spawn(named: "owner") { try tables.space.unmap(tables.pages(0, 2), in: tables.memory(0)) }
            execution.spawn(named: "other") { try tables.reuseFrame(on: 2) }
            execution.atEnd { try tables.requireAllFree() }
        },
        // The pinner is in its section, but the processor has never used the space and is not asked before the table is freed.
        Scenario(
            "recheck-does-not-protect-tables",
            "Are liveness and the second look enough where the table is freed without waiting for the pinner's section?",
            rules: [], expectsViolation: true
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 2, reclaiming: .direct)
            try tables.mapTagged(0, 0)
            execution.spawn(named: "pinner") { try tables.requireTaggedPins(0, 0, isWhole: false, on: 1) }
            execution.spawn(named: "owner") { try tables.space.unmap(tables.pages(0, 1), in: tables.memory(0)) }
            execution.atEnd { try tables.requireAllFree() }
        },
    ]
}
