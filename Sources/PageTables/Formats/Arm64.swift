// 64-bit Arm (VMSAv8-64), stage 1 of EL1&0.
//
// Arm Architecture Reference Manual for A-profile (DDI 0487), chapter D8 "The AArch64 Virtual Memory System
// Architecture": "Translation process" for the levels, "Translation table descriptor formats", "Memory access control"
// for permissions, "Other descriptor fields" for the contiguous bit.
//
// | level | Arm      | Linux | 4 KiB granule: covers, leaf | 16 KiB             | 64 KiB          |
// |-------|----------|-------|-----------------------------|--------------------|-----------------|
// | 4     | level −1 | pgd   | 256 TiB, never              | –                  | –               |
// | 3     | level 0  | p4d   | 512 GiB, with DS            | 128 TiB, never     | –               |
// | 2     | level 1  | pud   | 1 GiB                       | 64 GiB, with DS    | 4 TiB, with LPA |
// | 1     | level 2  | pmd   | 2 MiB                       | 32 MiB             | 512 MiB         |
// | 0     | level 3  | pte   | 4 KiB                       | 16 KiB             | 64 KiB          |
//
// A walk starts at the level that TxSZ asks for, with a top table that may be short; both are properties of a space.
//
// What is not modelled: permission indirection (FEAT_S1PIE), 128-bit descriptors (FEAT_D128), SCTLR_EL1.WXN, and the
// tags of pointers: addresses are the canonical ones, whose upper bits all equal bit 55. Who has tagged pointers (TBI)
// extends bit 55 first.

/// The size of base pages and tables, as a type: a walker is compiled for it.
public protocol Arm64Granule: Sendable {
    static var log2Bytes: UInt64 { get }
    static var highestLevel: Level { get }
    /// The highest level that has blocks.
    /// - Parameter wideAddresses: With FEAT_LPA or TCR_EL1.DS.
    static func highestBlockLevel(wideAddresses: Bool) -> Level
    /// log2 of the number of entries that the contiguous bit joins; 0 where it means nothing.
    static func log2RunLength(_ level: Level) -> UInt64
}

public enum Granule4K: Arm64Granule {
    @inlinable
    public static var log2Bytes: UInt64 { 12 }
    @inlinable
    public static var highestLevel: Level { Level(4) }
    public static func highestBlockLevel(wideAddresses: Bool) -> Level { Level(wideAddresses ? 3 : 2) }
    @inlinable
    public static func log2RunLength(_ level: Level) -> UInt64 { level.rawValue <= 2 ? 4 : 0 }
}

public enum Granule16K: Arm64Granule {
    @inlinable
    public static var log2Bytes: UInt64 { 14 }
    @inlinable
    public static var highestLevel: Level { Level(3) }
    public static func highestBlockLevel(wideAddresses: Bool) -> Level { Level(wideAddresses ? 2 : 1) }
    @inlinable
    public static func log2RunLength(_ level: Level) -> UInt64 {
        level.rawValue == 0 ? 7 : level.rawValue == 1 ? 5 : 0
    }
}

public enum Granule64K: Arm64Granule {
    @inlinable
    public static var log2Bytes: UInt64 { 16 }
    @inlinable
    public static var highestLevel: Level { Level(2) }
    public static func highestBlockLevel(wideAddresses: Bool) -> Level { Level(wideAddresses ? 2 : 1) }
    @inlinable
    public static func log2RunLength(_ level: Level) -> UInt64 { level.rawValue <= 1 ? 5 : 0 }
}

public struct Arm64<Granule: Arm64Granule>: PageTableFormat {
    /// Output addresses of more than 48 bits: FEAT_LPA with 64 KiB, TCR_EL1.DS (FEAT_LPA2) with the other granules.
    public let wideAddresses: Bool
    /// Width of physical addresses; a descriptor with a wider one is malformed (hardware: address size fault).
    public let physicalAddressBits: Int
    /// Whether table descriptors take rights away.
    public let hierarchicalRights: Bool
    /// Whether the processor itself makes a page with DBM writable (TCR_EL1.HD).
    public let hardwareDirty: Bool
    /// Whether bit 55 of a leaf, which hardware leaves to software, says that the page was written: that of one without the
    /// right to write, too. So in tables that `VirtualMemory` changes, as in Linux's (PTE_DIRTY); in others it means anything.
    public let softwareDirty: Bool
    /// MAIR_EL1.
    public let memoryAttributes: UInt64?
    public let byteOrder: ByteOrder

    @usableFromInline
    let addressMask: UInt64
    /// The bits of a descriptor that hold the upper bits of a wide address, and how far below they are.
    @usableFromInline
    let highMask: UInt64
    @usableFromInline
    let highShift: UInt64
    /// The bits of a descriptor that make its address wider than physical addresses are.
    @usableFromInline
    let tooWideMask: UInt64
    @usableFromInline
    let highestBlockLevel: Int
    /// The bit of a leaf that says that its page was written, beside DBM and AP[2]; 0 for none.
    @usableFromInline
    let softwareDirtyMask: UInt64

    /// - Parameters:
    ///   - physicalAddressBits: 32 ... 48, or ... 52 with wide addresses; `nil` for the most of that.
    ///   - hierarchicalRights: False where TCR_EL1.HPDx turns the upper bits of table descriptors off. A format serves
    ///     both halves, so this can be exact only if HPD0 and HPD1 agree; `init(tcr:)` turns it off if both are set.
    ///   - memoryAttributes: MAIR_EL1, if it is known.
    public init(
        wideAddresses: Bool = false, physicalAddressBits: Int? = nil, hierarchicalRights: Bool = true,
        hardwareDirty: Bool = false, softwareDirty: Bool = false, memoryAttributes: UInt64? = nil,
        byteOrder: ByteOrder = .little
    ) {
        let widest = wideAddresses ? 52 : 48
        let bits = min(max(physicalAddressBits ?? widest, 32), widest)
        let inPage: UInt64 = (1 &<< Granule.log2Bytes) &- 1
        if wideAddresses && Granule.log2Bytes < 16 {
            (addressMask, highMask, highShift) = (0x0003_ffff_ffff_ffff & ~inPage, 0x300, 42)
        } else {
            (addressMask, highMask, highShift) = (0x0000_ffff_ffff_ffff & ~inPage, wideAddresses ? 0xf000 : 0, 36)
        }
        let above = ~(((1 as UInt64) &<< UInt64(bits)) &- 1)
        tooWideMask = above & addressMask | above &>> highShift & highMask
        highestBlockLevel = Granule.highestBlockLevel(wideAddresses: wideAddresses).rawValue
        self.wideAddresses = wideAddresses
        self.physicalAddressBits = bits
        self.hierarchicalRights = hierarchicalRights
        self.hardwareDirty = hardwareDirty
        self.softwareDirty = softwareDirty
        softwareDirtyMask = softwareDirty ? Arm64Bit.softwareDirty : 0
        self.memoryAttributes = memoryAttributes
        self.byteOrder = byteOrder
    }

    @inlinable
    public static var fixedTopLevel: Level? { nil }
    @inlinable
    public static var highestLevel: Level { Granule.highestLevel }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty, .global]) }

    /// TxSZ decides, of each half: two levels at least.
    public static func folding(of level: Level) -> Folding {
        level > highestLevel ? .statically : level.rawValue < 2 ? .never : .atRunTime
    }

    @inlinable
    public func shift(_ level: Level) -> UInt64 {
        Granule.log2Bytes &+ (Granule.log2Bytes &- 3) &* UInt64(truncatingIfNeeded: level.rawValue)
    }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { Granule.log2Bytes &- 3 }

    public func leafSizes(_ level: Level) -> [PageSize] {
        guard level.rawValue <= highestBlockLevel else { return [] }
        let size = PageSize(uncheckedLog2Bytes: shift(level))
        let run = Granule.log2RunLength(level)
        return run == 0 ? [size] : [size, PageSize(uncheckedLog2Bytes: shift(level) &+ run)]
    }

    /// A valid descriptor whose access flag is clear is a leaf like others, without `.accessed`: whether hardware sets
    /// the flag or faults is not a matter of the tables.
    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & ArmLongDescriptor.valid == 0 { return .invalid }
        if value & tooWideMask != 0 { return .malformed }
        if value & ArmLongDescriptor.tableOrPage != 0 { return level.rawValue == 0 ? .leaf : .table }
        return level.rawValue > 0 && level.rawValue <= highestBlockLevel ? .leaf : .malformed
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if entry.rawValue & tooWideMask != 0 { return .addressTooWide }
        return level.rawValue == 0 ? .reservedEncoding : .leafAtIllegalLevel
    }

    @inlinable
    func outputAddress(_ value: UInt64) -> UInt64 { value & addressMask | (value & highMask) &<< highShift }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(outputAddress(entry.rawValue))
    }

    /// Every entry of a contiguous run has its own address, and the bits of a block's address below its size are no
    /// part of it.
    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(outputAddress(leaf.rawValue) & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize {
        let run = leaf.rawValue & ArmLongDescriptor.contiguous != 0 ? Granule.log2RunLength(level) : 0
        return PageSize(uncheckedLog2Bytes: shift(level) &+ run)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        ArmLongDescriptor.isTable(entry.rawValue, at: level)
            ? tableRights(entry.rawValue) : leafRights(entry.rawValue)
    }

    @inlinable
    func leafRights(_ value: UInt64) -> Rights {
        let writable =
            value & ArmLongDescriptor.readOnly == 0 || hardwareDirty && value & Arm64Bit.dirtyModifier != 0
        var rights = ArmLongDescriptor.access(writable: writable, user: value & ArmLongDescriptor.user != 0)
        if value & ArmLongDescriptor.privilegedExecuteNever == 0 { rights |= 4 }
        // Whether EL0 may execute does not depend on whether it may read.
        if value & ArmLongDescriptor.executeNever == 0 { rights |= 32 }
        return Rights(rawValue: rights)
    }

    @inlinable
    func tableRights(_ value: UInt64) -> Rights {
        guard hierarchicalRights else { return .all }
        var rights = ArmLongDescriptor.tableAccess(value)
        if value & ArmLongDescriptor.tablePrivilegedExecuteNever != 0 { rights.remove(.supervisorExecute) }
        if value & ArmLongDescriptor.tableExecuteNever != 0 { rights.remove(.userExecute) }
        return rights
    }

    /// What EL0 can write EL1 never executes.
    @inlinable
    public func effectiveRights(_ intersection: Rights) -> Rights {
        intersection.contains(.userWrite) ? intersection.subtracting(.supervisorExecute) : intersection
    }

    /// The dirty flag is DBM with AP[2] clear, or software's; the protection key is POIndex, which means something with
    /// FEAT_S1POE.
    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        let value = leaf.rawValue
        var flags = ArmLongDescriptor.flags(value)
        if value & (Arm64Bit.dirtyModifier | ArmLongDescriptor.readOnly) == Arm64Bit.dirtyModifier
            || value & softwareDirtyMask != 0
        {
            flags.insert(.dirty)
        }
        return EntryAttributes(
            rights: leafRights(value), flags: flags, memoryTypeIndex: ArmLongDescriptor.attributeIndex(value),
            protectionKey: UInt8(truncatingIfNeeded: value &>> 60 & 7))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        // AttrIndx, AP, AF, nG; DBM, Contiguous, PXN, UXN; POIndex; and software's.
        leaf.rawValue & (0x7078_0000_0000_0cdc | softwareDirtyMask)
    }

    /// Without MAIR_EL1 the numbers are those of Linux (arch/arm64/include/asm/sysreg.h, v6.19). Its number 1 is tagged
    /// memory where the processor has tags and is write-back everywhere, so the latter is the answer.
    public func memoryType(_ index: UInt8) -> MemoryType {
        if let memoryAttributes {
            let attribute = memoryAttributes &>> (UInt64(index & 7) &* 8)
            return ArmLongDescriptor.memoryType(attribute: UInt8(truncatingIfNeeded: attribute))
        }
        return switch index & 7 {
        case 0, 1: .writeBack
        case 2: .nonCacheable
        case 3: .deviceNGnRnE
        case 4: .deviceNGnRE
        default: .unknown
        }
    }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table):
            ArmLongDescriptor.valid | ArmLongDescriptor.tableOrPage | encodeAddress(table)
                | (hierarchicalRights ? encodeTable(attributes.rights) : 0)
        case .leaf(let frame, let size):
            ArmLongDescriptor.valid | (level.rawValue == 0 ? ArmLongDescriptor.tableOrPage : 0)
                | encodeAddress(frame) | ArmLongDescriptor.encode(attributes) | encodeLeaf(attributes)
                | (UInt64(size.log2Bytes) > shift(level) ? ArmLongDescriptor.contiguous : 0)
        }
    }

    private func encodeAddress(_ address: PhysicalAddress) -> UInt64 {
        address.rawValue & addressMask | address.rawValue &>> highShift & highMask
    }

    /// The bits of a descriptor that hold an address: of a wide one not contiguous. What physical addresses do not have is
    /// left out.
    @inlinable
    public func addressBits(of address: PhysicalAddress) -> UInt64 {
        (address.rawValue & addressMask | address.rawValue &>> highShift & highMask) & ~tooWideMask
    }

    private func encodeTable(_ rights: Rights) -> UInt64 {
        ArmLongDescriptor.encodeTableAccess(rights)
            | (rights.contains(.supervisorExecute) ? 0 : ArmLongDescriptor.tablePrivilegedExecuteNever)
            | (rights.contains(.userExecute) ? 0 : ArmLongDescriptor.tableExecuteNever)
    }

    private func encodeLeaf(_ attributes: EntryAttributes) -> UInt64 {
        let (rights, dirty) = (attributes.rights, attributes.flags.contains(.dirty))
        var value = UInt64(attributes.protectionKey & 7) &<< 60
        if rights.contains(.userRead) { value |= ArmLongDescriptor.user }
        if !rights.contains(.supervisorExecute) { value |= ArmLongDescriptor.privilegedExecuteNever }
        if !rights.contains(.userExecute) { value |= ArmLongDescriptor.executeNever }
        if !rights.contains(.supervisorWrite) {
            value |= ArmLongDescriptor.readOnly | (dirty ? softwareDirtyMask : 0)
        } else if dirty {
            value |= Arm64Bit.dirtyModifier
        } else if hardwareDirty {
            value |= ArmLongDescriptor.readOnly | Arm64Bit.dirtyModifier
        }
        return value
    }
}

/// Bits that only the 64-bit architecture has.
@usableFromInline
enum Arm64Bit {
    /// DBM: with AP[2] set, a page that may be made writable.
    @inlinable static var dirtyModifier: UInt64 { 1 << 51 }
    /// PTE_DIRTY of Linux (arch/arm64/include/asm/pgtable-prot.h, v6.19).
    @inlinable static var softwareDirty: UInt64 { 1 << 55 }
}
