import PageTables
import VirtualMemory

// A format for exploration whose entries are accessed in halves. As small as `MiniatureFormat`, and with an address that
// depends on both halves, so that halves of two mappings make a third: a cleared high half is an address too.
//
// | bits   | what                                                  |
// |--------|-------------------------------------------------------|
// | 1...0  | kind: 0 nothing, 2 table, 3 leaf; 1 malformed         |
// | 2      | of a leaf: may be written                             |
// | 63...32| the address, as the distance from the origin, signed  |

/// Tables of two entries in frames of 32 bytes; two levels, both with leaves.
struct HalfEntryFormat: WritableFormat {
    private enum Kind {
        static let table: UInt64 = 2
        static let leaf: UInt64 = 3
        static let mask: UInt64 = 3
        static let writable: UInt64 = 4
    }

    static var isAccessedInHalves: Bool { true }
    static var fixedTopLevel: Level? { Level(1) }
    static var highestLevel: Level { Level(1) }
    static var notions: FormatNotions { FormatNotions(flags: [], execute: false) }

    /// What is at the address zero in a half.
    var origin = PhysicalAddress(0)

    private func half(_ address: PhysicalAddress) -> UInt64 {
        (address.rawValue &- origin.rawValue) &<< 32
    }

    private func address(_ entry: Entry) -> UInt64 {
        origin.rawValue &+ UInt64(bitPattern: Int64(bitPattern: entry.rawValue) >> 32)
    }

    var log2FrameBytes: UInt8 { 5 }
    var topLevels: ClosedRange<Level> { Level(1)...Level(1) }
    var byteOrder: ByteOrder { .host }
    func shift(_ level: Level) -> UInt64 { 5 + UInt64(max(level.rawValue, 0)) }
    func indexBits(_ level: Level) -> UInt64 { 1 }
    func leafSizes(_ level: Level) -> [PageSize] { [PageSize(log2Bytes: Int(shift(level)))] }

    func shape(of entry: Entry, at level: Level) -> EntryShape {
        switch entry.rawValue & Kind.mask {
        case 0: .invalid
        case Kind.table: level > .leafTable ? .table : .malformed
        case Kind.leaf: .leaf
        default: .malformed
        }
    }

    func malformation(of entry: Entry, at level: Level) -> Malformation? {
        shape(of: entry, at: level) == .malformed ? .reservedEncoding : nil
    }

    func table(of entry: Entry, at level: Level) -> PhysicalAddress { PhysicalAddress(address(entry)) }

    func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = 1 << shift(level) - 1
        return PhysicalAddress(self.address(leaf) & ~offset | address.rawValue & offset)
    }

    func rights(of entry: Entry, at level: Level) -> Rights {
        guard entry.rawValue & Kind.mask == Kind.leaf else { return .all }
        var rights: Rights = [.userRead, .supervisorRead, .executes]
        if entry.rawValue & Kind.writable != 0 { rights.formUnion(.writes) }
        return rights
    }

    func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(rights: rights(of: leaf, at: level))
    }

    func attributeBits(of leaf: Entry, at level: Level) -> UInt64 { leaf.rawValue & Kind.writable }
    func memoryType(_ index: UInt8) -> MemoryType { .unspecified }

    func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table): half(table) | Kind.table
        case .leaf(let page, _):
            half(page) | Kind.leaf | (attributes.rights.contains(.userWrite) ? Kind.writable : 0)
        }
    }

    func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 { half(page) }

    func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.union(.execute).userRights)
    }

    func covers(_ range: VirtualRange, topLevel: Level) -> Bool { range.last.rawValue < 128 }

    func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<HalfEntryFormat> {
        .unsigned(self, root: root, topLevel: topLevel, bits: 7)
    }
}
