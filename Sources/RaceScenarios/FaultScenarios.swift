import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Mapping on demand, by several at once.
    static let faults: [Scenario] = [
        Scenario(
            "faults-of-two-sizes",
            "Is every address mapped for which a fault has returned, if one wants a large leaf and one a table there?",
            rules: [.revalidateUnderLock], races: ["B3"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.addRegion(0, 1, .device(start: tables.device))
            execution.spawn(named: "large") {
                try tables.require(
                    try tables.fault(0, on: 0) == tables.devicePage(0), "page 0 is not mapped by its fault")
            }
            execution.spawn(named: "small") {
                let page = try tables.fault(1, atMost: tables.smallLeaf, on: 1)
                try tables.require(page == tables.devicePage(1), "page 1 is not mapped by its fault")
            }
            execution.atEnd {
                for page in 0...1 {
                    let isMapped = try tables.physical(of: page) == tables.devicePage(page)
                    try tables.require(isMapped, "page \(page) is not where its region says, though its fault returned")
                }
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "faults-at-one-page",
            "Is a page mapped once, and no frame lost, if two faults meet at it?", rules: [.revalidateUnderLock]
        ) { execution, variation in try faultTogether(0, 0, execution, variation) },
        Scenario(
            "faults-in-one-table",
            "Do faults at neighbouring pages keep each other's page, if both of them make the table?",
            rules: [.revalidateUnderLock]
        ) { execution, variation in try faultTogether(0, 1, execution, variation) },
        Scenario(
            "leaf-split-by-two",
            "Is a large leaf split once, and no table lost, if two do it at once?", rules: [.revalidateUnderLock]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            guard let block = try tables.mapNew(tables.pages(0, 1), order: 1, tag: 1) else { return }
            for processor in 0...1 {
                execution.spawn(named: "walker") {
                    let walk = try tables.walkSplitting(0, 1, on: processor)
                    try tables.require(walk == SplitPages(small: 2), "a walk over 2 pages came by \(walk)")
                }
            }
            execution.atEnd {
                for page in 0...1 {
                    let place = tables.layout.map.address(of: Frame(block.number + UInt32(page)))
                    try tables.require(
                        try tables.physical(of: page) == place, "page \(page) is not where it was mapped")
                }
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "table-of-fault-with-old-entries",
            "Is a page pinned through what was in a table before a fault took its memory?",
            rules: [.initialiseTableBeforePublishing], races: ["F11"]
        ) { execution, variation in
            let format = MiniatureFormat(zeroIsEmpty: true)
            let tables = try SpaceMachine<SoundStructure>(execution, variation, format: format)
            // The table is freed with the entry of page 0 in it.
            try tables.mapNew(tables.pages(0), tag: 1)
            try tables.unmap(0, 1, on: 0)
            try tables.addRegion(0, 1, .anonymous)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(tag == nil, "page 0 is pinned, which is not mapped any more")
            }
            execution.spawn(named: "fault") { _ = try tables.fault(1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "table-of-map-with-page-content",
            "Does a walk take what a page held for entries, if its frame becomes a table?",
            rules: [.initialiseTableBeforePublishing], races: ["F11"]
        ) { execution, variation in
            let format = MiniatureFormat(log2Entries: 2, zeroIsEmpty: true)
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 2, format: format)
            // The page holds what a leaf looks like.
            let leaf = tables.format.canonical(
                .leaf(tables.devicePage(7), tables.smallLeaf), tables.writable, at: .leafTable)
            guard let page = try tables.newBlock(tag: leaf) else { return }
            try tables.references.drop(on: page, in: tables.memory(0))
            execution.spawn(named: "walker") {
                try tables.require(try tables.physical(of: 0, on: 1) == nil, "page 0 was never mapped, and is")
            }
            execution.spawn(named: "owner") { try tables.mapDevice(1, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]

    /// Two faults in anonymous memory.
    static func faultTogether(
        _ first: Int, _ second: Int, filling: TableFilling = .single, _ execution: Execution, _ variation: Variation
    ) throws {
        let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 8, filling: filling)
        try tables.addRegion(0, second | 1, .anonymous)
        for (processor, page) in [first, second].enumerated() {
            execution.spawn(named: "fault at \(page)") {
                let found = try tables.fault(page, on: processor)
                guard let found else { try tables.machine.violate("page \(page) is not mapped by its fault") }
                try tables.memory(processor).store(UInt64(page + 1), to: Word<UInt64>(found), .relaxed)
            }
        }
        execution.atEnd {
            for page in [first, second] {
                guard let found = try tables.physical(of: page) else {
                    try tables.machine.violate("page \(page) is not mapped though its fault returned")
                }
                let content = try tables.memory(0).load(Word<UInt64>(found), .relaxed)
                try tables.require(content == UInt64(page + 1), "page \(page) has lost what was written to it")
            }
            try tables.requireTablesFree()
        }
    }
}
