// Roots of 32-bit Arm with long descriptors: TTBR0, TTBR1 and TTBCR with EAE set.
//
// Arm Architecture Reference Manual for ARMv7-A (DDI 0406), section B3.6.4 "Selecting between TTBR0 and TTBR1".

extension AddressSpace where Format == ArmLPAE {
    /// The space of the root registers.
    ///
    /// T0SZ cuts the lower addresses from the bottom, T1SZ the upper ones from the top; where one of them is 0 its
    /// tree translates what the other leaves, and where both are, TTBR0 translates everything.
    ///
    /// - Parameters:
    ///   - ttbr0: 64 bits; `nil` where the tree is not wanted or not known. The ASID is no part of the address.
    ///   - ttbcr: With EAE set. A tree that it disables (EPD0, EPD1) does not exist.
    public static func armLPAE(
        _ format: ArmLPAE, ttbr0: UInt64?, ttbr1: UInt64?, ttbcr: UInt64
    ) -> AddressSpace {
        let (lowerCut, upperCut) = (ttbcr & 7, ttbcr &>> 16 & 7)
        let top: UInt64 = 0xffff_ffff
        let lowerLast = lowerCut > 0 ? top &>> lowerCut : upperCut > 0 ? top &- (top &>> upperCut) &- 1 : top
        let upperFirst = upperCut > 0 ? top &- (top &>> upperCut) : lowerLast &+ 1

        var (lower, upper): (TableTree?, TableTree?) = (nil, nil)
        if let ttbr0, ttbcr & 1 << 7 == 0 {
            lower = format.tree(ttbr0, bits: 32 &- lowerCut, first: 0, last: lowerLast)
        }
        if let ttbr1, ttbcr & 1 << 23 == 0, upperFirst <= top {
            upper = format.tree(ttbr1, bits: 32 &- upperCut, first: upperFirst, last: top)
        }
        return AddressSpace(format: format, lower: lower, upper: upper)
    }
}

extension ArmLPAE {
    /// - Parameter bits: Width of the part of an address that is translated, 25 ... 32.
    fileprivate func tree(_ ttbr: UInt64, bits: UInt64, first: UInt64, last: UInt64) -> TableTree {
        let top = Level(bits > 30 ? 2 : 1)
        let mask: UInt64 = (1 &<< bits) &- 1
        let tableBytes: UInt64 = 8 &<< (bits &- shift(top))
        return TableTree(
            table: PhysicalAddress(ttbr & 0x0000_00ff_ffff_ffff & ~(tableBytes &- 1)), topLevel: top,
            range: VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last)), addressMask: mask,
            limits: IndexLimits(first: 0, last: Int(truncatingIfNeeded: mask &>> shift(top))))
    }
}
