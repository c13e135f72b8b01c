// The second stage of RISC-V: guest-physical to supervisor-physical addresses, Sv39x4, Sv48x4 and Sv57x4.
//
// RISC-V Instruction Set Manual, volume II (privileged architecture), chapter "Hypervisor Extension", section "Two-Stage Address
// Translation", "Guest Physical Address Translation" and "Memory Protection".
//
// | level | manual (LEVELS counts up) | covers  | leaf               |
// |-------|---------------------------|---------|--------------------|
// | 4     | GPA[4], Sv57x4            | 256 TiB | 256 TiB petapage   |
// | 3     | GPA[3], Sv48x4 and Sv57x4 | 512 GiB | 512 GiB terapage   |
// | 2     | GPA[2]                    | 1 GiB   | 1 GiB gigapage     |
// | 1     | GPA[1]                    | 2 MiB   | 2 MiB megapage     |
// | 0     | GPA[0]                    | 4 KiB   | 4 KiB, 64 KiB runs |
//
// Entries are those of the first stage. The top table has four times as many, 2048, in 16 KiB. Addresses are not
// sign-extended. Whatever mode the guest is in, its accesses count as a user's: a page that is not the user's allows nothing.

public typealias RISCVSv39x4 = RISCVGuestStage<ThreeLevels>
public typealias RISCVSv48x4 = RISCVGuestStage<FourLevels>
public typealias RISCVSv57x4 = RISCVGuestStage<FiveLevels>

public struct RISCVGuestStage<Levels: Depth>: PageTableFormat {
    /// The first stage's format, whose entries these are.
    @usableFromInline
    let entries: RISCV<Levels>

    public init(svnapot: Bool = true, svpbmt: Bool = true, softwareBits59And60: Bool = false) {
        entries = RISCV(svnapot: svnapot, svpbmt: svpbmt, softwareBits59And60: softwareBits59And60)
    }

    @inlinable
    public static var fixedTopLevel: Level? { Levels.topLevel }
    @inlinable
    public static var highestLevel: Level { Levels.topLevel }
    public static var notions: FormatNotions { FormatNotions(flags: [.accessed, .dirty], user: false) }

    @inlinable
    public var byteOrder: ByteOrder { .little }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { entries.shift(level) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level == Levels.topLevel ? 11 : 9 }
    public func leafSizes(_ level: Level) -> [PageSize] { entries.leafSizes(level) }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape { entries.shape(of: entry, at: level) }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        entries.malformation(of: entry, at: level)
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress { entries.table(of: entry, at: level) }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        entries.physical(of: leaf, at: level, for: address)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize { entries.leafSize(of: leaf, at: level) }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        entry.rawValue & RISCVBit.access == 0 ? .all : leafRights(entry.rawValue)
    }

    @inlinable
    func leafRights(_ value: UInt64) -> Rights {
        if value & RISCVBit.user == 0 { return [] }
        let access = value &>> 1 & 7
        return Rights(rawValue: UInt8(truncatingIfNeeded: access | access &<< 3))
    }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        EntryAttributes(
            rights: leafRights(leaf.rawValue),
            flags: EntryFlags(rawValue: UInt8(truncatingIfNeeded: leaf.rawValue &>> 6 & 3)),
            memoryTypeIndex: UInt8(truncatingIfNeeded: leaf.rawValue &>> 61 & 3))
    }

    /// All but the global bit, which is ignored.
    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & (0xde | RISCVBit.memoryType | RISCVBit.napot)
    }

    public func memoryType(_ index: UInt8) -> MemoryType { entries.memoryType(index) }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        guard case .leaf = content else { return entries.canonical(content, attributes, at: level) }
        // What allows nothing is readable, and not the user's: an entry without any access would be a table.
        let rights: Rights = attributes.rights.isEmpty ? .supervisorRead : attributes.rights.intersection(.user)
        let plain = EntryAttributes(
            rights: rights, flags: attributes.flags.intersection([.accessed, .dirty]),
            memoryTypeIndex: attributes.memoryTypeIndex)
        return entries.canonical(content, plain, at: level)
    }
}

extension AddressSpace {
    /// The space of a 64-bit `hgatp`: guest-physical addresses of 41, 50 or 59 bits.
    ///
    /// - Throws: `RootError.realSpace` where the second stage is off, `RootError.wrongMode` where the register is for another
    ///   depth.
    public static func riscvGuestStage<Levels: Depth>(
        _ format: RISCVGuestStage<Levels> = RISCVGuestStage<Levels>(), hgatp: UInt64
    ) throws(RootError) -> AddressSpace where Format == RISCVGuestStage<Levels> {
        let (mode, expected) = (Int(truncatingIfNeeded: hgatp &>> 60), 6 + Levels.topLevel.rawValue)
        guard mode != 0 else { throw .realSpace }
        guard mode == expected else { throw .wrongMode(found: mode, expected: expected) }
        // The two lowest bits of the page number are zero: the top table is aligned to its 16 KiB.
        return .unsigned(
            format, root: PhysicalAddress((hgatp & 0xfff_ffff_fffc) &<< 12), topLevel: Levels.topLevel,
            bits: format.shift(Levels.topLevel) &+ 11)
    }
}
