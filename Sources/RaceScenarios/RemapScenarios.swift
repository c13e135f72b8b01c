import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Pins without a lock, against mappings that change and come back: a second look that compares values cannot tell.
    static let remaps: [Scenario] = [
        // There is one frame besides those of tables: the entry is the same again, and the page is another one.
        Scenario(
            "pin-against-remap",
            "Is what a pin keeps a page that was mapped at the address, if another came there in the same frame?",
            rules: [.pinOnlyLiveFrame, .recheckEntryAfterPin]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 2)
            try tables.mapNew(tables.pages(0), tag: 1)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(tag == nil || tag == 1 || tag == 3, "page 0 is pinned and holds \(tag ?? 0)")
            }
            execution.spawn(named: "owner") {
                let memory = tables.memory(0)
                try tables.space.unmap(tables.pages(0), in: memory)
                if let other = try tables.newBlock(tag: 2) { try tables.references.drop(on: other, in: memory) }
                try tables.mapNew(tables.pages(0), tag: 3)
                try tables.space.unmap(tables.pages(0), in: memory)
                if let other = try tables.newBlock(tag: 2) { try tables.references.drop(on: other, in: memory) }
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "pin-against-remapped-part-of-block",
            "Is the reference on the pinned page's own block, if the block was cut apart and the page mapped again?",
            rules: [.recheckHeadAfterPin, .pinOnlyLiveFrame, .recheckEntryAfterPin, .forgetBlockBeforeReuse],
            races: ["C1"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 3)
            let memory = tables.memory(0)
            guard let block = try tables.newBlock(1, tag: 1) else { return }
            let second = PhysicalAddress(tables.layout.map.address(of: block).rawValue + tables.pageBytes)
            try tables.space.map(tables.pages(0), to: second, tables.writable, in: memory)
            try tables.references.drop(on: block, in: memory)
            execution.spawn(named: "pinner") {
                let tag = try tables.tagOfFastPin(0, on: 1)
                try tables.require(tag == nil || tag == 2 || tag == 4, "page 0 is pinned and holds \(tag ?? 0)")
            }
            execution.spawn(named: "owner") {
                try tables.space.unmap(tables.pages(0), in: memory)
                // The two halves of the block, if the pinner has let go of it.
                guard let first = try tables.newBlock(tag: 3) else { return }
                guard try tables.mapNew(tables.pages(0), tag: 4) != nil else {
                    return try tables.references.drop(on: first, in: memory)
                }
                try tables.space.unmap(tables.pages(0), in: memory)
                try tables.reuseFrame()
                try tables.references.drop(on: first, in: memory)
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        writePin("write-pin-against-protect", order: 0, "page"),
        writePin("write-pin-of-block-against-protect", order: 1, "page of a large block"),
    ]

    /// Who makes a page read-only and then finds no pin on it may rely on nobody writing to it: that is how a copy is avoided
    /// after a fork. Of a single frame pins are in the references, of a block in a word of their own.
    private static func writePin(_ name: String, order: Int, _ what: String) -> Scenario {
        Scenario(
            name, "Can a \(what) that was made read-only, and then was not pinned, still be pinned for writing?",
            rules: [.recheckEntryAfterPin]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 3)
            let pages = tables.pages(0, (1 << order) - 1)
            guard let block = try tables.mapNew(pages, order: order, tag: 1) else { return }
            let isReadOnly = ExploredAtomic<UInt32>(0, in: execution, "read-only and not pinned")
            execution.spawn(named: "pinner") {
                let memory = tables.memory(1)
                let pin = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                    try tables.space.pinFast(tables.address(0), for: .write, in: section)
                }
                guard let pin else { return }
                try tables.require(
                    isReadOnly.load() == 0, "page 0 is pinned for writing, and nobody was to write to it")
                try tables.space.unpin(pin, in: memory)
            }
            execution.spawn(named: "owner") {
                let memory = tables.memory(0)
                try tables.space.protect(pages, tables.format.attributes(.read).rights, in: memory)
                if try !tables.references.mayBePinned(block, in: memory) { try isReadOnly.store(1) }
            }
            execution.atEnd { try tables.requireAllFree() }
        }
    }
}
