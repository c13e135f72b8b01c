extension AddressSpace {
    /// The space of an extended-page-table pointer: guest-physical addresses of 48 or 57 bits.
    ///
    /// - Throws: `RootError.wrongMode` where the pointer is for another depth. Intel SDM volume 3C, table 25-9.
    public static func x86EPT<Levels: Depth>(
        _ format: ExtendedPageTable<Levels> = ExtendedPageTable<Levels>(), eptp: UInt64
    ) throws(RootError) -> AddressSpace where Format == ExtendedPageTable<Levels> {
        let levels = Int(truncatingIfNeeded: eptp &>> 3 & 7) + 1
        let expected = Levels.topLevel.rawValue + 1
        guard levels == expected else { throw .wrongMode(found: levels, expected: expected) }
        return .unsigned(
            format, root: PhysicalAddress(eptp & 0x000f_ffff_ffff_f000), topLevel: Levels.topLevel,
            bits: format.shift(Levels.topLevel) &+ 9)
    }
}
