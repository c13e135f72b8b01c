import PageTables
import VirtualMemory

// A format for long random runs: tables of four entries in frames of 64 bytes, so that everything a real format has happens
// often. Spaces grow from two levels to five, tables are halves or quarters of a frame, the lowest three levels have
// leaves, and hardware would record uses.
//
// | bits    | what                                                            |
// |---------|-----------------------------------------------------------------|
// | 1...0   | kind: 0 malformed, 1 empty, 2 table, 3 leaf                     |
// | 2, 3    | of a leaf: may be written, may be executed                      |
// | 4, 5    | of a leaf: was used, was written                                |
// | 29...6  | of a leaf: the page; of a table 29...4 are its address          |
// | 31...30 | of a leaf: the memory type                                      |

/// - Parameter Value: The entries' width. They are big-endian.
struct SmallFormat<Value: FixedWidthInteger & Sendable>: RecordingFormat {
    private enum Kind {
        static var empty: UInt64 { 1 }
        static var table: UInt64 { 2 }
        static var leaf: UInt64 { 3 }
    }
    private enum Bit {
        static var kind: UInt64 { 3 }
        static var writable: UInt64 { 4 }
        static var executable: UInt64 { 8 }
        static var page: UInt64 { 0x3fff_ffc0 }
        static var table: UInt64 { 0x3fff_fff0 }
    }

    static var entryBytes: Int { MemoryLayout<Value>.size }
    static var fixedTopLevel: Level? { nil }
    static var highestLevel: Level { Level(4) }
    static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty], user: false) }

    var log2FrameBytes: UInt8 { 6 }
    var topLevels: ClosedRange<Level> { Level(1)...Level(4) }
    var byteOrder: ByteOrder { .big }
    func shift(_ level: Level) -> UInt64 { 6 + 2 * UInt64(max(level.rawValue, 0)) }
    func indexBits(_ level: Level) -> UInt64 { 2 }
    func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue < 3 ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    func shape(of entry: Entry, at level: Level) -> EntryShape {
        switch entry.rawValue & Bit.kind {
        case Kind.empty: .invalid
        case Kind.table: level > .leafTable ? .table : .malformed
        case Kind.leaf: level.rawValue < 3 ? .leaf : .malformed
        default: .malformed
        }
    }

    func malformation(of entry: Entry, at level: Level) -> Malformation? {
        shape(of: entry, at: level) == .malformed ? .reservedEncoding : nil
    }

    func table(of entry: Entry, at level: Level) -> PhysicalAddress { PhysicalAddress(entry.rawValue & Bit.table) }

    func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = 1 << shift(level) - 1
        return PhysicalAddress(leaf.rawValue & Bit.page & ~offset | address.rawValue & offset)
    }

    func rights(of entry: Entry, at level: Level) -> Rights {
        guard entry.rawValue & Bit.kind == Kind.leaf else { return .all }
        var rights: Rights = .supervisorRead
        if entry.rawValue & Bit.writable != 0 { rights.insert(.supervisorWrite) }
        if entry.rawValue & Bit.executable != 0 { rights.insert(.supervisorExecute) }
        return rights
    }

    func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: rights(of: leaf, at: level), flags: EntryFlags(rawValue: UInt8(leaf.rawValue >> 4 & 3)),
            memoryTypeIndex: UInt8(leaf.rawValue >> 30 & 3))
    }

    func attributeBits(of leaf: Entry, at level: Level) -> UInt64 { leaf.rawValue & (3 << 30 | 0x3c) }
    func memoryType(_ index: UInt8) -> MemoryType { .unspecified }

    func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return Kind.empty
        case .table(let table): return table.rawValue & Bit.table | Kind.table
        case .leaf(let page, _):
            var value = page.rawValue & Bit.page & ~(1 << shift(level) - 1) | Kind.leaf
            if attributes.rights.contains(.supervisorWrite) { value |= Bit.writable }
            if attributes.rights.contains(.supervisorExecute) { value |= Bit.executable }
            value |= UInt64(attributes.flags.rawValue & 3) << 4
            return value | UInt64(attributes.memoryTypeIndex & 3) << 30
        }
    }

    func emptyEntry(at level: Level) -> Entry { Entry(Kind.empty) }
    func recordBits(at level: Level) -> UInt64 { 0x30 }
    var recordsWrites: Bool { true }

    func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights.intersection(.supervisor))
    }

    func covers(_ range: VirtualRange, topLevel: Level) -> Bool {
        range.last.rawValue >> (shift(topLevel) + 2) == 0
    }

    func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self> {
        .unsigned(self, root: root, topLevel: topLevel, bits: shift(topLevel) + 2)
    }
}
