import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A processor begins to use a space.
    static let users: [Scenario] = [
        Scenario(
            "table-freed-while-user-joins",
            "Is a table still read that is freed while the processor of its reader becomes one of the space's users?",
            rules: [.deferTableFree, .blockTableFreeing], storeOrderRules: [.orderUnlinkBeforeUsers],
            storeOrderStructures: [UserStoredWithoutBarrier.self], races: ["F10"], models: MemoryModel.allCases
        ) { execution, variation in
            try userJoins(as: variation.structure, execution, variation)
        }
    ]

    /// Without a batch a table is waited for where it is unlinked: nothing but the fence is in between.
    private static func userJoins<Structure: SpaceStructure>(
        as structure: Structure.Type, _ execution: Execution, _ variation: Variation
    ) throws {
        let tables = try SpaceMachine<Structure>(execution, variation, reclaiming: .direct, failing: [.batch])
        try tables.mapDevice(0, 1)
        execution.spawn(named: "walker") {
            let memory = tables.memory(1)
            try tables.space.use(in: memory)
            try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                _ = try tables.space.view(in: section).translate(tables.address(0), in: section)
            }
        }
        execution.spawn(named: "owner") { try tables.unmap(0, 1, on: 0) }
        execution.atEnd { try tables.requireAllFree() }
    }
}
