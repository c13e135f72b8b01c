import HostMemory
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

@Suite("Whole tables")
struct WholeTableTests {
    private let memory: HostMemory
    private let references: FrameReferences
    private let space: Space<X86_64>
    private let writable = X86_64().attributes([.read, .write])

    /// What an entry of level 1 covers.
    private static let block: UInt64 = 2 << 20

    init() throws {
        memory = HostProcessors(arena: try HostArena(byteCount: 32 << 20)).attach()
        let layout = try #require(PhysicalLayout(log2FrameBytes: 12, byteCount: 32 << 20))
        references = layout.makeReferences()
        space = try Space.make(X86_64(), references, words: layout.spaceWords(), in: memory)
    }

    private func range(_ first: UInt64, _ bytes: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first + bytes - 1))
    }

    private func mapDevice(_ first: UInt64, _ bytes: UInt64, largestLeaf: Int = 63) throws {
        try space.map(
            range(first, bytes), to: PhysicalAddress(1 << 40 + first), writable,
            largestLeaf: PageSize(log2Bytes: largestLeaf), in: memory)
    }

    /// The leaf that maps an address.
    private func leaf(_ address: UInt64) -> FoundLeaf? {
        memory.withRCUReader { section in
            let root = SoundStructure.loadRoot(space.words, memory)
            return space.leaf(of: VirtualAddress(address), cameFrom: VirtualAddress(address), root, in: section)
        }
    }

    private func physical(_ address: UInt64) -> UInt64? {
        leaf(address).map { X86_64().physical(of: $0.entry, at: $0.level, for: VirtualAddress(address)).rawValue }
    }

    /// Maps a block page by page, and writes the number of each into it.
    private func mapFrames(_ first: UInt64) throws -> [Frame] {
        try (0..<512 as Range<UInt64>).map { page in
            let frame = try #require(references.allocator.allocate(in: memory))
            let place = references.map.address(of: frame)
            memory.store(page, to: Word<UInt64>(place), .relaxed)
            try space.map(range(first + page << 12, 4096), to: place, writable, in: memory)
            references.drop(on: frame, in: memory)
            return frame
        }
    }

    private func retract(_ first: UInt64, _ bytes: UInt64) -> Int {
        memory.withReadLock(space.words.lock) { lock in space.reclaimEmptyTables(in: range(first, bytes), lock: lock) }
    }

    private func finish() {
        space.tearDown(in: memory)
        #expect(references.allocator.freeFrameCount(in: memory) == UInt64(references.map.frameCount))
        memory.detach()
    }

    @Test("A leaf table moves as it is where old and new addresses are aligned alike")
    func relinking() throws {
        try mapDevice(0, Self.block, largestLeaf: 12)
        let table = try #require(leaf(0)?.table)
        try space.move(range(0, Self.block), to: VirtualAddress(1 << 40), in: memory)
        #expect(leaf(1 << 40)?.table == table)
        #expect(physical(1 << 40 + 0x5000) == 1 << 40 + 0x5000)
        #expect(leaf(0) == nil)
        finish()
    }

    @Test("A table above leaf tables moves as it is as well")
    func relinkingUpperTable() throws {
        try mapDevice(0x1000, 4096)
        try mapDevice(1 << 29, 4096)
        let free = references.allocator.freeFrameCount(in: memory)
        try space.move(range(0, 1 << 30), to: VirtualAddress(7 << 30), in: memory)
        #expect(references.allocator.freeFrameCount(in: memory) == free)
        #expect(physical(7 << 30 + 0x1000) == 1 << 40 + 0x1000)
        #expect(physical(7 << 30 + 1 << 29) == 1 << 40 + 1 << 29)
        finish()
    }

    @Test("A large leaf is split where the target is not as aligned, and takes the place of an empty table where it is")
    func largeLeaves() throws {
        try mapDevice(0, 2 * Self.block)
        try space.move(range(0, Self.block), to: VirtualAddress(16 * Self.block + 0x1000), in: memory)
        #expect(leaf(16 * Self.block + 0x1000)?.level == .leafTable)
        #expect(physical(16 * Self.block + 0x3000) == 1 << 40 + 0x2000)
        // An empty table is where the other one goes.
        try mapDevice(32 * Self.block, 4096)
        try space.unmap(range(32 * Self.block, 4096), in: memory)
        try space.move(range(Self.block, Self.block), to: VirtualAddress(32 * Self.block), in: memory)
        #expect(leaf(32 * Self.block)?.level == Level(1))
        finish()
    }

    @Test("Nothing moves to where something is, nor over itself")
    func refusals() throws {
        try mapDevice(0, 0x4000)
        try mapDevice(0x9000, 0x1000)
        func refusal(_ target: UInt64) -> Refusal? {
            do throws(SpaceError<Never>) {
                try space.move(range(0, 0x4000), to: VirtualAddress(target), in: memory)
            } catch { if case .refused(let refusal) = error { return refusal } }
            return nil
        }
        #expect(refusal(0x7000) == .alreadyMapped(VirtualAddress(0x9000)))
        #expect(refusal(0x2000) == .invalidRange(range(0x2000, 0x4000)))
        #expect(refusal(0x10_0800) == .invalidRange(range(0, 0x4000)))
        #expect(physical(0x3000) == 1 << 40 + 0x3000)
        finish()
    }

    @Test("Single frames become one block with the same content, unless one of them is pinned")
    func collapse() throws {
        let frames = try mapFrames(Self.block)
        let pinned = VirtualAddress(Self.block + 77 << 12)
        let pin = try #require(
            memory.withInterruptsBlocked { section in space.pinFast(pinned, for: .write, in: section) })
        #expect(throws: SpaceError<Never>.self) { try space.collapse(VirtualAddress(Self.block), in: memory) }
        #expect(physical(pinned.rawValue) == pin.range.first.rawValue)
        space.unpin(pin, in: memory)
        try space.collapse(VirtualAddress(Self.block), in: memory)
        #expect(leaf(Self.block)?.level == Level(1))
        for page in 0..<512 as Range<UInt64> {
            let place = try #require(physical(Self.block + page << 12))
            #expect(memory.load(Word<UInt64>(PhysicalAddress(place)), .relaxed) == page)
            #expect(references.map.address(of: frames[Int(page)]).rawValue != place)
        }
        // A part of it can go again: references are those of pages.
        try space.unmap(range(Self.block, 0x1000), in: memory)
        #expect(physical(Self.block) == nil)
        finish()
    }

    @Test("A device that lies as one large page is mapped by one")
    func collapseOfDevice() throws {
        try mapDevice(0, Self.block, largestLeaf: 12)
        try space.protect(range(0x5000, 0x1000), writable.rights.subtracting(.writes), in: memory)
        #expect(throws: SpaceError<Never>.self) { try space.collapse(VirtualAddress(0), in: memory) }
        try space.protect(range(0x5000, 0x1000), writable.rights, in: memory)
        let free = references.allocator.freeFrameCount(in: memory)
        try space.collapse(VirtualAddress(0x5000), in: memory)
        #expect(leaf(0)?.level == Level(1))
        #expect(physical(0x5123) == 1 << 40 + 0x5123)
        #expect(references.allocator.freeFrameCount(in: memory) == free + 1)
        finish()
    }

    @Test("Only tables that map nothing are taken back, and a fault makes them again")
    func retraction() throws {
        for block in 0..<4 as Range<UInt64> { try mapDevice(block * Self.block, 0x2000) }
        for block in [0, 2] as [UInt64] {
            for page in 0..<2 as Range<UInt64> {
                try space.unmap(range(block * Self.block + page << 12, 0x1000), in: memory)
            }
        }
        #expect(retract(Self.block, Self.block) == 0)
        #expect(retract(0, 4 * Self.block) == 2)
        #expect(physical(Self.block + 0x1000) == 1 << 40 + Self.block + 0x1000)
        let device = Region.Content.device(start: PhysicalAddress(1 << 41))
        try space.add(Region(range(0, 0x1000), device, writable), in: memory)
        memory.withReadLock(space.words.lock) { lock in
            #expect(throws: Never.self) { try space.fault(VirtualAddress(0), for: .read, lock: lock) }
        }
        #expect(physical(0) == 1 << 41)
        finish()
    }
}
