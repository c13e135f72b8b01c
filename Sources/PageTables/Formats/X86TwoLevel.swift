// 32-bit x86 with 32-bit entries.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A, section 5.3 "32-bit paging"; AMD64
// Architecture Programmer's Manual, volume 2, section 5.2.2.
//
// | level | Intel          | AMD | Linux | covers | leaf                 |
// |-------|----------------|-----|-------|--------|----------------------|
// | 1     | page directory | PD  | pgd   | 4 MiB  | 4 MiB where CR4.PSE  |
// | 0     | page table     | PT  | pte   | 4 KiB  | 4 KiB                |
//
// A 4 MiB leaf reaches 40 bits of physical addresses (PSE-36): address bits 39 ... 32 are its bits 20 ... 13. There is no
// no-execute bit.

public struct X86TwoLevel: PageTableFormat {
    /// CR4.PSE; without it bit 7 of a directory's entry is ignored.
    public let pageSizeExtension: Bool
    /// Bits that must be zero in a 4 MiB leaf.
    public let largeReservedMask: UInt64

    /// - Parameters:
    ///   - pageSizeExtension: CR4.PSE.
    ///   - physicalAddressBits: MAXPHYADDR, of which 32 ... 40 matter: 32 for processors without PSE-36.
    public init(pageSizeExtension: Bool = true, physicalAddressBits: Int = 40) {
        self.pageSizeExtension = pageSizeExtension
        let highBits = UInt64(min(max(physicalAddressBits, 32), 40) - 32)
        largeReservedMask = 0x3f_e000 & ~(((1 &<< highBits) &- 1) &<< 13)
    }

    @inlinable
    public static var entryBytes: Int { 4 }
    @inlinable
    public static var fixedTopLevel: Level? { Level(1) }
    @inlinable
    public static var highestLevel: Level { Level(1) }
    public static var notions: FormatNotions {
        FormatNotions(flags: [.accessed, .dirty, .global], execute: false)
    }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 10 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { 10 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue == 0 || (level.rawValue == 1 && pageSizeExtension)
            ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & X86Bit.present == 0 { return .invalid }
        if level.rawValue == 0 { return .leaf }
        if !pageSizeExtension || value & X86Bit.large == 0 { return .table }
        return value & largeReservedMask == 0 ? .leaf : .malformed
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        return .reservedBits(entry.rawValue & largeReservedMask)
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & 0xffff_f000)
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let value = leaf.rawValue
        if level.rawValue == 0 { return PhysicalAddress(value & 0xffff_f000 | address.rawValue & 0xfff) }
        let high = (value & 0x1f_e000) &<< 19
        return PhysicalAddress(high | value & 0xffc0_0000 | address.rawValue & 0x3f_ffff)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights { X86Bit.rights(entry.rawValue & 0xffff_ffff) }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: rights(of: leaf, at: level), flags: X86Bit.flags(leaf.rawValue),
            memoryTypeIndex: X86Bit.patIndex(leaf.rawValue, large: level.rawValue > 0))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        // RW, US, PWT, PCD, A, D, G; PAT where the level has it.
        leaf.rawValue & (0x17e | (level.rawValue > 0 ? X86Bit.largePAT : X86Bit.smallPAT))
    }

    public func memoryType(_ index: UInt8) -> MemoryType { X86Bit.linuxPAT(index) }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return 0
        case .table(let table):
            return X86Bit.present | table.rawValue & 0xffff_f000 | X86Bit.encode(attributes.rights) & 0xffff_ffff
        case .leaf(let frame, let size):
            let large = level.rawValue > 0 && size.log2Bytes > 12
            let value = X86Bit.present | X86Bit.encodeLeaf(attributes, large: large) & 0xffff_ffff
            if !large { return value | frame.rawValue & 0xffff_f000 }
            return value | frame.rawValue & 0xffc0_0000 | frame.rawValue &>> 19 & 0x1f_e000
        }
    }
}

extension AddressSpace where Format == X86TwoLevel {
    /// The space of a CR3 value.
    public static func x86TwoLevel(_ format: X86TwoLevel, cr3: UInt64) -> AddressSpace {
        .unsigned(format, root: PhysicalAddress(cr3 & 0xffff_f000), topLevel: Level(1), bits: 32)
    }
}
