extension AddressSpace where Format == MIPS64 {
    /// The user's segment of a process's top table, which no register holds: 40 bits.
    public static func mips64(_ format: MIPS64 = MIPS64(), pgd: PhysicalAddress) -> AddressSpace {
        .unsigned(format, root: pgd, topLevel: Level(2), bits: 40)
    }
}
