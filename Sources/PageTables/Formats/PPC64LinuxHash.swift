// Linux's own tree of the Power hash MMU, with 64 KiB pages.
//
// Linux v6.19, arch/powerpc/include/asm/book3s/64/hash.h and hash-64k.h. Hardware looks pages up in a hash table, which
// is no more than a cache of this tree; it never sees the tree.
//
// | level | Linux | index bits | covers  | leaf   |
// |-------|-------|------------|---------|--------|
// | 3     | pgd   | 8          | 16 TiB  | never  |
// | 2     | pud   | 10         | 16 GiB  | 16 GiB |
// | 1     | pmd   | 10         | 16 MiB  | 16 MiB |
// | 0     | pte   | 8          | 64 KiB  | 64 KiB |
//
// Entries are big-endian, also those of little-endian kernels, with leaves like those of the radix tree. A pointer to a
// table is valid and no leaf, and has nothing but an address beside. Behind the 256 entries of a leaf table are as many
// slots in the hash table; both together are a fragment of 4 KiB.

public struct PPC64LinuxHash: PageTableFormat {
    @inlinable
    public init() {}

    @inlinable
    public static var fixedTopLevel: Level? { Level(3) }
    @inlinable
    public static var highestLevel: Level { Level(3) }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty]) }

    @inlinable
    public var byteOrder: ByteOrder { .big }
    @inlinable
    public func shift(_ level: Level) -> UInt64 {
        level.rawValue == 0 ? 16 : 14 &+ 10 &* UInt64(truncatingIfNeeded: level.rawValue)
    }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level.rawValue == 1 || level.rawValue == 2 ? 10 : 8 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue < 3 ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    /// What must be zero in a pointer to a table.
    @inlinable
    static var badTableBits: UInt64 { 0xff }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & PPC64Bit.valid == 0 { return .invalid }
        if value & PPC64Bit.leaf != 0 { return level.rawValue < 3 ? .leaf : .malformed }
        return level.rawValue > 0 && value & Self.badTableBits == 0 ? .table : .malformed
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if entry.rawValue & PPC64Bit.leaf != 0 { return .leafAtIllegalLevel }
        if level.rawValue == 0 { return .tableBelowLeafTable }
        return .reservedBits(entry.rawValue & Self.badTableBits)
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & 0x3fff_ffff_ffff_ff00)
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(leaf.rawValue & PPC64Bit.pageNumber & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        entry.rawValue & PPC64Bit.leaf == 0 ? .all : PPC64Bit.rights(entry.rawValue)
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        PPC64Bit.attributes(leaf.rawValue)
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 { leaf.rawValue & PPC64Bit.attributeBits }

    public func memoryType(_ index: UInt8) -> MemoryType { PPC64Bit.memoryType(index) }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table): PPC64Bit.valid | table.rawValue & 0x3fff_ffff_ffff_ff00
        case .leaf(let frame, _):
            PPC64Bit.encodeLeaf(attributes) | frame.rawValue & PPC64Bit.pageNumber & ~((1 &<< shift(level)) &- 1)
        }
    }
}
