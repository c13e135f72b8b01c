// User-mode Linux, 64-bit.
//
// Linux v6.19, arch/um/include/asm/pgtable.h and pgtable-4level.h; v6.1, pgtable-3level.h. There is no hardware: the
// kernel maps pages into processes of the host by this tree.
//
// | level | Linux     | covers  | leaf  |
// |-------|-----------|---------|-------|
// | 3     | pgd       | 512 GiB | never |
// | 2     | pud (pgd) | 1 GiB   | never |
// | 1     | pmd       | 2 MiB   | never |
// | 0     | pte       | 4 KiB   | 4 KiB |
//
// Kernels with three levels (39 bits) were followed by kernels with four (48 bits). Bits 1 and 2 say what the host has
// yet to be told, under names that changed; they are ignored here.

public typealias UserModeLinux39 = UserModeLinux<ThreeLevels>
public typealias UserModeLinux48 = UserModeLinux<FourLevels>

/// The format of user-mode Linux: a page is mapped in the host where it is present (bit 0). Nothing forbids execution, and
/// the kernel may do what the user may.
public struct UserModeLinux<Levels: Depth>: PageTableFormat {
    @inlinable
    public init() {}

    @usableFromInline
    enum Bit {
        @inlinable static var present: UInt64 { 0x1 }
        /// What the host has to be told.
        @inlinable static var pendingForHost: UInt64 { 0x6 }
        /// Present to Linux, and not mapped in the host.
        @inlinable static var protNone: UInt64 { 0x10 }
        @inlinable static var write: UInt64 { 0x20 }
        @inlinable static var user: UInt64 { 0x40 }
        @inlinable static var accessed: UInt64 { 0x80 }
        @inlinable static var dirty: UInt64 { 0x100 }
        /// What Linux writes into a pointer to a table.
        @inlinable static var table: UInt64 { present | write | user | accessed | dirty }
    }

    @inlinable
    public static var fixedTopLevel: Level? { Levels.topLevel }
    @inlinable
    public static var highestLevel: Level { Levels.topLevel }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty], execute: false) }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { 9 }
    public func leafSizes(_ level: Level) -> [PageSize] { level.rawValue == 0 ? [PageSize(log2Bytes: 12)] : [] }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        if entry.rawValue & Bit.present == 0 { return .invalid }
        return level.rawValue == 0 ? .leaf : .table
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? { nil }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress { PhysicalAddress(entry.rawValue & ~0xfff) }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        PhysicalAddress(leaf.rawValue & ~0xfff | address.rawValue & 0xfff)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        if level.rawValue > 0 { return .all }
        let value = entry.rawValue
        let rights: UInt64 = 5 | (value & Bit.write) &>> 4
        return Rights(rawValue: UInt8(truncatingIfNeeded: value & Bit.user != 0 ? rights &* 9 : rights))
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: rights(of: leaf, at: level),
            flags: EntryFlags(rawValue: UInt8(truncatingIfNeeded: leaf.rawValue &>> 7 & 3)))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & (Bit.write | Bit.user | Bit.accessed | Bit.dirty)
    }

    public func memoryType(_ index: UInt8) -> MemoryType { .unspecified }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return 0
        case .table(let table): return table.rawValue & ~0xfff | Bit.table
        case .leaf(let frame, _):
            var value = frame.rawValue & ~0xfff | Bit.present | UInt64(attributes.flags.rawValue & 3) &<< 7
            if attributes.rights.contains(.supervisorWrite) { value |= Bit.write }
            if attributes.rights.isUser { value |= Bit.user }
            return value
        }
    }
}
