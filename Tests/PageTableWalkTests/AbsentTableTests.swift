import PageTableWalk
import PageTables
import TableMemory
import Testing

/// Memory that ends somewhere, and counts the loads that fail.
private final class SparseMemory: TableMemory {
    struct Absence: Error {}
    private let words: [UInt64: UInt64]
    private let end: UInt64
    private(set) var failedLoads = 0

    init(_ words: [UInt64: UInt64], end: UInt64) {
        self.words = words
        self.end = end
    }

    func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Absence) -> UInt64 {
        if address.rawValue < end { return words[address.rawValue] ?? 0 }
        failedLoads += 1
        throw Absence()
    }

    func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Absence) -> UInt32 { throw Absence() }

    func table(at address: PhysicalAddress, bytes: Int) throws(Absence) -> UInt64 {
        if hasNothing(at: address, bytes: bytes) { throw Absence() }
        return address.rawValue
    }

    func load64(_ table: UInt64, index: Int, _ order: ByteOrder) throws(Absence) -> UInt64 {
        try load64(PhysicalAddress(table + UInt64(index) * 8), order)
    }

    func load32(_ table: UInt64, index: Int, _ order: ByteOrder) throws(Absence) -> UInt32 { throw Absence() }

    func hasNothing(at address: PhysicalAddress, bytes: Int) -> Bool { address.rawValue >= end }
}

/// From damaged images (`MutationTests`).
@Suite("A survey of memory that lacks tables")
struct AbsentTableTests {
    @Test("looks for an absent table once, and not for each of its entries")
    func absentTables() throws {
        var words: [UInt64: UInt64] = [:]
        for index in 0..<512 as Range<UInt64> { words[0x1000 + index * 8] = 0x10_0000 + index * 0x1000 | 0x67 }
        let memory = SparseMemory(words, end: 0x2000)
        let survey = try AddressSpace.x86LongMode(X86_64(), cr3: 0x1000).survey(in: memory)
        #expect(memory.failedLoads == 0)
        #expect(survey.oddities.count == 512)
        for oddity in survey.oddities { #expect(oddity.kind == .absent(entries: 512)) }
    }

    @Test("keeps the entries of a table that memory ends within")
    func partOfATable() throws {
        let memory = SparseMemory([0x0: 0x1000 | 0x67, 0x1000: 0x4000_0000 | 0xe7], end: 0x1800)
        let survey = try AddressSpace.x86LongMode(X86_64(), cr3: 0).survey(in: memory)
        #expect(survey.ranges.map(\.physical) == [PhysicalAddress(0x4000_0000)])
        #expect(survey.oddities.map(\.kind) == [.absent(entries: 256)])
    }
}
