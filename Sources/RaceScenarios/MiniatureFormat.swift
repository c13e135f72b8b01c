import PageTables
import VirtualMemory

// A format for exploration: the fewest entries with which a protocol can go wrong, through the very same walkers.
//
// An entry is 64 bits: a kind in bits 1...0, the right to write in bit 2, that a processor has written in bit 3, an address above, and
// in bit 63 that the page was used, which processors do not record by themselves: there would be more steps in every scenario. Zero
// is malformed, so that a table that nobody has filled is noticed.

/// A format whose geometry is data.
public struct MiniatureFormat: UnsignedFormat, RecordingFormat {
    /// log2 of the entries of a table.
    let log2Entries: UInt64
    public let log2FrameBytes: UInt8
    public let topLevels: ClosedRange<Level>
    /// The highest level with leaves.
    let highestLeaf: Level
    /// Whether zero maps nothing, as in most formats: memory that nobody has used yet is then an empty table.
    let zeroIsEmpty: Bool

    /// - Parameters:
    ///   - log2Entries: With 1 a table has 16 bytes, with 2 it has 32.
    ///   - log2FrameBytes: With 5 a table of two entries is half of a frame.
    init(
        log2Entries: UInt64 = 1, log2FrameBytes: UInt8 = 5, topLevels: ClosedRange<Level> = Level(1)...Level(4),
        highestLeaf: Level = Level(1), zeroIsEmpty: Bool = false
    ) {
        self.log2Entries = log2Entries
        self.log2FrameBytes = log2FrameBytes
        self.topLevels = topLevels
        self.highestLeaf = highestLeaf
        self.zeroIsEmpty = zeroIsEmpty
    }

    private enum Kind {
        static let empty: UInt64 = 1
        static let table: UInt64 = 2
        static let leaf: UInt64 = 3
        static let mask: UInt64 = 3
        static let writable: UInt64 = 4
        static let dirty: UInt64 = 8
        static let accessed: UInt64 = 1 << 63
        static let address: UInt64 = ~(15 | accessed)
    }

    public static var fixedTopLevel: Level? { nil }
    public static var highestLevel: Level { Level(4) }
    public static var notions: FormatNotions { FormatNotions(flags: [.dirty], execute: false) }

    public var byteOrder: ByteOrder { .host }
    public func shift(_ level: Level) -> UInt64 {
        UInt64(log2FrameBytes) + log2Entries * UInt64(max(level.rawValue, 0))
    }
    public func indexBits(_ level: Level) -> UInt64 { log2Entries }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level <= highestLeaf ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        switch entry.rawValue & Kind.mask {
        case Kind.empty: .invalid
        case Kind.table: level > .leafTable ? .table : .malformed
        case Kind.leaf: level <= highestLeaf ? .leaf : .malformed
        default: zeroIsEmpty && entry.rawValue == 0 ? .invalid : .malformed
        }
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        shape(of: entry, at: level) == .malformed ? .reservedEncoding : nil
    }

    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & Kind.address)
    }

    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = 1 << shift(level) - 1
        return PhysicalAddress(leaf.rawValue & Kind.address & ~offset | address.rawValue & offset)
    }

    public func rights(of entry: Entry, at level: Level) -> Rights {
        guard entry.rawValue & Kind.mask == Kind.leaf else { return .all }
        var rights: Rights = [.userRead, .supervisorRead, .executes]
        if entry.rawValue & Kind.writable != 0 { rights.formUnion(.writes) }
        return rights
    }

    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        var flags: EntryFlags = leaf.rawValue & Kind.dirty != 0 ? .dirty : []
        if leaf.rawValue & Kind.accessed != 0 { flags.insert(.accessed) }
        return EntryAttributes(rights: rights(of: leaf, at: level), flags: flags)
    }

    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & (Kind.writable | Kind.dirty | Kind.accessed)
    }
    public func recordBits(at level: Level) -> UInt64 { Kind.dirty | Kind.accessed }
    public var recordsWrites: Bool { true }
    public func memoryType(_ index: UInt8) -> MemoryType { .unspecified }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: Kind.empty
        case .table(let table): table.rawValue & Kind.address | Kind.table
        case .leaf(let page, _):
            page.rawValue & Kind.address | Kind.leaf | (attributes.rights.contains(.userWrite) ? Kind.writable : 0)
                | (attributes.flags.contains(.dirty) ? Kind.dirty : 0)
                | (attributes.flags.contains(.accessed) ? Kind.accessed : 0)
        }
    }

    public func emptyEntry(at level: Level) -> Entry { Entry(Kind.empty) }

    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.union(.execute).userRights)
    }
}
