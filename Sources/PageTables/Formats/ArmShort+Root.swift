// Roots of 32-bit Arm with short descriptors: TTBR0, TTBR1 and TTBCR with EAE clear.
//
// Arm Architecture Reference Manual for ARMv7-A (DDI 0406), section B3.5.4 "Selecting between TTBR0 and TTBR1".

extension AddressSpace where Format == ArmShort {
    /// The space of the root registers.
    ///
    /// TTBCR.N cuts the lower addresses, whose top N bits are clear, for TTBR0 and a table of 16 KiB >> N; TTBR1
    /// translates the others with a whole table. With N = 0, as Linux has it, TTBR0 translates everything.
    ///
    /// - Parameters:
    ///   - ttbr0: `nil` where the tree is not wanted or not known; the cache bits are no part of the address.
    ///   - ttbcr: With EAE clear. A tree that it disables (PD0, PD1) does not exist.
    public static func armShort(
        _ format: ArmShort, ttbr0: UInt64?, ttbr1: UInt64?, ttbcr: UInt64
    ) -> AddressSpace {
        let cut = ttbcr & 7
        let top: UInt64 = 0xffff_ffff
        let lowerLast = top &>> cut
        var (lower, upper): (TableTree?, TableTree?) = (nil, nil)
        if let ttbr0, ttbcr & 1 << 4 == 0 {
            lower = TableTree(
                table: PhysicalAddress(ttbr0 & top & ~(0x3fff &>> cut)), topLevel: Level(1),
                range: VirtualRange(first: VirtualAddress(0), last: VirtualAddress(lowerLast)),
                addressMask: lowerLast,
                limits: IndexLimits(first: 0, last: Int(truncatingIfNeeded: lowerLast &>> 20)))
        }
        if let ttbr1, cut > 0, ttbcr & 1 << 5 == 0 {
            upper = TableTree(
                table: PhysicalAddress(ttbr1 & 0xffff_c000), topLevel: Level(1),
                range: VirtualRange(first: VirtualAddress(lowerLast &+ 1), last: VirtualAddress(top)),
                addressMask: top, limits: IndexLimits(first: 0, last: 4095))
        }
        return AddressSpace(format: format, lower: lower, upper: upper)
    }
}
