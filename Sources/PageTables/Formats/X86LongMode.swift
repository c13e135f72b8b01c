// x86-64 with 4 or 5 levels.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A, section 5.5 "4-level paging and 5-level
// paging"; AMD64 Architecture Programmer's Manual, volume 2, section 5.3.
//
// | level | Intel                    | AMD  | Linux | covers  | leaf  |
// |-------|--------------------------|------|-------|---------|-------|
// | 4     | PML5 table               | PML5 | pgd   | 256 TiB | never |
// | 3     | PML4 table               | PML4 | p4d   | 512 GiB | never |
// | 2     | page-directory-pointer   | PDP  | pud   | 1 GiB   | 1 GiB |
// | 1     | page directory           | PD   | pmd   | 2 MiB   | 2 MiB |
// | 0     | page table               | PT   | pte   | 4 KiB   | 4 KiB |
//
// Linux folds p4d at run time where the processor has no fifth level (and calls the PML4 table pgd); here the number of
// levels is a property of the space's type.

public typealias X86_64 = X86LongMode<FourLevels>
public typealias X86_64FiveLevel = X86LongMode<FiveLevels>

public struct X86LongMode<Levels: Depth>: PageTableFormat {
    /// Bits that must be zero in every present entry.
    public let reservedMask: UInt64
    /// Bits of an entry that are neither address nor anything else here: the C-bit of AMD SME/SEV, the shared bit of TDX.
    public let encryptionMask: UInt64
    @usableFromInline
    let addressMask: UInt64
    /// The present bit and the reserved ones.
    @usableFromInline
    let checkedMask: UInt64

    /// - Parameters:
    ///   - physicalAddressBits: MAXPHYADDR, 32 ... 52; address bits above it are reserved.
    ///   - noExecute: EFER.NXE; without it bit 63 is reserved.
    ///   - encryptionMask: Removed from every address.
    public init(physicalAddressBits: Int = 52, noExecute: Bool = true, encryptionMask: UInt64 = 0) {
        let bits = UInt64(min(max(physicalAddressBits, 32), 52))
        let allAddressBits: UInt64 = 0x000f_ffff_ffff_f000
        addressMask = ((1 &<< bits) &- 1) & allAddressBits & ~encryptionMask
        reservedMask = (allAddressBits & ~addressMask & ~encryptionMask) | (noExecute ? 0 : 1 &<< 63)
        checkedMask = reservedMask | X86Bit.present
        self.encryptionMask = encryptionMask
    }

    @inlinable
    public static var fixedTopLevel: Level? { Levels.topLevel }
    @inlinable
    public static var highestLevel: Level { Levels.topLevel }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty, .global]) }

    /// Linux builds for five levels and folds the fifth where the processor lacks it.
    public static func folding(of level: Level) -> Folding { level <= highestLevel ? .never : .atRunTime }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { 9 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue < 3 ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        // One test for what nearly every entry on a path is: present, and with nothing in reserved places.
        guard (value ^ X86Bit.present) & checkedMask == 0 else {
            return value & X86Bit.present == 0 ? .invalid : .malformed
        }
        if level.rawValue == 0 { return .leaf }
        if value & X86Bit.large == 0 { return .table }
        if level.rawValue > 2 || value & misaligned(level) != 0 { return .malformed }
        return .leaf
    }

    /// The address bits that a large leaf must leave zero; bit 12 is its PAT bit.
    @inlinable
    func misaligned(_ level: Level) -> UInt64 { ((1 &<< shift(level)) &- 1) & ~0x1fff }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if entry.rawValue & reservedMask != 0 { return .reservedBits(entry.rawValue & reservedMask) }
        return level.rawValue > 2 ? .leafAtIllegalLevel : .reservedBits(entry.rawValue & misaligned(level))
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
    public func rights(of entry: Entry, at level: Level) -> Rights { X86Bit.rights(entry.rawValue) }

    /// The entry itself, with no-execute turned into its opposite: each right is a bit that all entries have.
    @inlinable
    public func pathBits(of entry: Entry, at level: Level) -> UInt64 { entry.rawValue ^ X86Bit.noExecute }

    @inlinable
    public func rights(ofPath bits: UInt64) -> Rights { X86Bit.rights(bits ^ X86Bit.noExecute) }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: X86Bit.rights(leaf.rawValue), flags: X86Bit.flags(leaf.rawValue),
            memoryTypeIndex: X86Bit.patIndex(leaf.rawValue, large: level.rawValue > 0),
            protectionKey: UInt8(truncatingIfNeeded: leaf.rawValue &>> 59 & 15))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        // P, RW, US, PWT, PCD, A, D, G; PAT where the level has it; protection key; NX.
        let common: UInt64 = 0xf800_0000_0000_017e
        return leaf.rawValue & (common | (level.rawValue > 0 ? X86Bit.largePAT : X86Bit.smallPAT))
    }

    public func memoryType(_ index: UInt8) -> MemoryType { X86Bit.linuxPAT(index) }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table): X86Bit.present | table.rawValue & addressMask | X86Bit.encode(attributes.rights)
        case .leaf(let frame, let size):
            X86Bit.present | frame.rawValue & addressMask
                | X86Bit.encodeLeaf(attributes, large: level.rawValue > 0 && size.log2Bytes > 12)
                | UInt64(attributes.protectionKey & 15) &<< 59
        }
    }
}

extension AddressSpace {
    /// The space of an x86-64 root register.
    ///
    /// PCID or cache bits (11...0), the no-flush bit (63) and the linear-address-masking bits (62, 61) of CR3 are no part
    /// of the address.
    public static func x86LongMode<Levels: Depth>(_ format: X86LongMode<Levels>, cr3: UInt64) -> AddressSpace
    where Format == X86LongMode<Levels> {
        .signExtended(
            format, root: PhysicalAddress(cr3 & 0x000f_ffff_ffff_f000 & ~format.encryptionMask),
            topLevel: Levels.topLevel, bits: format.shift(Levels.topLevel) &+ 9)
    }
}
