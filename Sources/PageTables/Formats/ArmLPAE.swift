// 32-bit Arm with the Large Physical Address Extension: long descriptors.
//
// Arm Architecture Reference Manual for ARMv7-A (DDI 0406), section B3.6 "Long-descriptor translation table format";
// for ARMv8 (DDI 0487), section G5.5.
//
// | level | Arm         | Linux | covers | leaf  |
// |-------|-------------|-------|--------|-------|
// | 2     | first level | pgd   | 1 GiB  | 1 GiB |
// | 1     | second      | pmd   | 2 MiB  | 2 MiB |
// | 0     | third       | pte   | 4 KiB  | 4 KiB |
//
// The first-level table has 4 entries at most; a space of 1 GiB or less starts at the second level. SCTLR.WXN and
// SCTLR.UWXN are not modelled.

public struct ArmLPAE: PageTableFormat {
    /// Whether table descriptors take rights away (TTBCR2.HPDx of ARMv8.2 turns that off).
    public let hierarchicalRights: Bool
    /// MAIR0, and MAIR1 in the upper half.
    public let memoryAttributes: UInt64?
    public let byteOrder: ByteOrder

    /// - Parameter memoryAttributes: MAIR1:MAIR0, if they are known.
    public init(
        hierarchicalRights: Bool = true, memoryAttributes: UInt64? = nil, byteOrder: ByteOrder = .little
    ) {
        self.hierarchicalRights = hierarchicalRights
        self.memoryAttributes = memoryAttributes
        self.byteOrder = byteOrder
    }

    @inlinable
    public static var fixedTopLevel: Level? { nil }
    @inlinable
    public static var highestLevel: Level { Level(2) }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .global]) }

    /// A half that is small enough starts at the second level.
    public static func folding(of level: Level) -> Folding {
        level > highestLevel ? .statically : level == highestLevel ? .atRunTime : .never
    }

    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level.rawValue >= 2 ? 2 : 9 }

    /// A run has 16 entries, which is more than the first level has.
    public func leafSizes(_ level: Level) -> [PageSize] {
        let size = PageSize(uncheckedLog2Bytes: shift(level))
        return switch level.rawValue {
        case 0, 1: [size, PageSize(uncheckedLog2Bytes: shift(level) &+ 4)]
        case 2: [size]
        default: []
        }
    }

    @inlinable
    static var addressMask: UInt64 { 0x0000_00ff_ffff_f000 }
    /// Address bits above the 40 that physical addresses have.
    @inlinable
    static var tooWideMask: UInt64 { 0x0000_ff00_0000_0000 }

    /// A valid descriptor whose access flag is clear is a leaf like others, without `.accessed`.
    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & ArmLongDescriptor.valid == 0 { return .invalid }
        if value & Self.tooWideMask != 0 { return .malformed }
        if value & ArmLongDescriptor.tableOrPage != 0 { return level.rawValue == 0 ? .leaf : .table }
        return level.rawValue > 0 && level.rawValue <= 2 ? .leaf : .malformed
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if entry.rawValue & Self.tooWideMask != 0 { return .addressTooWide }
        return level.rawValue == 0 ? .reservedEncoding : .leafAtIllegalLevel
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & Self.addressMask)
    }

    /// Every entry of a contiguous run has its own address.
    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(leaf.rawValue & Self.addressMask & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize {
        let run: UInt64 = leaf.rawValue & ArmLongDescriptor.contiguous != 0 && level.rawValue < 2 ? 4 : 0
        return PageSize(uncheckedLog2Bytes: shift(level) &+ run)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        ArmLongDescriptor.isTable(entry.rawValue, at: level)
            ? tableRights(entry.rawValue) : leafRights(entry.rawValue)
    }

    /// XN holds for both privileges, and code must be readable.
    @inlinable
    func leafRights(_ value: UInt64) -> Rights {
        let user = value & ArmLongDescriptor.user != 0
        var rights = ArmLongDescriptor.access(writable: value & ArmLongDescriptor.readOnly == 0, user: user)
        if value & ArmLongDescriptor.executeNever == 0 {
            if value & ArmLongDescriptor.privilegedExecuteNever == 0 { rights |= 4 }
            if user { rights |= 32 }
        }
        return Rights(rawValue: rights)
    }

    @inlinable
    func tableRights(_ value: UInt64) -> Rights {
        guard hierarchicalRights else { return .all }
        var rights = ArmLongDescriptor.tableAccess(value)
        if value & ArmLongDescriptor.tablePrivilegedExecuteNever != 0 { rights.remove(.supervisorExecute) }
        if value & ArmLongDescriptor.tableExecuteNever != 0 { rights.subtract(.executes) }
        return rights
    }

    /// What the user cannot read it cannot execute.
    @inlinable
    public func effectiveRights(_ intersection: Rights) -> Rights {
        intersection.contains(.userRead) ? intersection : intersection.subtracting(.userExecute)
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: leafRights(leaf.rawValue), flags: ArmLongDescriptor.flags(leaf.rawValue),
            memoryTypeIndex: ArmLongDescriptor.attributeIndex(leaf.rawValue))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        // AttrIndx, AP, AF, nG; Contiguous, PXN, XN.
        leaf.rawValue & 0x0070_0000_0000_0cdc
    }

    /// Without the registers the numbers are those of Linux (arch/arm/mm/proc-v7-3level.S, v6.19), which does not use 5
    /// and 6.
    public func memoryType(_ index: UInt8) -> MemoryType {
        if memoryAttributes == nil && (index & 7 == 5 || index & 7 == 6) { return .unknown }
        let attributes = (memoryAttributes ?? 0xff00_0004_eeaa_4400) &>> (UInt64(index & 7) &* 8)
        return ArmLongDescriptor.memoryType(attribute: UInt8(truncatingIfNeeded: attributes))
    }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table):
            ArmLongDescriptor.valid | ArmLongDescriptor.tableOrPage | table.rawValue & Self.addressMask
                | (hierarchicalRights ? encodeTable(attributes.rights) : 0)
        case .leaf(let frame, let size):
            ArmLongDescriptor.valid | (level.rawValue == 0 ? ArmLongDescriptor.tableOrPage : 0)
                | frame.rawValue & Self.addressMask | ArmLongDescriptor.encode(attributes)
                | encodeLeaf(attributes.rights)
                | (UInt64(size.log2Bytes) > shift(level) ? ArmLongDescriptor.contiguous : 0)
        }
    }

    private func encodeTable(_ rights: Rights) -> UInt64 {
        var value = ArmLongDescriptor.encodeTableAccess(rights)
        if !rights.contains(.userExecute) {
            value |= ArmLongDescriptor.tableExecuteNever
        } else if !rights.contains(.supervisorExecute) {
            value |= ArmLongDescriptor.tablePrivilegedExecuteNever
        }
        return value
    }

    private func encodeLeaf(_ rights: Rights) -> UInt64 {
        var value: UInt64 = rights.contains(.userRead) ? ArmLongDescriptor.user : 0
        if !rights.contains(.supervisorWrite) { value |= ArmLongDescriptor.readOnly }
        if rights.isDisjoint(with: .executes) {
            value |= ArmLongDescriptor.executeNever
        } else if !rights.contains(.supervisorExecute) {
            value |= ArmLongDescriptor.privilegedExecuteNever
        }
        return value
    }
}
