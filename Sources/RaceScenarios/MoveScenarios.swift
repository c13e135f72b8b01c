import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

// In a space with two levels of miniature tables the leaf tables map pages 0-1 and 2-3: what moves by two pages moves as a
// table, what moves by an odd number of them moves entry by entry.

extension Scenario {
    /// What is mapped moves to other addresses.
    static let moves: [Scenario] = [
        Scenario(
            "table-moved-under-walk",
            "Does a walk by the old addresses of a table that moves find what is mapped, later, at the new ones?",
            rules: [.waitBeforeRelinking, .blockTableFreeing]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 1)
            execution.spawn(named: "walker") {
                let found = try tables.physical(of: 0, on: 1)
                try tables.require(found == nil || found == tables.devicePage(0), "page 0 is where page 2 is")
            }
            execution.spawn(named: "owner") {
                try tables.move(0, 1, to: 2, on: 0)
                try tables.unmap(2, 2, on: 0)
                try tables.mapDevice(2, 2)
            }
            execution.atEnd {
                try tables.requireMapped([2: 2, 3: 1])
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "table-moved-over-empty-one",
            "Does a summary look at an empty table that was in the way of one that moves, after it was freed?",
            rules: [.deferTableFree, .blockTableFreeing]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 2)
            try tables.unmap(2, 2, on: 0)
            execution.spawn(named: "walker") { try tables.summariseMove(of: 2) }
            execution.spawn(named: "owner") { try tables.move(0, 1, to: 2, on: 0) }
            execution.atEnd {
                try tables.requireMapped([2: 0, 3: 1])
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "pages-moved-under-walk",
            "Is a page that moves found at its old place, at its new one or not at all?",
            rules: [.deferTableFree, .blockTableFreeing]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, topLevel: Level(2))
            try tables.mapDevice(0, 1)
            execution.spawn(named: "walker") {
                for page in [0, 3] {
                    let found = try tables.physical(of: page, on: 1)
                    try tables.require(
                        found == nil || found == tables.devicePage(0), "page \(page) is where page 1 was")
                }
            }
            execution.spawn(named: "owner") { try tables.move(0, 1, to: 3, on: 0) }
            execution.atEnd {
                try tables.requireMapped([3: 0, 4: 1])
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "pin-against-move",
            "Is a page pinned by its old address that has moved, was unmapped there and became something else?",
            rules: [.recheckEntryAfterPin, .pinOnlyLiveFrame]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 5)
            try tables.mapNew(tables.pages(0), tag: 1)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(tag == nil || tag == 1, "page 0 is pinned and holds \(tag ?? 0)")
            }
            execution.spawn(named: "owner") {
                try tables.move(0, 0, to: 1, on: 0)
                try tables.unmap(1, 1, on: 0)
                if let other = try tables.newBlock(tag: 2) {
                    try tables.references.drop(on: other, in: tables.memory(0))
                }
            }
            execution.atEnd { try tables.requireAllFree() }
        },
    ]
}

extension SpaceMachine {
    func move(_ first: Int, _ last: Int, to page: Int, on processor: Int) throws {
        try space.move(pages(first, last), to: address(page), in: memory(processor))
    }

    /// Looks whether pages are where certain pages of the device were mapped.
    func requireMapped(_ wanted: [Int: Int]) throws {
        for (page, devicePage) in wanted.sorted(by: { $0.key < $1.key }) {
            let found = try physical(of: page)
            try require(found == self.devicePage(devicePage), "page \(page) is not where it has to be")
        }
    }

    /// Summarises a space in which so many pages move: each is found at the old place, at the new one, at both or at none.
    fileprivate func summariseMove(of count: UInt64) throws {
        let memory = memory(1)
        let summary = try memory.withRCUReader { (section) throws(Abandoned) in
            try space.summary(of: pages(0, 3), in: section)
        }
        try require(summary.mappedBytes <= 2 * count * pageBytes, "\(count) pages are \(summary.mappedBytes) bytes")
    }
}
