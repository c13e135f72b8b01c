// RISC-V Sv32.
//
// RISC-V Instruction Set Manual, volume II (privileged architecture), section "Sv32: Page-Based 32-bit Virtual-Memory
// Systems".
//
// | level | manual | Linux | covers | leaf           |
// |-------|--------|-------|--------|----------------|
// | 1     | VPN[1] | pgd   | 4 MiB  | 4 MiB megapage |
// | 0     | VPN[0] | pte   | 4 KiB  | 4 KiB          |
//
// Entries have 4 bytes, tables 1024 entries, physical addresses 34 bits.

public struct RISCVSv32: PageTableFormat {
    /// "Write without read" makes a page of a shadow stack (Zicfiss).
    public let shadowStack: Bool

    public init(shadowStack: Bool = false) { self.shadowStack = shadowStack }

    @inlinable
    public static var entryBytes: Int { 4 }
    @inlinable
    public static var fixedTopLevel: Level? { Level(1) }
    @inlinable
    public static var highestLevel: Level { Level(1) }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty, .global]) }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { 12 &+ 10 &* UInt64(truncatingIfNeeded: level.rawValue) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { 10 }
    public func leafSizes(_ level: Level) -> [PageSize] { [PageSize(log2Bytes: Int(shift(level)))] }

    /// The address field moved to where addresses have it: 22 bits of page number.
    @inlinable
    func address(_ value: UInt64) -> UInt64 { value &<< 2 & 0x3_ffff_f000 }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        let value = entry.rawValue
        if value & RISCVBit.valid == 0 { return .invalid }
        if value & RISCVBit.access == 0 {
            return level.rawValue > 0 && value & RISCVBit.leafOnly == 0 ? .table : .malformed
        }
        return isReservedLeaf(value) || isMisaligned(value, level) ? .malformed : .leaf
    }

    @inlinable
    func isReservedLeaf(_ value: UInt64) -> Bool {
        value & (RISCVBit.read | RISCVBit.write) == RISCVBit.write
            && (!shadowStack || value & RISCVBit.execute != 0)
    }

    @inlinable
    func isMisaligned(_ value: UInt64, _ level: Level) -> Bool {
        address(value) & ((1 &<< shift(level)) &- 1) != 0
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        if entry.rawValue & RISCVBit.access == 0 {
            return level.rawValue == 0 ? .tableBelowLeafTable : .reservedBits(entry.rawValue & RISCVBit.leafOnly)
        }
        return isReservedLeaf(entry.rawValue) ? .reservedEncoding : .misalignedLeaf
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress { PhysicalAddress(address(entry.rawValue)) }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let offset: UInt64 = (1 &<< shift(level)) &- 1
        return PhysicalAddress(self.address(leaf.rawValue) & ~offset | address.rawValue & offset)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        entry.rawValue & RISCVBit.access == 0 ? .all : RISCVBit.rights(entry.rawValue)
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(rights: RISCVBit.rights(leaf.rawValue), flags: RISCVBit.flags(leaf.rawValue))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 { leaf.rawValue & 0xfe }

    public func memoryType(_ index: UInt8) -> MemoryType { .unspecified }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: 0
        case .table(let table): RISCVBit.valid | (table.rawValue & 0x3_ffff_f000) &>> 2
        case .leaf(let frame, _): RISCVBit.encodeLeaf(attributes) | (frame.rawValue & 0x3_ffff_f000) &>> 2
        }
    }
}
