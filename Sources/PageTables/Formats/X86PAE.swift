// 32-bit x86 with physical address extension.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A, section 5.4 "PAE paging"; AMD64 Architecture
// Programmer's Manual, volume 2, section 5.2.3.
//
// | level | Intel                         | AMD | Linux | covers | leaf  |
// |-------|-------------------------------|-----|-------|--------|-------|
// | 2     | page-directory-pointer table  | PDP | pgd   | 1 GiB  | never |
// | 1     | page directory                | PD  | pmd   | 2 MiB  | 2 MiB |
// | 0     | page table                    | PT  | pte   | 4 KiB  | 4 KiB |
//
// The top table is not a page but 32 bytes: four entries, which the processor loads into registers when CR3 is loaded
// and which are no part of later walks. They hold no rights: R/W, U/S, A, D, PS, G and NX are reserved there.
//
// A is tolerated in them: QEMU walks the top table like every other and sets A in it (target/i386,
// tcg/system/excp_helper.c), so a capture of a guest without hardware virtualization has the bit although a processor
// would refuse to load the entry. D it sets in leaves only.

public struct X86PAE: PageTableFormat {
    /// Bits that must be zero in every present entry of the two lower levels.
    public let reservedMask: UInt64
    /// Bits that must be zero in a present entry of the top table.
    public let topReservedMask: UInt64
    @usableFromInline
    let addressMask: UInt64

    /// - Parameters:
    ///   - physicalAddressBits: MAXPHYADDR, 32 ... 52; address bits above it are reserved.
    ///   - noExecute: EFER.NXE; without it bit 63 is reserved.
    public init(physicalAddressBits: Int = 52, noExecute: Bool = true) {
        let bits = UInt64(min(max(physicalAddressBits, 32), 52))
        let aboveAddress = ~((1 &<< bits) &- 1 as UInt64)
        addressMask = ~aboveAddress & ~0xfff
        reservedMask = noExecute ? aboveAddress & ~X86Bit.noExecute : aboveAddress
        topReservedMask = aboveAddress | X86Bit.writable | X86Bit.user | X86Bit.dirty | X86Bit.large | X86Bit.global
    }

    @inlinable
    public static var fixedTopLevel: Level? { Level(2) }
    @inlinable
    public static var highestLevel: Level { Level(2) }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty, .global]) }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level.rawValue < 2 ? 9 : 2 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue < 2 ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & X86Bit.present == 0 { return .invalid }
        if value & reserved(level) != 0 { return .malformed }
        if level.rawValue == 0 { return .leaf }
        if value & X86Bit.large == 0 { return .table }
        return value & misaligned == 0 ? .leaf : .malformed
    }

    @inlinable
    func reserved(_ level: Level) -> UInt64 { level.rawValue < 2 ? reservedMask : topReservedMask }

    /// The address bits that a 2 MiB leaf must leave zero; bit 12 is its PAT bit.
    @inlinable
    var misaligned: UInt64 { 0x1f_e000 }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        let offenders = entry.rawValue & reserved(level)
        return .reservedBits(offenders != 0 ? offenders : entry.rawValue & misaligned)
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & addressMask)
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(leaf.rawValue & addressMask & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        level.rawValue < 2 ? X86Bit.rights(entry.rawValue) : .all
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: X86Bit.rights(leaf.rawValue), flags: X86Bit.flags(leaf.rawValue),
            memoryTypeIndex: X86Bit.patIndex(leaf.rawValue, large: level.rawValue > 0))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        // RW, US, PWT, PCD, A, D, G; PAT where the level has it; NX.
        let common: UInt64 = 0x8000_0000_0000_017e
        return leaf.rawValue & (common | (level.rawValue > 0 ? X86Bit.largePAT : X86Bit.smallPAT))
    }

    public func memoryType(_ index: UInt8) -> MemoryType { X86Bit.linuxPAT(index) }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table):
            X86Bit.present | table.rawValue & addressMask
                | (level.rawValue < 2 ? X86Bit.encode(attributes.rights) : 0)
        case .leaf(let frame, let size):
            X86Bit.present | frame.rawValue & addressMask
                | X86Bit.encodeLeaf(attributes, large: level.rawValue > 0 && size.log2Bytes > 12)
        }
    }
}

extension AddressSpace where Format == X86PAE {
    /// The space of a CR3 value, whose top table is aligned to its 32 bytes only.
    public static func x86PAE(_ format: X86PAE, cr3: UInt64) -> AddressSpace {
        .unsigned(format, root: PhysicalAddress(cr3 & 0xffff_ffe0), topLevel: Level(2), bits: 32)
    }
}
