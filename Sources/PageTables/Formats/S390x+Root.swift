extension AddressSpace where Format == S390x {
    /// The space of an address-space-control element: CR1, CR7 or CR13, or an element that software keeps.
    ///
    /// Its designation type is the top level, its table length the end of the top table; addresses are unsigned and as
    /// wide as the top level makes them.
    ///
    /// - Throws: `RootError.realSpace` where the element turns translation off (R).
    public static func s390x(
        asce: UInt64, edat1: Bool = true, edat2: Bool = true, linuxLeafBits: S390x.LinuxLeafBits = .withPresent
    ) throws(RootError) -> AddressSpace {
        guard asce & 0x20 == 0 else { throw .realSpace }
        let format = S390x(
            edat1: edat1, edat2: edat2, privateSpace: asce & 0x100 != 0, linuxLeafBits: linuxLeafBits)
        let top = Level(1 + Int(truncatingIfNeeded: asce &>> 2 & 3))
        return .unsigned(
            format, root: PhysicalAddress(asce & ~0xfff), topLevel: top,
            bits: format.shift(top) &+ format.indexBits(top),
            limits: IndexLimits(first: 0, last: Int(truncatingIfNeeded: asce & 3) &<< 9 | 511))
    }
}
