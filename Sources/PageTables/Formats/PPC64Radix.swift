// Power radix-tree translation.
//
// Power ISA 3.1, book III, section 6.7.10 "Radix Tree Translation"; QEMU's target/ppc/mmu-radix64.c.
//
// | level | manual           | Linux | index bits           | covers  | leaf             |
// |-------|------------------|-------|----------------------|---------|------------------|
// | 3     | root (RPDS)      | pgd   | 13                   | 512 GiB | never            |
// | 2     | level 1 (NLS)    | pud   | 9                    | 1 GiB   | 1 GiB            |
// | 1     | level 2 (NLS)    | pmd   | 9                    | 2 MiB   | 2 MiB            |
// | 0     | level 3 (NLS)    | pte   | 9 (4 KiB), 5 (64 KiB)| a page  | 4 KiB or 64 KiB  |
//
// Entries are big-endian, also those of little-endian kernels. The tree describes itself: every directory entry says how
// many index bits the table below has (NLS), and what differs from the format is malformed. Only leaves carry rights.

/// The page size of a radix tree, as a type: a walker is compiled for it.
public protocol PPC64PageGranule: Sendable {
    static var log2Bytes: UInt64 { get }
}

public enum PPC64Pages4K: PPC64PageGranule {
    @inlinable
    public static var log2Bytes: UInt64 { 12 }
}

public enum PPC64Pages64K: PPC64PageGranule {
    @inlinable
    public static var log2Bytes: UInt64 { 16 }
}

public typealias PPC64Radix4K = PPC64Radix<PPC64Pages4K>
public typealias PPC64Radix64K = PPC64Radix<PPC64Pages64K>

public struct PPC64Radix<PageGranule: PPC64PageGranule>: PageTableFormat {
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
        level.rawValue == 0 ? PageGranule.log2Bytes : 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue)
    }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 {
        switch level.rawValue {
        case 0: 21 &- PageGranule.log2Bytes
        case 3: 13
        default: 9
        }
    }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue < 3 ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & PPC64Bit.valid == 0 { return .invalid }
        if value & PPC64Bit.leaf != 0 { return level.rawValue < 3 ? .leaf : .malformed }
        return level.rawValue > 0 && value & 0x1f == indexBits(level.below) ? .table : .malformed
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if entry.rawValue & PPC64Bit.leaf != 0 { return .leafAtIllegalLevel }
        if level.rawValue == 0 { return .tableBelowLeafTable }
        return .wrongTableType(found: Int(entry.rawValue & 0x1f), expected: Int(indexBits(level.below)))
    }

    /// Tables are as aligned as they are large; a leaf table of 64 KiB pages has just 256 bytes.
    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        let offset: UInt64 = (8 &<< indexBits(level.below)) &- 1
        return PhysicalAddress(entry.rawValue & 0x0fff_ffff_ffff_ff00 & ~offset)
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(leaf.rawValue & PPC64Bit.pageNumber & ~offset | address.rawValue & offset)
    }

    /// A leaf may leave no rights at all: Linux's pages without access are valid to hardware.
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
        case .table(let table):
            PPC64Bit.valid | table.rawValue & 0x0fff_ffff_ffff_ff00
                | (level.rawValue > 0 ? indexBits(level.below) : 0)
        case .leaf(let frame, _):
            PPC64Bit.encodeLeaf(attributes) | frame.rawValue & PPC64Bit.pageNumber & ~((1 &<< shift(level)) &- 1)
        }
    }
}
