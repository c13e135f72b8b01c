import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// References to frames without a lock, against freeing and reuse.
    static let frames: [Scenario] = [
        Scenario(
            "frame-freed-while-pinned",
            "May a frame be referenced without a lock while its last reference is dropped?",
            rules: [.pinOnlyLiveFrame]
        ) { execution, variation in
            let machine = try FrameMachine(execution, frames: 2, lifting: variation.rule)
            let owner = machine.memory(0)
            guard let frame = try machine.allocator.allocate(in: owner) else { return }
            execution.spawn(named: "walker") { try machine.use(frame, on: 1) }
            execution.spawn(named: "owner") { try machine.release(frame, on: 0) }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "block-reused-while-pinned",
            "May a frame of a large block be referenced without a lock while the block is freed and cut apart?",
            rules: [.recheckHeadAfterPin, .forgetBlockBeforeReuse, .pinOnlyLiveFrame]
        ) { execution, variation in
            let machine = try FrameMachine(execution, frames: 2, lifting: variation.rule)
            let owner = machine.memory(0)
            guard let block = try machine.allocator.allocate(FrameOrder(1), in: owner) else { return }
            execution.spawn(named: "walker") { try machine.use(Frame(block.number + 1), on: 1) }
            execution.spawn(named: "owner") {
                try machine.release(block, on: 0)
                if let single = try machine.allocator.allocate(in: owner) { try machine.release(single, on: 0) }
            }
            execution.atEnd { try machine.requireAllFree() }
        },
    ]
}

/// Frames, their descriptors and their allocator in an explored machine.
private final class FrameMachine {
    let machine: ExploredMachine
    let map: FrameMap
    let allocator: FrameAllocator
    let references: FrameReferences

    init(_ execution: Execution, frames: UInt32, lifting lifted: SafetyRule?) throws {
        machine = ExploredMachine(execution, processors: 2, lifting: lifted)
        // Descriptors from 0x1000 on, the allocator's lock at 0x800; frames begin at an even number.
        map = FrameMap(log2FrameBytes: 12, first: Frame(16), frameCount: frames, descriptors: PhysicalAddress(0x1000))
        allocator = FrameAllocator(map, lock: PhysicalAddress(0x800))
        references = FrameReferences(allocator)
        try machine.processor(0).beginLife(
            of: PhysicalRange(first: PhysicalAddress(0x800), last: PhysicalAddress(0x1fff)), as: .bookkeeping)
    }

    func memory(_ processor: Int) -> ExploredMemory { machine.processor(processor) }

    /// What a lock-free walker does with a frame that an entry named: takes a reference, uses the frame, drops it.
    func use(_ frame: Frame, on processor: Int) throws {
        let memory = memory(processor)
        guard let head = try references.take(on: frame, in: memory) else { return }
        let block = FrameBlock(rawValue: try memory.load(map.descriptor(of: frame).block, .acquire))
        if block.head(of: frame) != head {
            try machine.violate("the reference to frame \(frame.number) is on frame \(head.number), another block")
        }
        _ = try memory.load(Word<UInt64>(map.address(of: frame)), .relaxed)
        try release(head, on: processor)
    }

    func release(_ head: Frame, on processor: Int) throws { try references.drop(on: head, in: memory(processor)) }

    func requireAllFree() throws {
        let free = try allocator.freeFrameCount(in: memory(0))
        if free != UInt64(map.frameCount) {
            try machine.violate("\(UInt64(map.frameCount) - free) frames are never freed")
        }
    }
}
