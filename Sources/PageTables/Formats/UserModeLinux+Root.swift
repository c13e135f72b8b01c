extension AddressSpace {
    /// The space of a process's top table, which no register holds. Physical addresses are offsets in the memory file.
    public static func userModeLinux<Levels: Depth>(
        _ format: UserModeLinux<Levels> = UserModeLinux<Levels>(), pgd: PhysicalAddress
    ) -> AddressSpace where Format == UserModeLinux<Levels> {
        .unsigned(format, root: pgd, topLevel: Levels.topLevel, bits: format.shift(Levels.topLevel) &+ 9)
    }
}
