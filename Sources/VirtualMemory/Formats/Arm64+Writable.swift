import PageTables

// A space is the tree of TTBR0_EL1, which belongs to programs; the kernel's tree has a root of its own. Its depth is what T0SZ
// asks for: the width of the addresses that its levels translate, 48 or 52 bits at most. The top table is a whole frame even
// where the addresses need a part of it only.
//
// | granule | top level 1 | 2       | 3                | 4                        |
// |---------|-------------|---------|------------------|--------------------------|
// | 4 KiB   | 30 bits     | 39 bits | 48 bits          | 52 bits (wide addresses) |
// | 16 KiB  | 36 bits     | 47 bits | 48, wide 52 bits | -                        |
// | 64 KiB  | 42 bits     | 48, wide 52 bits | -       | -                        |
//
// That a page was written is said by DBM with AP[2] clear, which gives the right to write. An entry that loses that right would
// lose the record with it, so live spaces have a bit of software's for it (`Arm64.softwareDirty`), as Linux has: pte_wrprotect,
// pte_mkwrite_novma and pte_mkclean (arch/arm64/include/asm/pgtable.h, v6.19).
//
// | right  | written | AP[2] | DBM                        | bit 55 |
// |--------|---------|-------|----------------------------|--------|
// | read   | no      | 1     | 0                          | 0      |
// | read   | yes     | 1     | 0                          | 1      |
// | write  | no      | 1     | 1 (`hardwareDirty`)        | 0      |
// | write  | no      | 0     | 0 (without)                | 0      |
// | write  | yes     | 0     | 1                          | 0      |
//
// A space can grow: TTBR0 and T0SZ change together, and whoever loads them into a processor loads both while it translates
// through neither.

extension Arm64: WritableFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { UInt8(truncatingIfNeeded: Granule.log2Bytes) }

    @inlinable
    public var topLevels: ClosedRange<Level> {
        // 4 KiB tables have a fifth level for wide addresses only.
        let highest = Granule.log2Bytes == 12 && !wideAddresses ? Level(3) : Granule.highestLevel
        return Level(1)...highest
    }

    /// The width of the addresses that a space of some depth translates: 64 minus T0SZ.
    @inlinable
    func virtualAddressBits(topLevel: Level) -> UInt64 {
        min(shift(topLevel) &+ indexBits(topLevel), wideAddresses ? 52 : 48)
    }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool { covers(range.last, topLevel: topLevel) }

    @inlinable
    public func covers(_ address: VirtualAddress, topLevel: Level) -> Bool {
        address.rawValue &>> virtualAddressBits(topLevel: topLevel) == 0
    }

    /// With software's record of writes: see `LiveSpace.make`.
    public var ofLiveSpaces: Self {
        Arm64(
            wideAddresses: wideAddresses, physicalAddressBits: physicalAddressBits,
            hierarchicalRights: hierarchicalRights, hardwareDirty: hardwareDirty, softwareDirty: true,
            memoryAttributes: memoryAttributes, byteOrder: byteOrder)
    }

    @inlinable
    public func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self> {
        .unsigned(self, root: root, topLevel: topLevel, bits: virtualAddressBits(topLevel: topLevel))
    }

    @inlinable
    public func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 { addressBits(of: page) }

    /// The access flag, where the processor sets it (FEAT_HAFDBS); elsewhere whoever handles the fault does. That a page
    /// was written is recorded by a right that is given: see `hardwareDirty`.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 1 << 10 }

    @inlinable
    public var recordsWrites: Bool { hardwareDirty }

    /// Privileged code does not execute pages of programs.
    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights.subtracting(.supervisorExecute))
    }
}
