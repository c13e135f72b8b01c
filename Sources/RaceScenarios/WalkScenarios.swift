import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A walk without a lock against the unmapping of the table that it is in: witness x policy x own or foreign reader.
    static let walks: [Scenario] = ReclaimPolicy.allCases.flatMap { policy in
        [
            walk(policy, "own-reader-interrupts", isSafe: true, isOwn: true, holdsRCU: false),
            walk(policy, "foreign-reader-interrupts", isSafe: policy != .direct, isOwn: false, holdsRCU: false),
            walk(policy, "own-reader-rcu", isSafe: policy == .rcu, isOwn: true, holdsRCU: true),
            walk(policy, "foreign-reader-rcu", isSafe: policy == .rcu, isOwn: false, holdsRCU: true),
        ]
    }

    private static func walk(
        _ policy: ReclaimPolicy, _ reader: String, isSafe: Bool, isOwn: Bool, holdsRCU: Bool
    ) -> Scenario {
        Scenario(
            "table-freed-\(policy.rawValue)-\(reader)",
            "Is a table freed under the policy '\(policy.rawValue)' still read by a walker: \(reader)?",
            rules: isSafe ? [.deferTableFree, .blockTableFreeing] : [], expectsViolation: !isSafe
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, reclaiming: policy)
            try tables.mapNew(tables.pages(0), tag: 1)
            if isOwn { try tables.space.use(in: tables.memory(1)) }
            execution.spawn(named: "walker") {
                let memory = tables.memory(1)
                if holdsRCU {
                    try memory.withRCUReader { (section) throws(Abandoned) in
                        _ = try tables.space.view(in: section).translate(tables.address(0), in: section)
                    }
                } else {
                    try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                        _ = try tables.space.view(in: section).translate(tables.address(0), in: section)
                    }
                }
            }
            execution.spawn(named: "owner") { try tables.space.unmap(tables.pages(0, 1), in: tables.memory(0)) }
            execution.atEnd { try tables.requireAllFree() }
        }
    }
}
