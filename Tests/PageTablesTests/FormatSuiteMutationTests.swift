import Testing

@testable import PageTables

/// Formats with one mistake each, which the generic suite has to notice.
@Suite("The format suite notices")
struct FormatSuiteMutationTests {
    @Test func `no mistake in the format that the mistakes are made in`() throws {
        try checkFormat(MistakenFormat(mistake: nil), named: "right", MistakenFormat.expectations)
    }

    @Test(arguments: Mistake.allCases)
    func `a format with the mistake that`(mistake: Mistake) {
        #expect(throws: (any Error).self) {
            try checkFormat(
                MistakenFormat(mistake: mistake), named: "mistaken", MistakenFormat.expectations, [mistake.property])
        }
    }
}

enum Mistake: String, CaseIterable, CustomTestStringConvertible {
    case gap = "levels leave a bit of the address out"
    case alignment = "a leaf at a misaligned address can be built"
    case highFrames = "high frames are cut off"
    case highTables = "high tables are cut off"
    case dirty = "dirty is not written"
    case memoryType = "the memory type of leaves is not read"
    case residue = "two bits of a leaf decide one right"
    case silence = "a malformed entry has no malformation"
    case limit = "the limit of a range is ignored"
    case boundary = "the range of an entry ends too late"
    case offset = "an offset loses a bit"
    case attributeBits = "an attribute bit is left out"

    var testDescription: String { rawValue }

    /// The property that fails.
    var property: FormatProperty {
        switch self {
        case .gap: .geometry
        case .alignment, .highFrames: .leaves
        case .highTables: .tables
        case .dirty, .memoryType: .attributes
        case .residue: .roundTrip
        case .silence: .malformations
        case .limit, .boundary, .offset: .boundaries
        case .attributeBits: .attributeBits
        }
    }
}

private struct MistakenFormat: PageTableFormat {
    let mistake: Mistake?
    let base = X86PAE()

    static var expectations: FormatExpectations {
        FormatExpectations(
            addressBits: 32, leafAddressBits: { _ in 52 }, tableAddressBits: 52, leafRights: 8, memoryTypes: 0...7)
    }

    static var fixedTopLevel: Level? { X86PAE.fixedTopLevel }
    static var highestLevel: Level { X86PAE.highestLevel }
    static var notions: FormatNotions { X86PAE.notions }

    var byteOrder: ByteOrder { base.byteOrder }
    func shift(_ level: Level) -> UInt64 {
        base.shift(level) + (mistake == .gap && level > .leafTable ? 1 : 0)
    }
    func indexBits(_ level: Level) -> UInt64 { base.indexBits(level) }
    func leafSizes(_ level: Level) -> [PageSize] { base.leafSizes(level) }
    func shape(of entry: Entry, at level: Level) -> EntryShape { base.shape(of: entry, at: level) }
    func malformation(of entry: Entry, at level: Level) -> Malformation? {
        mistake == .silence ? nil : base.malformation(of: entry, at: level)
    }
    func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        let table = base.table(of: entry, at: level)
        return mistake == .highTables ? PhysicalAddress(table.rawValue & 0xffff_ffff) : table
    }
    func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let physical = base.physical(of: leaf, at: level, for: address).rawValue
        switch mistake {
        case .alignment: return PhysicalAddress(physical | leaf.rawValue & 0x10_0000 | leaf.rawValue & 0x800)
        case .highFrames: return PhysicalAddress(physical & 0xffff_ffff)
        case .offset: return PhysicalAddress(physical & ~1)
        default: return PhysicalAddress(physical)
        }
    }
    func rights(of entry: Entry, at level: Level) -> Rights {
        var rights = base.rights(of: entry, at: level)
        if mistake == .residue, entry.rawValue & 1 << 9 != 0 { rights.formSymmetricDifference(.userWrite) }
        return rights
    }
    func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        var attributes = base.attributes(of: leaf, at: level)
        attributes.rights = rights(of: leaf, at: level)
        if mistake == .memoryType { attributes.memoryTypeIndex = 0 }
        return attributes
    }
    func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        base.attributeBits(of: leaf, at: level) & (mistake == .attributeBits ? ~(1 << 8) : .max)
    }
    func memoryType(_ index: UInt8) -> MemoryType { base.memoryType(index) }
    func last(
        of entry: Entry, at level: Level, from address: VirtualAddress, limit: VirtualAddress
    ) -> VirtualAddress {
        let end = address.rawValue | ((1 << (shift(level) + (mistake == .boundary ? 1 : 0))) - 1)
        return VirtualAddress(mistake == .limit ? end : min(end, limit.rawValue))
    }
    func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        var value = base.canonical(content, attributes, at: level)
        if case .leaf(let frame, _) = content, mistake == .alignment { value |= frame.rawValue & 0x10_0800 }
        return mistake == .dirty ? value & ~(1 << 6) : value
    }
}
