// The extended page tables of Intel VT-x: guest-physical to physical addresses, with 4 or 5 levels.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3C, section 29.3 "The extended page table mechanism
// (EPT)", tables 29-1 ... 29-7; section 29.3.3.1 "EPT misconfigurations".
//
// | level | manual     | covers  | leaf  |
// |-------|------------|---------|-------|
// | 4     | EPT PML5   | 256 TiB | never |
// | 3     | EPT PML4   | 512 GiB | never |
// | 2     | EPT PDPT   | 1 GiB   | 1 GiB |
// | 1     | EPT PD     | 2 MiB   | 2 MiB |
// | 0     | EPT PT     | 4 KiB   | 4 KiB |
//
// An entry is there if it allows anything. Who is user and who supervisor in the guest is no matter to it, but for execution
// where the hypervisor tells the two apart ("mode-based execute control").

public typealias X86EPT = ExtendedPageTable<FourLevels>
public typealias X86EPTFiveLevel = ExtendedPageTable<FiveLevels>

public struct ExtendedPageTable<Levels: Depth>: PageTableFormat {
    /// Bits that must be zero in every entry that is there.
    public let reservedMask: UInt64
    /// Pages may allow execution without allowing to be read.
    public let executeOnly: Bool
    /// Bit 10 is the right of the guest's user to execute, and bit 2 that of its supervisor.
    public let modeBasedExecute: Bool
    @usableFromInline
    let addressMask: UInt64
    /// An entry that has none of these bits is not there.
    @usableFromInline
    let presentMask: UInt64

    /// - Parameters:
    ///   - physicalAddressBits: MAXPHYADDR, 32 ... 52; address bits above it are reserved.
    ///   - executeOnly: Bit 0 of IA32_VMX_EPT_VPID_CAP.
    ///   - modeBasedExecute: The VM-execution control of that name.
    public init(physicalAddressBits: Int = 52, executeOnly: Bool = true, modeBasedExecute: Bool = false) {
        let bits = UInt64(min(max(physicalAddressBits, 32), 52))
        let allAddressBits: UInt64 = 0x000f_ffff_ffff_f000
        addressMask = ((1 &<< bits) &- 1) & allAddressBits
        reservedMask = allAddressBits & ~addressMask
        presentMask = EPTBit.access | (modeBasedExecute ? EPTBit.userExecute : 0)
        self.executeOnly = executeOnly
        self.modeBasedExecute = modeBasedExecute
    }

    @inlinable
    public static var fixedTopLevel: Level? { Levels.topLevel }
    @inlinable
    public static var highestLevel: Level { Levels.topLevel }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty], user: false) }

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
    @inline(__always)
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        // One test for what most entries on a path are: a table that allows everything.
        let checked = EPTBit.access | EPTBit.tableReserved | EPTBit.large | reservedMask
        if level.rawValue > 0 && entry.rawValue & checked == EPTBit.access { return .table }
        return shapeByRules(entry.rawValue, level)
    }

    @inlinable
    func shapeByRules(_ value: UInt64, _ level: Level) -> EntryShape {
        if value & presentMask == 0 { return .invalid }
        if value & reservedMask != 0 || hasReservedAccess(value) { return .malformed }
        if level.rawValue > 0 && value & EPTBit.large == 0 {
            return value & EPTBit.tableReserved == 0 ? .table : .malformed
        }
        if level.rawValue > 2 || value & misaligned(level) != 0 || hasReservedType(value) { return .malformed }
        return .leaf
    }

    /// Writing without reading; executing without reading where the processor cannot.
    @inlinable
    func hasReservedAccess(_ value: UInt64) -> Bool {
        value & EPTBit.read == 0 && (value & EPTBit.write != 0 || !executeOnly)
    }

    @inlinable
    func hasReservedType(_ value: UInt64) -> Bool {
        let type = value &>> 3 & 7
        return type == 2 || type == 3 || type == 7
    }

    /// The address bits that a large leaf must leave zero.
    @inlinable
    func misaligned(_ level: Level) -> UInt64 { ((1 &<< shift(level)) &- 1) & ~0xfff }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        guard shape(of: entry, at: level) == .malformed else { return nil }
        let value = entry.rawValue
        if value & reservedMask != 0 { return .reservedBits(value & reservedMask) }
        if hasReservedAccess(value) { return .reservedEncoding }
        let isLeaf = level.rawValue == 0 || value & EPTBit.large != 0
        if !isLeaf { return .reservedBits(value & EPTBit.tableReserved) }
        if level.rawValue > 2 { return .leafAtIllegalLevel }
        return value & misaligned(level) != 0 ? .reservedBits(value & misaligned(level)) : .reservedEncoding
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
    public func rights(of entry: Entry, at level: Level) -> Rights { rights(ofPath: entry.rawValue) }

    /// The entry itself: each right is a bit that all entries have.
    @inlinable
    public func pathBits(of entry: Entry, at level: Level) -> UInt64 { entry.rawValue }

    @inlinable
    public func rights(ofPath bits: UInt64) -> Rights {
        let access = bits & EPTBit.access
        let user = modeBasedExecute ? access & 3 | (bits &>> 8 & 4) : access
        return Rights(rawValue: UInt8(truncatingIfNeeded: access | user &<< 3))
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: rights(of: leaf, at: level),
            flags: EntryFlags(rawValue: UInt8(truncatingIfNeeded: leaf.rawValue &>> 8 & 3)),
            memoryTypeIndex: UInt8(truncatingIfNeeded: leaf.rawValue &>> 3 & 15))
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & (presentMask | EPTBit.memoryType | EPTBit.accessed | EPTBit.dirty)
    }

    /// The type in the lower three bits; the fourth says that the guest's own type (PAT) is ignored.
    public func memoryType(_ index: UInt8) -> MemoryType {
        switch index & 7 {
        case 0: .uncached
        case 1: .writeCombining
        case 4: .writeThrough
        case 5: .writeProtected
        case 6: .writeBack
        default: .unknown
        }
    }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return 0
        case .table(let table): return table.rawValue & addressMask | encode(attributes.rights)
        case .leaf(let frame, let size):
            let value = frame.rawValue & addressMask | encode(attributes.rights)
            return value | UInt64(attributes.memoryTypeIndex & 15) &<< 3 | UInt64(attributes.flags.rawValue & 3) &<< 8
                | (level.rawValue > 0 && size.log2Bytes > 12 ? EPTBit.large : 0)
        }
    }

    private func encode(_ rights: Rights) -> UInt64 {
        let supervisor = UInt64(rights.rawValue & 7)
        let userExecute = modeBasedExecute && rights.contains(.userExecute)
        return supervisor | (userExecute ? EPTBit.userExecute : 0)
    }
}

@usableFromInline
enum EPTBit {
    @inlinable static var read: UInt64 { 1 << 0 }
    @inlinable static var write: UInt64 { 1 << 1 }
    @inlinable static var execute: UInt64 { 1 << 2 }
    @inlinable static var access: UInt64 { read | write | execute }
    /// The type, and whether the guest's is ignored.
    @inlinable static var memoryType: UInt64 { 15 << 3 }
    /// Of an entry that points to a table.
    @inlinable static var tableReserved: UInt64 { 15 << 3 }
    @inlinable static var large: UInt64 { 1 << 7 }
    @inlinable static var accessed: UInt64 { 1 << 8 }
    @inlinable static var dirty: UInt64 { 1 << 9 }
    @inlinable static var userExecute: UInt64 { 1 << 10 }
}
