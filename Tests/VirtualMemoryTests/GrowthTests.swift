import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import Testing
import VirtualMemory

@Suite("Spaces that grow")
struct GrowthTests {
    private static let limit: UInt64 = 1 << 31
    private static let across = VirtualRange(
        first: VirtualAddress(limit - 0x1000), last: VirtualAddress(limit + 0xfff))

    /// Runs `body` with a space of two levels whose last page is mapped.
    private static func withSpace(_ body: (Space<S390x>, HostMemory) throws -> Void) throws {
        let layout = PhysicalLayout(log2FrameBytes: 12, frameCount: 64)
        let processors = HostProcessors(arena: try HostArena(byteCount: Int(layout.byteCount)))
        try processors.withProcessor { memory in
            let space = try Space<S390x>.make(
                S390x(), layout.makeReferences(), words: layout.spaceWords(), in: memory)
            let page = VirtualRange(first: across.first, last: VirtualAddress(limit - 1))
            try space.map(page, to: PhysicalAddress(1 << 40), S390x().attributes([.read, .write]), in: memory)
            try body(space, memory)
        }
    }

    private static func lastPage(of space: Space<S390x>, in memory: HostMemory) -> Translation {
        memory.withInterruptsBlocked { section in
            space.view(in: section).translate(across.first, in: section)
        }
    }

    @Test("What a range unmaps below the end of the space goes, though the space does not reach the rest")
    func unmapping() throws {
        try Self.withSpace { space, memory in
            try space.unmap(Self.across, in: memory)
            guard case .unmapped = Self.lastPage(of: space, in: memory) else {
                Issue.record("the page is still mapped")
                return
            }
        }
    }

    @Test("So do the rights that a range takes")
    func protecting() throws {
        try Self.withSpace { space, memory in
            try space.protect(Self.across, S390x().attributes([.read]).rights, in: memory)
            guard case .mapped(let mapping) = Self.lastPage(of: space, in: memory) else {
                Issue.record("the page is not mapped any more")
                return
            }
            #expect(!mapping.rights.canWrite)
        }
    }
}
