import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Walks, against those who change tables meanwhile.
    static let walks: [Scenario] = freeing + changing

    /// A walk without a lock against the unmapping of the table that it is in: witness x policy x own or foreign reader.
    private static let freeing: [Scenario] =
        ReclaimPolicy.allCases.flatMap { policy in
            [
                walk(policy, .own, holdsRCU: false, isSafe: true),
                walk(policy, .foreign, holdsRCU: false, isSafe: policy != .direct),
                walk(policy, .own, holdsRCU: true, isSafe: policy == .rcu),
                walk(policy, .foreign, holdsRCU: true, isSafe: policy == .rcu),
            ]
        } + [walk(.direct, .new, holdsRCU: false, isSafe: true)]

    private enum Reader: String {
        /// The reader's processor has used the space.
        case own
        case foreign
        /// It begins to use it.
        case new
    }

    private static func walk(_ policy: ReclaimPolicy, _ reader: Reader, holdsRCU: Bool, isSafe: Bool) -> Scenario {
        let name = "\(reader)-reader-\(holdsRCU ? "rcu" : "interrupts")"
        let rules: [SafetyRule] = [.deferTableFree, .blockTableFreeing]
        return Scenario(
            "table-freed-\(policy.rawValue)-\(name)",
            "Is a table freed under the policy '\(policy.rawValue)' still read by a walker: \(name)?",
            rules: isSafe ? rules + (policy == .rcu ? [] : [.syncWhenBatchFails]) : [],
            races: holdsRCU ? [] : ["D10"], expectsViolation: !isSafe
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, reclaiming: policy, failing: [.batch])
            try tables.mapNew(tables.pages(0), tag: 1)
            if reader == .own { try tables.space.use(in: tables.memory(1)) }
            execution.spawn(named: "walker") {
                let memory = tables.memory(1)
                if reader == .new { try tables.space.use(in: memory) }
                if holdsRCU {
                    try memory.withRCUReader { (section) throws(Abandoned) in try tables.look(in: section) }
                } else {
                    try memory.withInterruptsBlocked { (section) throws(Abandoned) in try tables.look(in: section) }
                }
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        }
    }

    /// Walks over entries that become something else.
    private static let changing: [Scenario] = [
        Scenario(
            "second-half-without-batch",
            "Is a table read that is freed at once, because there is no batch and its frame waits already?",
            rules: [.deferTableFree, .syncWhenBatchFails, .blockTableFreeing]
        ) { execution, variation in
            // The leaf tables of pages 0-1 and 2-3 are the halves of one frame.
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, frames: 6, topLevel: Level(2), failing: [.batch])
            try tables.mapDevice(0, 3)
            execution.spawn(named: "walker") { _ = try tables.physical(of: 2, on: 1) }
            execution.spawn(named: "owner") { try tables.unmap(0, 3, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "entry-changed-in-walk",
            "Does a walk follow an entry that was a table when it looked, and is a leaf or nothing now?",
            rules: [.deferTableFree, .blockTableFreeing], structures: [EntryLoadedAgain.self], races: ["B1"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 1)
            execution.spawn(named: "walker") {
                let memory = tables.memory(1)
                try memory.withRCUReader { (section) throws(Abandoned) in
                    if variation.structure is EntryLoadedAgain.Type {
                        var visitor = LoadingAgain()
                        try tables.space.view(in: section).walk(tables.pages(0, 3), in: section, visitor: &visitor)
                    } else {
                        try tables.look(in: section)
                    }
                }
            }
            execution.spawn(named: "owner") {
                try tables.unmap(0, 1, on: 0)
                try tables.mapDevice(0, 1, largestLeaf: tables.anyLeaf)
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "split-leaf-put-back",
            "Does a walk take a page for a table, if a fault puts back the leaf that the walk has split, or a table?",
            rules: [.revalidateAfterSplit], races: ["B2"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.addRegion(0, 1, .device(start: tables.device))
            _ = try tables.fault(0, on: 0)
            execution.spawn(named: "walker") {
                let pages = try tables.walkSplitting(0, 1, on: 0)
                try tables.require(pages.small + pages.missing == 2, "a walk over 2 pages came by \(pages)")
            }
            execution.spawn(named: "fault") {
                let isLarge = try execution.choose(2, "the fault wants a small leaf") == 0
                let page = try tables.fault(0, atMost: isLarge ? nil : tables.smallLeaf, on: 1)
                // The walk may split it before the fault has looked.
                try tables.require(page == nil || page == tables.devicePage(0), "page 0 is elsewhere")
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]
}

extension SpaceMachine {
    /// Looks at pages of which pages 0 and 1 may be mapped: once for an address, once for statistics.
    fileprivate func look<Section: ReadWitness & ~Copyable>(
        in section: borrowing Section
    ) throws(Abandoned) where Section.Failure == Abandoned {
        _ = try space.view(in: section).translate(address(0), in: section)
        let summary = try space.summary(of: pages(0, 3), in: section)
        if summary.mappedBytes > 2 * pageBytes {
            try machine.violate("a space with two pages has \(summary.mappedBytes) bytes mapped")
        }
    }
}
