import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

/// A live space in an explored machine, and what a scenario does with it.
final class SpaceMachine<Structure: SpaceStructure> {
    let machine: ExploredMachine
    let layout: PhysicalLayout
    let references: FrameReferences
    let format: MiniatureFormat
    let space: LiveSpace<MiniatureFormat, Structure>

    /// - Parameters:
    ///   - frames: For tables and pages; more than are ever used at once cost nothing.
    ///   - failing: Allocations that may fail. Those of the set-up and of final checks do not.
    init(
        _ execution: Execution, _ variation: Variation, processors: Int = 2, frames: UInt32 = 16,
        format: MiniatureFormat = MiniatureFormat(), topLevel: Level = Level(1),
        reclaiming policy: ReclaimPolicy = .rcu, filling: TableFilling = .single,
        failing: Set<AllocationKind> = [], spaces: Int = 1, files: Int = 0
    ) throws {
        machine = ExploredMachine(execution, processors: processors, lifting: variation.rule, failing: failing)
        layout = PhysicalLayout(
            log2FrameBytes: format.log2FrameBytes, frameCount: frames, spaceCount: spaces, fileCount: files)
        references = layout.makeReferences()
        self.format = format
        let memory = machine.processor(0)
        try memory.beginLife(of: layout.bookkeeping, as: .bookkeeping)
        space = try LiveSpace.make(
            format, topLevel: topLevel, references, words: layout.spaceWords(), reclaiming: policy, filling: filling,
            in: memory)
    }

    func memory(_ processor: Int) -> ExploredMemory { machine.processor(processor) }
    var pageBytes: UInt64 { 1 << UInt64(format.log2FrameBytes) }

    /// The addresses of pages `first ... last`.
    func pages(_ first: Int, _ last: Int? = nil) -> VirtualRange {
        let end = UInt64(last ?? first) + 1
        return VirtualRange(first: address(first), last: VirtualAddress(end * pageBytes - 1))
    }

    func address(_ page: Int) -> VirtualAddress { VirtualAddress(UInt64(page) * pageBytes) }

    var writable: EntryAttributes { format.attributes([.read, .write]) }

    /// Takes a block, writes a tag into each of its pages, and keeps the reference.
    func newBlock(_ order: Int = 0, tag: UInt64, on processor: Int = 0) throws -> Frame? {
        let memory = memory(processor)
        guard let head = try references.allocator.allocate(FrameOrder(order), in: memory) else { return nil }
        for number in 0..<UInt32(1 << order) {
            let frame = Frame(head.number + number)
            try memory.store(tag + UInt64(number), to: Word<UInt64>(layout.map.address(of: frame)), .relaxed)
        }
        return head
    }

    /// Maps a new block and gives up its own reference, so that the mapping has the last ones.
    @discardableResult
    func mapNew(_ pages: VirtualRange, order: Int = 0, tag: UInt64, on processor: Int = 0) throws -> Frame? {
        guard let head = try newBlock(order, tag: tag, on: processor) else { return nil }
        let memory = memory(processor)
        try space.map(pages, to: layout.map.address(of: head), writable, in: memory)
        try references.drop(on: head, in: memory)
        return head
    }

    /// Pins the page of an address without a lock, and says what its tag is; `nil` if the pin retreated.
    func tagOfFastPin(_ page: Int, on processor: Int) throws -> UInt64? {
        let memory = memory(processor)
        let pin = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
            try space.pinFast(address(page), for: .read, in: section)
        }
        guard let pin else { return nil }
        // The pin alone keeps the page: the section is over.
        let tag = try memory.load(Word<UInt64>(pin.range.first), .relaxed)
        try space.unpin(pin, in: memory)
        return tag
    }

    func require(_ condition: Bool, _ property: @autoclosure () -> String) throws {
        if !condition { try machine.violate(property()) }
    }

    /// Tears the space down and looks whether every frame came back, without pins.
    func requireAllFree() throws {
        try space.tearDown(in: memory(0))
        let free = try references.allocator.freeFrameCount(in: memory(0))
        let lost = UInt64(layout.map.frameCount) - free
        try require(lost == 0, "\(lost) frames are never freed")
        for number in 0..<layout.map.frameCount {
            let frame = Frame(layout.map.first.number + number)
            let pins = try memory(0).load(layout.map.descriptor(of: frame).pins, .relaxed)
            try require(pins == 0, "frame \(frame.number) is free and has \(pins) pins")
        }
    }
}
