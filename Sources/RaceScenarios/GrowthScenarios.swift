import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Spaces that are less deep than they could be, and get deeper.
    static let growth: [Scenario] = [
        Scenario(
            "pin-range-in-folded-space",
            "Does a pin of a range step through the top table itself where the space has fewer levels than the format?",
            rules: [], structures: [StepsFromCopy.self, IndexesFromCopy.self], races: ["A1", "A2"]
        ) { execution, variation in
            func body<Structure: SpaceStructure>(_: Structure.Type) throws {
                let tables = try SpaceMachine<Structure>(execution, variation)
                try tables.beginStacks()
                try tables.mapTagged(0, 3)
                execution.spawn(named: "pinner") { try tables.requireTaggedPins(0, 2, isWhole: true, on: 1) }
                execution.atEnd { try tables.requireAllFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "pin-range-while-growing",
            "Is all of a range pinned, and nothing else, while the space gets two more levels?",
            rules: [],
            structures: [StepsFromCopy.self, IndexesFromCopy.self, TableBeforeDepth.self, DepthBeforeTable.self],
            races: ["A1", "A2", "H3"]
        ) { execution, variation in
            func body<Structure: SpaceStructure>(_: Structure.Type) throws {
                let tables = try SpaceMachine<Structure>(execution, variation)
                try tables.beginStacks()
                try tables.mapTagged(0, 3)
                execution.spawn(named: "pinner") { try tables.requireTaggedPins(1, 2, isWhole: true, on: 1) }
                execution.spawn(named: "grower") {
                    let refusal = try tables.grow(toCover: 8, on: 0)
                    try tables.require(refusal == nil, "the space does not grow")
                }
                execution.atEnd { try tables.requireAllFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "pin-while-growing",
            "Is another page pinned than the one that is mapped at the address, while the space gets another level?",
            rules: [], structures: [DepthBeforeTable.self], races: ["H3"]
        ) { execution, variation in
            func body<Structure: SpaceStructure>(_: Structure.Type) throws {
                let tables = try SpaceMachine<Structure>(execution, variation)
                try tables.mapTagged(0, 3)
                execution.spawn(named: "pinner") { try tables.requireTaggedPins(3, 3, isWhole: false, on: 1) }
                execution.spawn(named: "grower") { _ = try tables.grow(toCover: 4, on: 0) }
                execution.atEnd { try tables.requireAllFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "translate-while-growing",
            "Is an address translated as before, and a new one not yet or not at all, while the space gets two more levels?",
            rules: [], structures: [TableBeforeDepth.self, DepthBeforeTable.self], races: ["H3"]
        ) { execution, variation in
            func body<Structure: SpaceStructure>(_: Structure.Type) throws {
                let tables = try SpaceMachine<Structure>(execution, variation)
                guard let frame = try tables.mapNew(tables.pages(2), tag: 1) else { return }
                execution.spawn(named: "walker") {
                    try tables.require(2, isAt: frame, on: 1)
                    if case .mapped = try tables.translate(10, on: 1) {
                        try tables.require(false, "page 10 is not mapped and is translated")
                    }
                }
                execution.spawn(named: "grower") {
                    let refusal = try tables.grow(toCover: 8, on: 0)
                    try tables.require(refusal == nil, "the space does not grow")
                }
                execution.atEnd { try tables.requireAllFree() }
            }
            try body(variation.structure)
        },
        Scenario(
            "grow-against-grow",
            "Does each of two threads that grow a space at once find it as deep as it needs, and is no table lost?",
            rules: [.growUnderLock], races: ["H2"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, processors: 3, frames: 8, failing: [.table])
            guard let frame = try tables.mapNew(tables.pages(2), tag: 1) else { return }
            for (processor, page) in [(0, 4), (1, 8)] {
                execution.spawn(named: "grower to page \(page)") {
                    let refusal = try tables.grow(toCover: page, on: processor)
                    try tables.require(refusal == nil || refusal == .outOfMemory, "growth is refused")
                    if refusal == nil { try tables.requireCovered(page, on: processor) }
                }
            }
            execution.atEnd {
                try tables.require(2, isAt: frame, on: 2)
                try tables.requireAllFree()
            }
        },
    ]
}

extension SpaceMachine {
    /// The space is deep enough for a page: it was made so, and spaces never get less deep.
    fileprivate func requireCovered(_ page: Int, on processor: Int) throws {
        if case .unmapped(let fault) = try translate(page, on: processor), fault.reason == .outOfRange {
            try require(false, "the space has grown to cover page \(page) and does not")
        }
    }
}
