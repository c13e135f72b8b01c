extension AddressSpace where Format == PPC64LinuxHash {
    /// The space of a process's top table, which no register holds: the 52 bits that the tree can translate.
    public static func ppc64LinuxHash(_ format: PPC64LinuxHash = PPC64LinuxHash(), pgd: PhysicalAddress) -> AddressSpace
    {
        .unsigned(format, root: pgd, topLevel: Level(3), bits: 52)
    }
}
