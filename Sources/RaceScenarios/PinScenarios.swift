import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Pins without a lock.
    static let pins: [Scenario] = [
        Scenario(
            "pin-against-unmap",
            "Is a page pinned without a lock that was unmapped, freed and used for something else meanwhile?",
            rules: [.recheckEntryAfterPin, .pinOnlyLiveFrame]
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
        }
    ]
}
