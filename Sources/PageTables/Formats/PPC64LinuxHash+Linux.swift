// Linux on Power with the hash MMU (v6.19, arch/powerpc/include/asm/book3s/64/pgtable.h).

extension PPC64LinuxHash: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        PPC64Bit.linuxEntry(entry, at: level, shape: shape(of: entry, at: level), in: self)
    }
}
