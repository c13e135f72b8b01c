import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// What the tests of live spaces rely on.
@Suite("Memory of a single processor notices")
struct SingleProcessorMemoryTests {
    private let memory = SingleProcessorMemory(byteCount: 1 << 16)

    private func range(_ first: UInt64, _ bytes: UInt64) -> PhysicalRange {
        PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(first + bytes - 1))
    }

    private func word(_ address: UInt64) -> Word<UInt64> { Word(PhysicalAddress(address)) }

    @Test func `words outside every object`() throws {
        try memory.beginLife(of: range(0x1000, 0x100), as: .frame)
        for address in [0xff8, 0x1100, 0x1_0000, 0 &- 8] as [UInt64] {
            #expect(throws: MemoryMisuse.self) { try memory.load(word(address), .relaxed) }
            #expect(throws: MemoryMisuse.self) { try memory.store(1, to: word(address), .relaxed) }
        }
        try memory.store(1, to: word(0x10f8), .relaxed)
        try memory.endLife(of: range(0x1000, 0x100))
        #expect(throws: MemoryMisuse.self) { try memory.load(word(0x10f8), .relaxed) }
    }

    @Test func `objects that overlap, and ends of what is none`() throws {
        try memory.beginLife(of: range(0x1000, 0x100), as: .frame)
        for (first, bytes) in [(0x1000, 0x100), (0xf00, 0x110), (0x10f0, 0x10), (0xf00, 0x1000)] as [(UInt64, UInt64)] {
            #expect(throws: MemoryMisuse.self) { try memory.beginLife(of: range(first, bytes), as: .frame) }
        }
        try memory.beginLife(of: range(0x1100, 0x100), as: .frame)
        // Two neighbours are not one object.
        for (first, bytes) in [(0x1080, 0x100), (0x1000, 0x200), (0x2000, 0x100)] as [(UInt64, UInt64)] {
            #expect(throws: MemoryMisuse.self) { try memory.endLife(of: range(first, bytes)) }
        }
    }

    @Test func `parts of an object that have ended, until they begin again`() throws {
        try memory.beginLife(of: range(0x1000, 0x100), as: .table)
        try memory.endLife(of: range(0x1040, 0x40))
        #expect(throws: MemoryMisuse.self) { try memory.load(word(0x1040), .relaxed) }
        #expect(throws: MemoryMisuse.self) { try memory.endLife(of: range(0x1040, 0x40)) }
        #expect(throws: MemoryMisuse.self) { try memory.beginLife(of: range(0x1040, 0x20), as: .table) }
        #expect(throws: MemoryMisuse.self) { try memory.fill(range(0x1000, 0x100), with: 0) }
        try memory.beginLife(of: range(0x1040, 0x40), as: .table)
        #expect(try memory.load(word(0x1040), .relaxed) != 0, "what begins holds garbage")
        try memory.endLife(of: range(0x1040, 0x40))
        // The whole object ends with its parts.
        try memory.endLife(of: range(0x1000, 0x100))
        try memory.beginLife(of: range(0x1040, 0x40), as: .table)
        #expect(memory.objects.count == 1)
    }

    @Test func `a wait for itself, and one for others inside a section`() throws {
        try memory.beginLife(of: range(0, 0x100), as: .bookkeeping)
        let lock = TicketLock(at: PhysicalAddress(0x40))
        #expect(throws: MemoryMisuse.self) {
            try memory.withLock(lock) { (_) throws(MemoryMisuse) in
                try memory.withLock(lock) { (_) throws(MemoryMisuse) in }
            }
        }
        let reader = SingleProcessorMemory(byteCount: 1 << 12)
        #expect(throws: MemoryMisuse.self) {
            try reader.withRCUReader { (_) throws(MemoryMisuse) in try reader.synchronize() }
        }
        #expect(throws: MemoryMisuse.self) {
            try memory.withInterruptsBlocked { (_) throws(MemoryMisuse) in try memory.interrupt(.all) }
        }
    }

    @Test func `just the allocations that it is to refuse`() {
        memory.refuse([.table, .frame], 1..<3)
        let asked: [AllocationKind] = [.table, .batch, .frame, .batch, .table, .frame]
        #expect(asked.map { memory.allows($0) } == [true, true, false, true, false, true])
        #expect(memory.hasRefused)
        memory.refuse([.batch])
        #expect(!memory.hasRefused && memory.allows(.table) && !memory.allows(.batch) && !memory.allows(.batch))
    }
}
