import PageTables
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

    init() {
        allocator = FrameAllocator(map, lock: PhysicalAddress(0x40))
        references = FrameReferences(allocator)
    }

    @Test("Blocks are aligned to their size, inside the map, and never overlap", arguments: 0..<8)
    func blocks(_ run: Int) throws {
        let seed = UInt64(run)
        var random = SplitMix64(seed: seed)
        var taken: [Frame: FrameOrder] = [:]
        for _ in 0..<600 {
            if Bool.random(using: &random), let head = taken.keys.sorted().randomElement(using: &random) {
                taken[head] = nil
                references.drop(on: head, in: memory)
            } else {
                let order = FrameOrder(Int.random(in: 0...6, using: &random))
                // `SingleProcessorMemory` traps if two objects overlap.
                guard let head = allocator.allocate(order, in: memory) else { continue }
                #expect(head.number % order.frameCount == 0, "replay: run \(run)")
                #expect(map.contains(head) && map.contains(Frame(head.number + order.frameCount - 1)))
                taken[head] = order
            }
            let used = taken.values.reduce(0) { $0 + UInt64($1.frameCount) }
            #expect(allocator.freeFrameCount(in: memory) == 500 - used, "replay: run \(run)")
        }
    }

    @Test("What was cut apart is joined again when all of it is free")
    func merging() {
        let largest = allocator.allocate(FrameOrder(7), in: memory)
        #expect(largest != nil)
        var singles: [Frame] = []
        while let frame = allocator.allocate(in: memory) { singles.append(frame) }
        #expect(singles.count == 500 - 128)
        for frame in singles + [largest].compactMap(\.self) {
            references.drop(on: frame, in: memory)
        }
        #expect(memory.lives.isEmpty)
        // 37 ..< 537 holds one aligned block of 256 frames.
        #expect(allocator.allocate(FrameOrder(8), in: memory) == Frame(256))
    }

    @Test("A refused allocation takes nothing")
    func refusal() {
        memory.refused = [0]
        #expect(allocator.allocate(in: memory) == nil)
        #expect(allocator.freeFrameCount(in: memory) == 500)
        #expect(allocator.allocate(in: memory) != nil)
    }

    @Test("A frame whose references are zero is not revived")
    func dead() throws {
        let frame = try #require(allocator.allocate(in: memory))
        references.drop(on: frame, in: memory)
        #expect(references.take(on: frame, in: memory) == nil)
        #expect(memory.load(map.descriptor(of: frame).references, .relaxed) == 0)
    }

    @Test("References on any frame of a block are on its head")
    func heads() throws {
        let head = try #require(allocator.allocate(FrameOrder(3), in: memory))
        #expect(references.take(5, on: Frame(head.number + 6), in: memory) == head)
        #expect(memory.load(map.descriptor(of: head).references, .relaxed) == 6)
        references.drop(5, on: head, in: memory)
        #expect(memory.load(map.descriptor(of: head).references, .relaxed) == 1)
        references.drop(on: head, in: memory)
        #expect(allocator.freeFrameCount(in: memory) == 500)
    }

    @Test("Pins of single frames are biased references, those of large blocks have a counter", arguments: [0, 4])
    func pins(_ order: Int) throws {
        let head = try #require(allocator.allocate(FrameOrder(order), in: memory))
        let descriptor = map.descriptor(of: head)
        #expect(!references.mayBePinned(head, in: memory))
        #expect(references.take(2, on: head, in: memory) == head)
        references.pin(2, referenced: head, in: memory)
        #expect(references.mayBePinned(head, in: memory))
        #expect(memory.load(descriptor.pins, .relaxed) == (order == 0 ? 0 : 2))
        #expect(memory.load(descriptor.references, .relaxed) == (order == 0 ? 1 + 2 * FrameReferences.bias : 3))
        references.unpin(2, on: head, in: memory)
        #expect(!references.mayBePinned(head, in: memory))
        references.drop(on: head, in: memory)
        #expect(allocator.freeFrameCount(in: memory) == 500)
    }

    @Test("A frame that is freed twice traps")
    func doubleFree() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let memory = SingleProcessorMemory()
            memory.watchesLives = false
            let map = FrameMap(
                log2FrameBytes: 12, first: Frame(1), frameCount: 4, descriptors: PhysicalAddress(0x1000))
            FrameAllocator(map, lock: PhysicalAddress(0x40)).free(Frame(2), in: memory)
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("a frame is freed twice"))
    }
}

/// A seeded generator: a failure names the run that replays it.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
