import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A walk without a lock against the freeing of the table that it is in: witness x policy x own or foreign reader.
    static let walks: [Scenario] = ReclaimPolicy.allCases.flatMap { policy in
        [
            walk(policy, "own-reader-interrupts", isSafe: true, usedBy: [0, 1], holdsRCU: false),
            walk(policy, "foreign-reader-interrupts", isSafe: policy != .direct, usedBy: [0], holdsRCU: false),
            walk(policy, "own-reader-rcu", isSafe: policy == .rcu, usedBy: [0, 1], holdsRCU: true),
            walk(policy, "foreign-reader-rcu", isSafe: policy == .rcu, usedBy: [0], holdsRCU: true),
        ]
    }

    private static func walk(
        _ policy: ReclaimPolicy, _ reader: String, isSafe: Bool, usedBy users: [Int], holdsRCU: Bool
    ) -> Scenario {
        Scenario(
            "table-freed-\(policy.rawValue)-\(reader)",
            "Is a table freed under the policy '\(policy.rawValue)' still read by a walker: \(reader)?",
            rules: isSafe ? [.deferTableFree, .blockTableFreeing] : [], expectsViolation: !isSafe
        ) { execution, lifted in
            let machine = ExploredMachine(execution, processors: 2, lifting: lifted)
            let tables = try TwoLevelTables(machine)
            execution.spawn(named: "walker") {
                let memory = machine.processor(1)
                if holdsRCU {
                    try memory.withRCUReader { (section) throws(Abandoned) in
                        _ = try tables.space.translate(tables.address, in: section)
                    }
                } else {
                    try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                        _ = try tables.space.translate(tables.address, in: section)
                    }
                }
            }
            execution.spawn(named: "owner") {
                let memory = machine.processor(0)
                try memory.store(TwoLevelTables.emptySegment, to: tables.segment, .release)
                let set = users.reduce(into: ProcessorSet()) { $0.formUnion(ProcessorSet(ProcessorNumber($1))) }
                try TableReclaimer(policy).reclaim(tables.leafTable, usedBy: set, in: memory)
            }
        }
    }
}

/// A segment table and a page table of s390x: two levels, the fewest that a real format has.
private struct TwoLevelTables {
    static let emptySegment: UInt64 = 0x20
    let address = VirtualAddress(0x10_2000)
    let space: AddressSpace<S390x>
    /// The entry that points to the page table.
    let segment: Word<UInt64>
    let leafTable: PhysicalRange

    init(_ machine: ExploredMachine) throws {
        let memory = machine.processor(0)
        let top = PhysicalRange(first: PhysicalAddress(0x4000), last: PhysicalAddress(0x7fff))
        leafTable = PhysicalRange(first: PhysicalAddress(0x8800), last: PhysicalAddress(0x8fff))
        space = try AddressSpace.s390x(asce: top.first.rawValue | 3)
        segment = Word(PhysicalAddress(top.first.rawValue + 8))
        try memory.beginLife(of: top, as: .table)
        try memory.beginLife(of: leafTable, as: .table)
        try memory.store(leafTable.first.rawValue, to: segment, .relaxed)
        try memory.store(0x9000, to: Word<UInt64>(PhysicalAddress(0x8810)), .release)
    }
}
