// RISC-V Sv39, Sv48 and Sv57.
//
// RISC-V Instruction Set Manual, volume II (privileged architecture), chapter "Supervisor-Level ISA", sections "Sv39",
// "Sv48", "Sv57"; chapters "Svnapot" and "Svpbmt".
//
// | level | manual (LEVELS counts up)  | Linux | covers  | leaf               |
// |-------|----------------------------|-------|---------|--------------------|
// | 4     | VPN[4], Sv57               | pgd   | 256 TiB | 256 TiB petapage   |
// | 3     | VPN[3], Sv48 and Sv57      | p4d   | 512 GiB | 512 GiB terapage   |
// | 2     | VPN[2]                     | pud   | 1 GiB   | 1 GiB gigapage     |
// | 1     | VPN[1]                     | pmd   | 2 MiB   | 2 MiB megapage     |
// | 0     | VPN[0]                     | pte   | 4 KiB   | 4 KiB, 64 KiB runs |
//
// Addresses are sign-extended. Only leaves carry rights.

public typealias RISCVSv39 = RISCV<ThreeLevels>
public typealias RISCVSv48 = RISCV<FourLevels>
public typealias RISCVSv57 = RISCV<FiveLevels>

public struct RISCV<Levels: Depth>: PageTableFormat {
    /// Runs of 16 pages of 4 KiB (Svnapot).
    public let svnapot: Bool
    /// Memory types in entries (Svpbmt).
    public let svpbmt: Bool
    /// "Write without read" makes a page of a shadow stack (Zicfiss).
    public let shadowStack: Bool
    /// Bits 59 and 60 are the software's (Svrsw60t59b).
    public let softwareBits59And60: Bool
    /// Bits that must be zero in every valid entry.
    @usableFromInline
    let reservedMask: UInt64

    public init(
        svnapot: Bool = true, svpbmt: Bool = true, shadowStack: Bool = false, softwareBits59And60: Bool = false
    ) {
        self.svnapot = svnapot
        self.svpbmt = svpbmt
        self.shadowStack = shadowStack
        self.softwareBits59And60 = softwareBits59And60
        reservedMask =
            (softwareBits59And60 ? 0x1f : 0x7f) &<< 54 | (svpbmt ? 0 : RISCVBit.memoryType)
            | (svnapot ? 0 : RISCVBit.napot)
    }

    @inlinable
    public static var fixedTopLevel: Level? { Levels.topLevel }
    @inlinable
    public static var highestLevel: Level { Levels.topLevel }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty, .global]) }

    /// Linux builds for Sv57 and folds down to what the processor has.
    public static func folding(of level: Level) -> Folding { level <= highestLevel ? .never : .atRunTime }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 9 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { 9 }
    public func leafSizes(_ level: Level) -> [PageSize] {
        let size = PageSize(log2Bytes: Int(shift(level)))
        return level.rawValue == 0 && svnapot ? [size, PageSize(log2Bytes: 16)] : [size]
    }

    /// The address field moved to where addresses have it: 44 bits of page number.
    @inlinable
    func address(_ value: UInt64) -> UInt64 { value &<< 2 & 0x00ff_ffff_ffff_f000 }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & RISCVBit.valid == 0 { return .invalid }
        if value & reservedMask != 0 { return .malformed }
        if value & RISCVBit.access == 0 {
            return level.rawValue > 0 && value & RISCVBit.leafOnly == 0 ? .table : .malformed
        }
        return isReservedLeaf(value) || isMisaligned(value, level) ? .malformed : .leaf
    }

    @inlinable
    func isReservedLeaf(_ value: UInt64) -> Bool {
        let access = value & (RISCVBit.read | RISCVBit.write)
        if access == RISCVBit.write && (!shadowStack || value & RISCVBit.execute != 0) { return true }
        return value & RISCVBit.memoryType == RISCVBit.memoryType
    }

    /// Runs are of 64 KiB only and say so in the low bits of their page number.
    @inlinable
    func isMisaligned(_ value: UInt64, _ level: Level) -> Bool {
        if value & RISCVBit.napot != 0 { return level.rawValue > 0 || value &>> 10 & 15 != 8 }
        return address(value) & ((1 &<< shift(level)) &- 1) != 0
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        let value = entry.rawValue
        if value & reservedMask != 0 { return .reservedBits(value & reservedMask) }
        if value & RISCVBit.access == 0 {
            return level.rawValue == 0 ? .tableBelowLeafTable : .reservedBits(value & RISCVBit.leafOnly)
        }
        if isReservedLeaf(value) { return .reservedEncoding }
        return value & RISCVBit.napot != 0 ? .reservedEncoding : .misalignedLeaf
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress { PhysicalAddress(address(entry.rawValue)) }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset = leafSize(of: leaf, at: level).offsetMask
        return PhysicalAddress(self.address(leaf.rawValue) & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize {
        let isRun = level.rawValue == 0 && leaf.rawValue & RISCVBit.napot != 0
        return PageSize(uncheckedLog2Bytes: isRun ? 16 : shift(level))
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        entry.rawValue & RISCVBit.access == 0 ? .all : RISCVBit.rights(entry.rawValue)
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: RISCVBit.rights(leaf.rawValue), flags: RISCVBit.flags(leaf.rawValue),
            memoryTypeIndex: UInt8(truncatingIfNeeded: leaf.rawValue &>> 61 & 3))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & (0xfe | RISCVBit.memoryType | RISCVBit.napot)
    }

    /// The page-based memory types; 0 leaves the type to the physical memory attributes.
    public func memoryType(_ index: UInt8) -> MemoryType {
        switch index & 3 {
        case 0: .unspecified
        case 1: .nonCacheable
        case 2: .inputOutput
        default: .unknown
        }
    }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return 0
        case .table(let table): return RISCVBit.valid | pageNumber(table)
        case .leaf(let frame, let size):
            var value = RISCVBit.encodeLeaf(attributes) | UInt64(attributes.memoryTypeIndex & 3) &<< 61
            value |= pageNumber(frame)
            return level.rawValue == 0 && size.log2Bytes == 16 ? value | RISCVBit.napot | 8 &<< 10 : value
        }
    }

    private func pageNumber(_ address: PhysicalAddress) -> UInt64 {
        (address.rawValue & 0x00ff_ffff_ffff_f000) &>> 2
    }
}
