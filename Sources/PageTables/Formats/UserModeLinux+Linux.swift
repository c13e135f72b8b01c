// User-mode Linux (v6.19, arch/um/include/asm/pgtable.h).

extension UserModeLinux: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        if value & ~Bit.pendingForHost == 0 { return .none }
        if level.rawValue > 0 { return value & Bit.present != 0 ? .table : .malformed }
        if value & (Bit.present | Bit.protNone) != 0 {
            var flags: LinuxPageFlags = []
            if value & Bit.present != 0 { flags.insert(.hardwareValid) }
            if value & Bit.protNone != 0 {
                flags.insert(.protNone)
            } else {
                flags.formUnion([.read, .execute])
                if value & Bit.write != 0 { flags.insert(.write) }
            }
            if value & Bit.user != 0 { flags.insert(.user) }
            if value & Bit.accessed != 0 { flags.insert(.young) }
            if value & Bit.dirty != 0 { flags.insert(.dirty) }
            return .page(
                LinuxPage(
                    frame: physical(of: entry, at: level, for: VirtualAddress(0)),
                    size: leafSize(of: entry, at: level), flags: flags))
        }
        guard value & 0x8 == 0 else { return .malformed }
        return .swap(
            LinuxSwap(
                type: UInt8(truncatingIfNeeded: value &>> 5 & 31), offset: value &>> 11,
                flags: value & 0x400 != 0 ? .exclusive : []))
    }
}
