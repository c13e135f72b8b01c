import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

@Suite("Frames")
struct FrameTests {
    let memory = SingleProcessorMemory()
    let map = FrameMap(
        log2FrameBytes: 12, first: Frame(37), frameCount: 500, descriptors: PhysicalAddress(0x1000))
    let allocator: FrameAllocator
    let references: FrameReferences

    init() throws {
        let bookkeeping = PhysicalRange(first: PhysicalAddress(0), last: PhysicalAddress(37 << 12 - 1))
        try memory.beginLife(of: bookkeeping, as: .bookkeeping)
        allocator = FrameAllocator(map, lock: PhysicalAddress(0x40))
        references = FrameReferences(allocator)
    }

    @Test("Blocks are aligned to their size, inside the map, and never overlap", arguments: 0..<8)
    func blocks(_ run: Int) throws {
        var random = SeededRandom(for: "blocks \(run)")
        let replay: Comment = "\(SeededRandom.replay("VirtualMemoryTests"))"
        var taken: [Frame: FrameOrder] = [:]
        for _ in 0..<600 {
            if Bool.random(using: &random), let head = taken.keys.sorted().randomElement(using: &random) {
                taken[head] = nil
                try references.drop(on: head, in: memory)
            } else {
                let order = FrameOrder(Int.random(in: 0...6, using: &random))
                // The memory fails if two objects overlap.
                guard let head = try allocator.allocate(order, in: memory) else { continue }
                #expect(head.number % order.frameCount == 0, replay)
                #expect(map.contains(head) && map.contains(Frame(head.number + order.frameCount - 1)), replay)
                taken[head] = order
            }
            let used = taken.values.reduce(0) { $0 + UInt64($1.frameCount) }
            #expect(try allocator.freeFrameCount(in: memory) == 500 - used, replay)
        }
    }

    @Test("What was cut apart is joined again when all of it is free")
    func merging() throws {
        let largest = try allocator.allocate(FrameOrder(7), in: memory)
        #expect(largest != nil)
        var singles: [Frame] = []
        while let frame = try allocator.allocate(in: memory) { singles.append(frame) }
        #expect(singles.count == 500 - 128)
        for frame in singles + [largest].compactMap(\.self) {
            try references.drop(on: frame, in: memory)
        }
        #expect(memory.objects.count == 1)
        // 37 ..< 537 holds one aligned block of 256 frames.
        #expect(try allocator.allocate(FrameOrder(8), in: memory) == Frame(256))
    }

    @Test("A refused allocation takes nothing")
    func refusal() throws {
        memory.refuse([.frame], 0..<1)
        #expect(try allocator.allocate(in: memory) == nil)
        #expect(try allocator.freeFrameCount(in: memory) == 500)
        #expect(try allocator.allocate(in: memory) != nil)
    }

    @Test("A frame whose references are zero is not revived")
    func dead() throws {
        let frame = try #require(try allocator.allocate(in: memory))
        try references.drop(on: frame, in: memory)
        #expect(try references.take(on: frame, in: memory) == nil)
        #expect(try memory.load(map.descriptor(of: frame).references, .relaxed) == 0)
    }

    @Test("References on any frame of a block are on its head")
    func heads() throws {
        let head = try #require(try allocator.allocate(FrameOrder(3), in: memory))
        #expect(try references.take(5, on: Frame(head.number + 6), in: memory) == head)
        #expect(try memory.load(map.descriptor(of: head).references, .relaxed) == 6)
        try references.drop(5, on: head, in: memory)
        #expect(try memory.load(map.descriptor(of: head).references, .relaxed) == 1)
        try references.drop(on: head, in: memory)
        #expect(try allocator.freeFrameCount(in: memory) == 500)
    }

    @Test("Pins of single frames are biased references, those of large blocks have a counter", arguments: [0, 4])
    func pins(_ order: Int) throws {
        let head = try #require(try allocator.allocate(FrameOrder(order), in: memory))
        let descriptor = map.descriptor(of: head)
        #expect(try !references.mayBePinned(head, in: memory))
        #expect(try references.takePins(2, on: head, in: memory) == head)
        #expect(try references.mayBePinned(head, in: memory))
        #expect(try memory.load(descriptor.pins, .relaxed) == (order == 0 ? 0 : 2))
        #expect(try memory.load(descriptor.references, .relaxed) == (order == 0 ? 1 + 2 * FrameReferences.bias : 3))
        try references.unpin(2, on: head, in: memory)
        #expect(try !references.mayBePinned(head, in: memory))
        try references.drop(on: head, in: memory)
        #expect(try allocator.freeFrameCount(in: memory) == 500)
    }

    @Test("A frame that is freed twice traps")
    func doubleFree() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let memory = SingleProcessorMemory()
            memory.watchesLives = false
            let map = FrameMap(
                log2FrameBytes: 12, first: Frame(1), frameCount: 4, descriptors: PhysicalAddress(0x1000))
            try FrameAllocator(map, lock: PhysicalAddress(0x40)).free(Frame(2), in: memory)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("a frame is freed twice"))
    }

    @Test("Dropping more references than were taken traps")
    func underflow() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let memory = SingleProcessorMemory()
            memory.watchesLives = false
            let map = FrameMap(
                log2FrameBytes: 12, first: Frame(1), frameCount: 4, descriptors: PhysicalAddress(0x1000))
            let references = FrameReferences(FrameAllocator(map, lock: PhysicalAddress(0x40)))
            guard let frame = try references.allocator.allocate(in: memory) else { return }
            try references.drop(2, on: frame, in: memory)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("more references of a frame are dropped than were taken"))
    }
}
