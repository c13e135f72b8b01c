// Roots of 64-bit Arm: TTBR0_EL1 for addresses whose bit 55 is clear, TTBR1_EL1 for the others.
//
// Arm Architecture Reference Manual for A-profile (DDI 0487), section D8.2 "Translation process" (initial lookup level)
// and the descriptions of TTBR0_EL1 and TTBR1_EL1.

extension AddressSpace {
    /// The space of the two root registers of EL1.
    ///
    /// The halves may have different granules; a space has only halves of its format's granule, and the other register
    /// is to be given as `nil`. Which granule that is says `Arm64TranslationControl`.
    ///
    /// - Parameters:
    ///   - ttbr0: `nil` where the half is not wanted or not known; ASID and CnP are no part of the address.
    ///   - tcr: TCR_EL1. A half that it disables (EPDx) has no tree.
    /// - Throws: `.wrongGranule`, `.addressSizeOutOfRange`, `.addressTooWide`.
    public static func arm64<Granule: Arm64Granule>(
        _ format: Arm64<Granule>, ttbr0: UInt64?, ttbr1: UInt64?, tcr: UInt64
    ) throws(RootError) -> AddressSpace where Format == Arm64<Granule> {
        let control = Arm64TranslationControl(tcr)
        var (lower, upper): (TableTree?, TableTree?) = (nil, nil)
        if let ttbr0, !control.lower.disabled { lower = try format.tree(ttbr0, control.lower, isUpper: false) }
        if let ttbr1, !control.upper.disabled { upper = try format.tree(ttbr1, control.upper, isUpper: true) }
        return AddressSpace(format: format, lower: lower, upper: upper)
    }
}

extension Arm64 {
    fileprivate func tree(
        _ ttbr: UInt64, _ half: Arm64TranslationControl.Half, isUpper: Bool
    ) throws(RootError) -> TableTree {
        guard half.log2GranuleBytes == Int(Granule.log2Bytes) else {
            throw .wrongGranule(
                field: isUpper ? .tg1 : .tg0, found: half.log2GranuleBytes, expected: Int(Granule.log2Bytes))
        }
        return try tree(ttbr: ttbr, sizeField: half.sizeField, isUpper: isUpper)
    }

    /// The tree of one half.
    ///
    /// The top level is the lowest whose table, of one granule at most, covers the addresses; the table has only the
    /// entries that they need, which may be two.
    ///
    /// - Parameters:
    ///   - ttbr: TTBR0_EL1 or TTBR1_EL1.
    ///   - sizeField: T0SZ or T1SZ: 64 minus the width of the addresses. At least 16, or 12 with 64 KiB or wide
    ///     addresses; at most 48, or 47 with 64 KiB.
    /// - Throws: `.addressSizeOutOfRange`, `.addressTooWide`.
    public func tree(ttbr: UInt64, sizeField: Int, isUpper: Bool) throws(RootError) -> TableTree {
        let smallest = Granule.log2Bytes == 16 || wideAddresses ? 12 : 16
        guard sizeField >= smallest, sizeField <= (Granule.log2Bytes == 16 ? 47 : 48) else {
            throw .addressSizeOutOfRange(field: isUpper ? .t1sz : .t0sz, value: sizeField)
        }
        let bits = UInt64(64 - sizeField)
        let top = Level(Int((bits &- 4) / (Granule.log2Bytes &- 3)) - 1)
        let mask: UInt64 = (1 &<< bits) &- 1
        let table = try topTable(ttbr, log2Bytes: bits &- shift(top) &+ 3, isUpper: isUpper)
        let first = isUpper ? ~mask : 0
        return TableTree(
            table: table, topLevel: top,
            range: VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first | mask)), addressMask: mask,
            limits: IndexLimits(first: 0, last: Int(truncatingIfNeeded: mask &>> shift(top))))
    }

    /// The top table is aligned to its size; where physical addresses have 52 bits, bits 5 ... 2 of the register hold
    /// the upper four and it is aligned to 64 bytes at least.
    private func topTable(_ ttbr: UInt64, log2Bytes: UInt64, isUpper: Bool) throws(RootError) -> PhysicalAddress {
        var address = ttbr & 0x0000_ffff_ffff_fffe
        var alignment: UInt64 = (1 &<< log2Bytes) &- 1
        if physicalAddressBits > 48 {
            address |= (ttbr &>> 2 & 15) &<< 48
            alignment |= 63
        }
        address &= ~alignment
        guard address &>> UInt64(physicalAddressBits) == 0 else {
            throw .addressTooWide(field: isUpper ? .ttbr1 : .ttbr0, address: PhysicalAddress(address))
        }
        return PhysicalAddress(address)
    }
}
