import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Leaf tables become large leaves.
    static let collapses: [Scenario] = [
        Scenario(
            "page-pinned-while-copied",
            "Is a page that is pinned still the one that is mapped, if its table becomes a large leaf of copies?",
            rules: [
                .recheckUpperEntryAfterPin, .clearBeforeCollapse, .collapseOnlyUnreferenced, .pinOnlyLiveFrame,
            ], races: ["C5"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 8)
            for page in 0...1 { try tables.mapNew(tables.pages(page), tag: UInt64(page + 1)) }
            let kept = Kept<Pin>()
            execution.spawn(named: "pinner") {
                let memory = tables.memory(1)
                let pin = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                    try tables.space.pinFast(tables.address(0), for: .write, in: section)
                }
                guard let pin else { return }
                kept.value = pin
                try memory.store(7, to: Word<UInt64>(pin.range.first), .relaxed)
            }
            execution.spawn(named: "owner") { try tables.collapseIfPossible(0, on: 0) }
            execution.atEnd {
                let memory = tables.memory(0)
                if let pin = kept.value {
                    try tables.require(
                        try tables.physical(of: 0) == pin.range.first,
                        "page 0 is pinned where it is not mapped")
                    try tables.space.unpin(pin, in: memory)
                }
                for (page, content) in [(0, kept.value == nil ? 1 : 7), (1, 2 as UInt64)] {
                    guard let found = try tables.physical(of: page) else {
                        try tables.machine.violate("page \(page) is not mapped any more")
                    }
                    let word = try memory.load(Word<UInt64>(found), .relaxed)
                    try tables.require(word == content, "page \(page) has lost its content")
                }
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "table-freed-by-collapse",
            "Is a leaf table that became a large leaf read by a walker after it was freed?",
            rules: [.deferTableFree, .blockTableFreeing], races: ["C6"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            guard let block = try tables.newBlock(1, tag: 1) else { return }
            let start = tables.layout.map.address(of: block)
            try tables.space.map(
                tables.pages(0, 1), to: start, tables.writable, largestLeaf: tables.smallLeaf, in: tables.memory(0))
            try tables.references.drop(on: block, in: tables.memory(0))
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(tag == nil || tag == 1, "page 0 is pinned and holds \(tag ?? 0)")
            }
            execution.spawn(named: "owner") {
                try tables.space.collapse(tables.address(0), in: tables.memory(0))
                try tables.require(try tables.physical(of: 1) != nil, "page 1 is not mapped any more")
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]
}

/// What one thread leaves for the final check.
private final class Kept<Value> {
    var value: Value?
}

extension SpaceMachine {
    /// Collapses the table of a page, unless somebody refers to one of its pages.
    func collapseIfPossible(_ page: Int, on processor: Int) throws {
        do throws(SpaceError<Abandoned>) { try space.collapse(address(page), in: memory(processor)) } catch {
            guard case .refused(.notCollapsible) = error else { throw error }
        }
    }
}
