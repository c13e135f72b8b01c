// Linux's tree on 64-bit MIPS, with 4 KiB pages and three levels.
//
// Linux v6.1, arch/mips/include/asm/pgtable-64.h and pgtable-bits.h; MIPS64 Architecture For Programmers, volume III,
// "EntryLo0, EntryLo1". Hardware has no tables: handlers fill its TLB from this tree, and an entry shifted right by its
// software bits is the register EntryLo.
//
// | level | Linux | index bits | covers | leaf  |
// |-------|-------|------------|--------|-------|
// | 2     | pgd   | 10         | 1 GiB  | never |
// | 1     | pmd   | 9          | 2 MiB  | 2 MiB |
// | 0     | pte   | 9          | 4 KiB  | 4 KiB |
//
// Pointers to tables are virtual addresses of the kernel's unmapped segments: XKPHYS for tables that were allocated,
// CKSEG0 for the kernel's image. Empty entries are not zero but point to invalid_pmd_table and invalid_pte_table, which
// are in the image and hold nothing but empty entries.

/// The format of 64-bit MIPS Linux. The positions of an entry's bits follow the configuration of the kernel.
///
/// Entries know no user: what is whose is decided by the segment of an address, and this is the tree of the user's
/// segment. Rights are therefore the same for both.
public struct MIPS64: PageTableFormat {
    public let byteOrder: ByteOrder
    /// Whether pointers into the kernel's image are empty entries, as in every kernel whose image is in CKSEG0. Without
    /// it they are followed like others.
    public let imageTablesAreEmpty: Bool
    public let bits: Bits

    /// Where the bits of a leaf are: consecutive from bit 0, without those that the configuration lacks.
    public struct Bits: Hashable, Sendable {
        @usableFromInline
        let noRead: UInt64
        @usableFromInline
        let huge: UInt64
        @usableFromInline
        let special: UInt64
        @usableFromInline
        let softDirty: UInt64
        @usableFromInline
        let noExecute: UInt64
        @usableFromInline
        let global: UInt64
        @usableFromInline
        let valid: UInt64
        /// Hardware's permission to write.
        @usableFromInline
        let dirty: UInt64
        @usableFromInline
        let cacheShift: UInt64
        @usableFromInline
        let hasNoReadFirst: Bool

        @inlinable var present: UInt64 { 1 }
        @inlinable var write: UInt64 { hasNoReadFirst ? 1 << 2 : 1 << 1 }
        @inlinable var accessed: UInt64 { write &<< 1 }
        @inlinable var modified: UInt64 { write &<< 2 }
        /// Below it are no bits of the frame number.
        @inlinable var frameShift: UInt64 { cacheShift &+ 3 }

        /// With the defaults, as Debian's kernel 6.1 for 64-bit Malta boards.
        ///
        /// - Parameters:
        ///   - hugePages: CONFIG_MIPS_HUGE_TLB_SUPPORT.
        ///   - special: CONFIG_ARCH_HAS_PTE_SPECIAL.
        ///   - softDirty: CONFIG_MEM_SOFT_DIRTY.
        ///   - readExecuteInhibit: Bits for RI and XI next to hardware's; without it "no read" follows "present" and
        ///     there is no "no execute".
        public init(
            hugePages: Bool = true, special: Bool = true, softDirty: Bool = false, readExecuteInhibit: Bool = true
        ) {
            var next: UInt64 = readExecuteInhibit ? 1 &<< 4 : 1 &<< 5
            func take(_ exists: Bool) -> UInt64 {
                guard exists else { return 0 }
                defer { next = next &<< 1 }
                return next
            }
            huge = take(hugePages)
            self.special = take(special)
            self.softDirty = take(softDirty)
            noExecute = take(readExecuteInhibit)
            noRead = readExecuteInhibit ? take(true) : 1 &<< 1
            global = take(true)
            valid = take(true)
            dirty = take(true)
            cacheShift = UInt64(next.trailingZeroBitCount)
            hasNoReadFirst = !readExecuteInhibit
        }
    }

    public init(bits: Bits = Bits(), byteOrder: ByteOrder = .little, imageTablesAreEmpty: Bool = true) {
        self.bits = bits
        self.byteOrder = byteOrder
        self.imageTablesAreEmpty = imageTablesAreEmpty
    }

    @inlinable
    public static var fixedTopLevel: Level? { Level(2) }
    @inlinable
    public static var highestLevel: Level { Level(2) }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty, .global]) }

    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level.rawValue == 2 ? 10 : 9 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        level.rawValue == 0 || level.rawValue == 1 && bits.huge != 0 ? [PageSize(log2Bytes: Int(shift(level)))] : []
    }

    /// XKPHYS: bits 61...59 are a cache attribute, the rest is a physical address.
    @inlinable
    static func isUnmapped(_ value: UInt64) -> Bool { value &>> 62 == 2 }

    /// CKSEG0 and CKSEG1: the low 29 bits are a physical address.
    @inlinable
    static func isImage(_ value: UInt64) -> Bool { value &>> 30 == 0x3_ffff_fffe }

    @inlinable
    func isLeaf(_ value: UInt64, _ level: Level) -> Bool {
        level.rawValue == 0 || level.rawValue == 1 && value & bits.huge != 0
    }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if isLeaf(value, level) {
            if value & bits.valid == 0 { return .invalid }
            return isMisaligned(value, level) ? .malformed : .leaf
        }
        if value == 0 { return .invalid }
        if Self.isUnmapped(value) { return value & 0xfff == 0 ? .table : .malformed }
        guard Self.isImage(value), value & 0xfff == 0 else { return .malformed }
        return imageTablesAreEmpty ? .invalid : .table
    }

    @inlinable
    func isMisaligned(_ value: UInt64, _ level: Level) -> Bool {
        frame(value) & ((1 &<< shift(level)) &- 1) != 0
    }

    @inlinable
    func frame(_ value: UInt64) -> UInt64 { (value &>> bits.frameShift) &<< 12 }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        let value = entry.rawValue
        if isLeaf(value, level) { return .misalignedLeaf }
        return Self.isUnmapped(value) || Self.isImage(value) ? .reservedBits(value & 0xfff) : .reservedEncoding
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        let value = entry.rawValue
        return PhysicalAddress(value & (Self.isUnmapped(value) ? 0x07ff_ffff_ffff_f000 : 0x1fff_f000))
    }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(frame(leaf.rawValue) & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        let value = entry.rawValue
        guard isLeaf(value, level) else { return .all }
        var rights: Rights = []
        if value & bits.noRead == 0 { rights.formUnion([.supervisorRead, .userRead]) }
        if value & bits.dirty != 0 { rights.formUnion([.supervisorWrite, .userWrite]) }
        if value & bits.noExecute == 0 { rights.formUnion([.supervisorExecute, .userExecute]) }
        return rights
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        let value = leaf.rawValue
        var flags: EntryFlags = []
        if value & bits.accessed != 0 { flags.insert(.accessed) }
        if value & bits.modified != 0 { flags.insert(.dirty) }
        if value & bits.global != 0 { flags.insert(.global) }
        return EntryAttributes(
            rights: rights(of: leaf, at: level), flags: flags,
            memoryTypeIndex: UInt8(truncatingIfNeeded: value &>> bits.cacheShift & 7))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue
            & (bits.noRead | bits.noExecute | bits.dirty | bits.accessed | bits.modified | bits.global
                | 7 &<< bits.cacheShift)
    }

    /// 2 and 3 are the architecture's; 5 (coherent) and 7 (uncached accelerated) are common among processors.
    public func memoryType(_ index: UInt8) -> MemoryType {
        switch index & 7 {
        case 2: .uncached
        case 3, 5: .writeBack
        case 7: .writeCombining
        default: .unknown
        }
    }

    /// A page that may be written says so to hardware and to Linux. Pointers are to cached memory.
    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return 0
        case .table(let table): return 0x9800_0000_0000_0000 | table.rawValue & 0x07ff_ffff_ffff_f000
        case .leaf(let frame, _):
            var value = (frame.rawValue &>> 12) &<< bits.frameShift | bits.present | bits.valid
            if level.rawValue > 0 { value |= bits.huge }
            if !attributes.rights.contains(.supervisorRead) { value |= bits.noRead }
            if attributes.rights.contains(.supervisorWrite) { value |= bits.dirty | bits.write }
            if !attributes.rights.contains(.supervisorExecute) { value |= bits.noExecute }
            if attributes.flags.contains(.accessed) { value |= bits.accessed }
            if attributes.flags.contains(.dirty) { value |= bits.modified }
            if attributes.flags.contains(.global) { value |= bits.global }
            return value | UInt64(attributes.memoryTypeIndex & 7) &<< bits.cacheShift
        }
    }
}
