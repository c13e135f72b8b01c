// z/Architecture dynamic address translation.
//
// z/Architecture Principles of Operation (SA22-7832), chapter 3, "Dynamic Address Translation"; QEMU's
// target/s390x/mmu_helper.c for the order of the checks.
//
// | level | Principles of Operation    | Linux | TT | covers | leaf            |
// |-------|----------------------------|-------|----|--------|-----------------|
// | 4     | region-first table (R1)    | pgd   | 3  | 8 PiB  | never           |
// | 3     | region-second table (R2)   | p4d   | 2  | 4 TiB  | never           |
// | 2     | region-third table (R3)    | pud   | 1  | 2 GiB  | 2 GiB (EDAT-2)  |
// | 1     | segment table              | pmd   | 0  | 1 MiB  | 1 MiB (EDAT-1)  |
// | 0     | page table                 | pte   | -  | 4 KiB  | 4 KiB           |
//
// Entries are big-endian. The top level is a property of each space (ASCE.DT). Every entry of a region or segment table
// says in TT to which kind of table it belongs, and a region entry says in TF and TL which quarters of the table below
// exist. A page table has 256 entries: 2 KiB.

/// The format of s390x. There is no user and no supervisor in an entry, because they have spaces of their own: rights are
/// given as those of the supervisor.
public struct S390x: PageTableFormat {
    /// 1 MiB leaves, and protection by region entries.
    public let edat1: Bool
    /// 2 GiB leaves.
    public let edat2: Bool
    /// ASCE.P, in which common segments and regions are not allowed.
    public let privateSpace: Bool
    /// Where Linux keeps its own bits in a large leaf.
    public let linuxLeafBits: LinuxLeafBits

    /// Linux moved its own bits of segment- and region-third-table leaves when it gave them a bit for "present".
    public enum LinuxLeafBits: Sendable {
        /// Read 0x4000, write 0x8000, soft-dirty 0x0002, present 0x0001 (v6.19).
        case withPresent
        /// Read 0x0001, write 0x0002, soft-dirty 0x4000 (v6.1).
        case withoutPresent

        /// What a valid entry of a segment table that points to a page table tells: newer kernels mark those as well.
        public init(segmentTableEntry entry: Entry) {
            self = entry.rawValue & 1 != 0 ? .withPresent : .withoutPresent
        }
    }

    /// - Parameter edat2: Implies `edat1`.
    public init(
        edat1: Bool = true, edat2: Bool = true, privateSpace: Bool = false,
        linuxLeafBits: LinuxLeafBits = .withPresent
    ) {
        self.edat1 = edat1 || edat2
        self.edat2 = edat2
        self.privateSpace = privateSpace
        self.linuxLeafBits = linuxLeafBits
    }

    @usableFromInline
    enum Bit {
        /// Of a page-table entry; must be zero.
        @inlinable static var pageZero: UInt64 { 0x800 }
        /// Of a page-table entry.
        @inlinable static var pageInvalid: UInt64 { 0x400 }
        /// Of the other tables' entries.
        @inlinable static var invalid: UInt64 { 0x20 }
        @inlinable static var formatControl: UInt64 { 0x400 }
        @inlinable static var protected: UInt64 { 0x200 }
        @inlinable static var noExecute: UInt64 { 0x100 }
        @inlinable static var common: UInt64 { 0x10 }
        @inlinable static var accessControlValid: UInt64 { 0x10000 }
        @inlinable static var accessControl: UInt64 { 0xf000 }
    }

    @inlinable
    public static var fixedTopLevel: Level? { nil }
    @inlinable
    public static var highestLevel: Level { Level(4) }
    /// References and changes are recorded in storage keys, not in entries.
    public static var notions: FormatNotions { FormatNotions(flags: [], user: false) }

    /// Each space has its own depth, two levels at least, and Linux lets it grow.
    public static func folding(of level: Level) -> Folding { level.rawValue < 2 ? .never : .atRunTime }

    @inlinable
    public var byteOrder: ByteOrder { .big }
    @inlinable
    public func shift(_ level: Level) -> UInt64 {
        level.rawValue == 0 ? 12 : 9 &+ 11 &* UInt64(truncatingIfNeeded: level.rawValue)
    }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level.rawValue == 0 ? 8 : 11 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue == 0 || canBeLeaf(level) ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    /// Whether format control has a meaning in entries at `level`; where it has none it is ignored.
    @inlinable
    func canBeLeaf(_ level: Level) -> Bool { level.rawValue == 1 ? edat1 : level.rawValue == 2 && edat2 }

    /// The TT field that entries at `level` must have, in place.
    @inlinable
    func tableType(_ level: Level) -> UInt64 { UInt64(truncatingIfNeeded: level.rawValue &- 1) &<< 2 & 0xc }

    @inlinable
    func isLeaf(_ value: UInt64, _ level: Level) -> Bool {
        level.rawValue == 0 || value & Bit.formatControl != 0 && canBeLeaf(level)
    }

    @inlinable
    func breaksPrivacy(_ value: UInt64, _ level: Level) -> Bool {
        privateSpace && value & Bit.common != 0 && (level.rawValue == 1 || level.rawValue == 2 && edat2)
    }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if level.rawValue == 0 {
            if value & Bit.pageInvalid != 0 { return .invalid }
            return value & Bit.pageZero == 0 ? .leaf : .malformed
        }
        if value & Bit.invalid != 0 { return .invalid }
        if value & 0xc != tableType(level) || breaksPrivacy(value, level) { return .malformed }
        if isLeaf(value, level) { return .leaf }
        // A table whose offset exceeds its length has no entries: all that is below is a translation exception.
        return level.rawValue > 1 && value &>> 6 & 3 > value & 3 ? .invalid : .table
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if level.rawValue == 0 { return .reservedBits(Bit.pageZero) }
        let (found, expected) = (entry.rawValue & 0xc, tableType(level))
        if found != expected { return .wrongTableType(found: Int(found &>> 2), expected: Int(expected &>> 2)) }
        return .reservedBits(Bit.common)
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & (level.rawValue == 1 ? ~0x7ff : ~0xfff))
    }

    @inlinable
    public func limits(below entry: Entry, at level: Level) -> IndexLimits {
        if level.rawValue <= 1 { return IndexLimits(first: 0, last: 255) }
        let value = Int(truncatingIfNeeded: entry.rawValue & 0xff)
        return IndexLimits(first: (value &>> 6 & 3) &<< 9, last: (value & 3) &<< 9 | 511)
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(leaf.rawValue & ~offset | address.rawValue & offset)
    }

    /// A table leaves everything but what its protection bit takes; only leaves can forbid execution.
    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        let value = entry.rawValue
        let protected = value & Bit.protected != 0 && (level.rawValue < 2 || edat1)
        if !isLeaf(value, level) { return protected ? Rights.all.subtracting(.writes) : .all }
        var rights: Rights = .supervisorRead
        if !protected { rights.insert(.supervisorWrite) }
        if value & Bit.noExecute == 0 { rights.insert(.supervisorExecute) }
        return rights
    }

    /// The protection key is the access-control field of a large leaf, where that is valid.
    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        let key = leaf.rawValue & keyBits(leaf.rawValue, level) & Bit.accessControl
        return EntryAttributes(
            rights: rights(of: leaf, at: level), protectionKey: UInt8(truncatingIfNeeded: key &>> 12))
    }

    @inlinable
    func keyBits(_ value: UInt64, _ level: Level) -> UInt64 {
        level.rawValue > 0 && value & Bit.accessControlValid != 0 ? Bit.accessControlValid | Bit.accessControl : 0
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & (Bit.protected | Bit.noExecute | keyBits(leaf.rawValue, level))
    }

    public func memoryType(_ index: UInt8) -> MemoryType { .unspecified }

    /// Tables have all four quarters; empty entries are those that Linux writes, for zero would be valid.
    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        let type = level.rawValue == 0 ? 0 : tableType(level)
        switch content {
        case .invalid, .malformed: return level.rawValue == 0 ? Bit.pageInvalid : Bit.invalid | type
        case .table(let table):
            let protected = attributes.rights.isDisjoint(with: .writes) ? Bit.protected : 0
            let length: UInt64 = level.rawValue > 1 ? 3 : 0
            return table.rawValue & (level.rawValue == 1 ? ~0x7ff : ~0xfff) | type | protected | length
        case .leaf(let frame, _):
            var value = frame.rawValue & ~((1 &<< shift(level)) &- 1) | type
            if level.rawValue > 0 { value |= Bit.formatControl }
            if !attributes.rights.contains(.supervisorWrite) { value |= Bit.protected }
            if !attributes.rights.contains(.supervisorExecute) { value |= Bit.noExecute }
            if level.rawValue > 0 && attributes.protectionKey & 15 != 0 {
                value |= Bit.accessControlValid | UInt64(attributes.protectionKey & 15) &<< 12
            }
            return value
        }
    }
}
