import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import Testing
import VirtualMemory

@Suite("A live space in host memory")
struct HostSpaceTests {
    /// The example of the README, word for word.
    @Test("does what the README says")
    func readme() throws {
        let processors = HostProcessors(arena: try HostArena(byteCount: 64 << 20))
        let memory = processors.attach()  // one for each thread
        defer { memory.detach() }
        let layout = PhysicalLayout(log2FrameBytes: 12, byteCount: 64 << 20)!
        let space = try Space<X86_64>.make(
            X86_64(), layout.makeReferences(), words: layout.spaceWords(), in: memory)

        let range = VirtualRange(first: VirtualAddress(0x40_0000), last: VirtualAddress(0x40_3fff))
        try space.add(Region(range, .anonymous, space.format.attributes([.read, .write])), in: memory)
        var pins: [Pin] = []
        try space.pin(range, for: .write, in: memory, into: &pins)  // maps the pages, and holds them

        let again = memory.withInterruptsBlocked { section in  // no lock: nil says "ask the slow path"
            space.pinFast(VirtualAddress(0x40_2000), for: .read, in: section)
        }
        let written = memory.withReadLock(space.words.lock) { lock in  // each record of a write, once
            space.takeDirty(in: range, lock: lock).dirty
        }
        let use = space.regionSummaries(in: memory)[0].summary.frames  // as /proc/PID/smaps, without a lock
        try space.unmap(range, in: memory)  // the pinned pages stay until they are unpinned

        #expect(again?.range == pins[2].range)
        #expect(written.isEmpty, "nobody runs here whose writes are recorded")
        #expect(use?.privateCleanBytes == 4 * 4096)
        for pin in pins + [again].compactMap(\.self) { space.unpin(pin, in: memory) }
        space.tearDown(in: memory)
        #expect(space.references.allocator.freeFrameCount(in: memory) == UInt64(layout.map.frameCount))
    }
}
