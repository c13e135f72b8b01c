import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Entries of 64 bits on a machine that accesses 32 bits at once.
    static let halfEntries: [Scenario] = [
        Scenario(
            "half-entry-of-table-set-while-read",
            "May a table appear in two halves while a walker goes down to it?",
            rules: [.setHighHalfFirst], races: ["B5"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.map(.first, 0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-of-page-set-while-read", "May a page appear in two halves while a walker looks for it?",
            rules: [.setHighHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.second, 1, 1)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.map(.first, 0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-cleared-while-read",
            "Does a walker see a page as it was, or none, while its entry is cleared in two halves?",
            rules: [.recheckLowHalf, .clearLowHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.unmap(0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-cleared-in-walk",
            "Does a walk over a range see a page as it was, or none, while its entry is cleared in two halves?",
            rules: [.recheckLowHalf, .clearLowHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walkRange(0, 1, expecting: [.first])
            execution.spawn(named: "owner") { try tables.unmap(0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-replaced-while-read",
            "Does a walker see a large page or its small ones while the entry becomes that of a table?",
            rules: [.recheckLowHalf, .clearLowHalfFirst, .setHighHalfFirst], races: ["B5", "B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 1)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.protect(1, 1) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-reused-while-read",
            "Does a walker see one of two pages, or none, if the second gets the entry, and the low half, of the first?",
            rules: [.waitBeforeEntryReuse], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walk(page: 0, expecting: [.first, .second])
            execution.spawn(named: "owner") {
                try tables.unmap(0, 0)
                try tables.map(.second, 0, 0)
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-reused-in-one-edit",
            "Does it, if the second page is mapped under the same lock?",
            rules: [.waitBeforeEntryReuse], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walk(page: 0, expecting: [.first, .second])
            execution.spawn(named: "owner") { try tables.remap(.second, 0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-protected-while-read",
            "Does a walker always see a page of which only the low half changes?",
            rules: [.replaceLowHalfAlone]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 1, 1)
            tables.walk(page: 1, expecting: [.first], isAlwaysMapped: true)
            execution.spawn(named: "owner") { try tables.protect(1, 1) }
            execution.atEnd { try tables.requireAllFree() }
        },
        // Both halves change, so that the entry is a hole for a moment.
        Scenario(
            "half-entry-split-under-fault",
            "Is a page that is mapped all the time not mapped for a fault, where no region is, that meets the split of its leaf?",
            rules: [.confirmHoleUnderLock, .lockTableOfLeaves]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 1)
            tables.splitByWalk(0, 1)
            tables.fault(page: 0)
            execution.atEnd { try tables.requireAllFree() }
        },
        // The walk has what is left of the only frame for the table that it is about to publish.
        Scenario(
            "half-entry-split-under-fault-without-memory",
            "Is there no memory for a page that is mapped all the time, for a fault that meets the split of its leaf?",
            rules: [.confirmHoleUnderLock]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation, frames: 1)
            try tables.addRegion(of: .first, 0, 1)
            try tables.fault(0, on: 0)
            tables.splitByWalk(0, 1)
            tables.fault(page: 0, atMost: tables.smallLeaf)
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-of-table-cleared-under-pin",
            "May a pin without a lock go down by one half of a table's address, while the table is unlinked?",
            rules: [.recheckLowHalf, .clearLowHalfFirst], races: ["B5", "B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            let frame = try tables.newFrame()
            try tables.map(frame, 0)
            tables.pin(page: 0, expecting: [frame])
            execution.spawn(named: "owner") { try tables.unmap(0, 1) }
            execution.atEnd { try tables.requireAllFree() }
        },
        // A page that is unmapped and mapped once is not enough: then the second look of the pin finds something else.
        Scenario(
            "half-entry-reused-under-pin",
            "Is a page pinned that was never mapped, if two others take turns in an entry with the same low half?",
            rules: [.waitBeforeEntryReuse, .setHighHalfFirst, .clearLowHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation, frames: 9, fromFrame: true)
            let (first, second) = (try tables.newFrame(), try tables.newFrame())
            try tables.map(first, 0)
            tables.pin(page: 0, expecting: [first, second])
            execution.spawn(named: "owner") {
                try tables.remap(second, 0)
                try tables.remap(first, 0)
            }
            execution.atEnd { try tables.requireAllFree() }
        },
    ]
}
