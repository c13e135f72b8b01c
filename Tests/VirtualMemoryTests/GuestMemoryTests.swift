import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import Testing
import VirtualMemory

@Suite("A guest over a live second stage")
struct GuestMemoryTests {
    /// The host's side of a small virtual machine: its memory appears as it is used.
    private struct Host {
        let memory: HostMemory
        let stage: VirtualMemory.Space<X86EPT>

        /// Stores a word where the guest has it.
        func store(_ value: UInt64, at guestPhysical: UInt64) throws {
            let address = VirtualAddress(guestPhysical & ~0xfff)
            let page = VirtualRange(first: address, last: VirtualAddress(address.rawValue | 0xfff))
            var pins: [Pin] = []
            try stage.pin(page, for: .write, in: memory, into: &pins)
            for pin in pins {
                memory.store(
                    value, to: Word(PhysicalAddress(pin.range.first.rawValue + guestPhysical & 0xfff)), .release)
                stage.unpin(pin, in: memory)
            }
        }

        func translate(_ address: UInt64) -> TwoStageTranslation {
            memory.withInterruptsBlocked { section in
                TwoStageSpace(
                    guest: AddressSpace.x86LongMode(X86_64(), cr3: 0x1000), stage: stage.view(in: section)
                ).translate(VirtualAddress(address), in: section)
            }
        }

        func fault(_ guestPhysical: PhysicalAddress) {
            memory.withReadLock(stage.words.lock) { lock in
                do throws(SpaceError<Never>) {
                    try stage.fault(VirtualAddress(guestPhysical.rawValue), for: .write, lock: lock)
                } catch { Issue.record("\(error)") }
            }
        }
    }

    @Test("is translated by both, and what the second stage lacks is the host's to fault in")
    func faults() throws {
        let layout = PhysicalLayout(log2FrameBytes: 12, byteCount: 4 << 20)!
        let processors = HostProcessors(arena: try HostArena(byteCount: 4 << 20))
        let memory = processors.attach()
        defer { memory.detach() }
        let stage = try VirtualMemory.Space<X86EPT>.make(
            X86EPT(), layout.makeReferences(), words: layout.spaceWords(), in: memory)
        let guestMemory = VirtualRange(first: VirtualAddress(0), last: VirtualAddress(0xf_ffff))
        try stage.add(Region(guestMemory, .anonymous, stage.format.attributes([.read, .write, .execute])), in: memory)
        let host = Host(memory: memory, stage: stage)

        guard case .unmapped(.table(let level, let first)) = host.translate(0x3abc) else {
            Issue.record("the guest's top table is not there yet")
            return
        }
        #expect(level == Level(3) && first.guestPhysical == PhysicalAddress(0x1000))
        // Three tables that lead to the next, and a leaf without execution.
        for (table, next) in [(0x1000, 0x2003), (0x2000, 0x3003), (0x3000, 0x4003)] as [(UInt64, UInt64)] {
            try host.store(next, at: table)
        }
        try host.store(0x8000_0000_0000_9003, at: 0x4000 + 3 * 8)
        guard case .unmapped(.page(let missing)) = host.translate(0x3abc) else {
            Issue.record("the page is not there yet")
            return
        }
        #expect(missing.guestPhysical == PhysicalAddress(0x9abc))
        host.fault(missing.guestPhysical)
        guard case .mapped(let found) = host.translate(0x3abc) else {
            Issue.record("the page is there")
            return
        }
        #expect(found.rights == [.supervisorRead, .supervisorWrite])
        try host.store(0x1234_5678, at: 0x9ab8)
        #expect(memory.load(Word<UInt64>(PhysicalAddress(found.physical.rawValue & ~7)), .acquire) == 0x1234_5678)
        guard case .unmapped(.guest(let fault)) = host.translate(0x5000) else {
            Issue.record("the guest maps nothing there")
            return
        }
        #expect(fault.level == .leafTable)
        stage.tearDown(in: memory)
        #expect(stage.references.allocator.freeFrameCount(in: memory) == UInt64(layout.map.frameCount))
    }
}
