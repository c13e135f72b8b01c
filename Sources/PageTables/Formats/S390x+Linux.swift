// Linux on s390x (v6.19, arch/s390/include/asm/pgtable.h).
//
// Hardware keeps no accessed and dirty bits in entries, so Linux keeps its own where hardware ignores them, and makes
// "old" entries invalid and "clean" ones protected: an invalid entry may hold a page that is present to Linux.

extension S390x: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        level.rawValue == 0 ? linuxPage(entry) : linuxRegionOrSegment(entry, at: level)
    }

    @inlinable
    func linuxPage(_ entry: Entry) -> LinuxEntry {
        let value = entry.rawValue
        let valid = value & Bit.pageInvalid == 0
        if value == Bit.pageInvalid { return .none }
        if value & 1 != 0 {
            if valid && value & Bit.pageZero != 0 { return .malformed }
            var flags = linuxFlags(valid: valid, noExecute: value & Bit.noExecute != 0)
            if value & 0x10 != 0 { flags.insert(.read) } else { flags = noAccess(flags) }
            if value & 0x20 != 0 { flags.insert(.write) }
            if value & 0x04 != 0 { flags.insert(.young) }
            if value & 0x08 != 0 { flags.insert(.dirty) }
            if value & 0x02 != 0 { flags.insert(.softDirty) }
            if value & 0x40 != 0 { flags.insert(.special) }
            return page(entry, at: .leafTable, flags)
        }
        if valid { return foreign(entry, at: .leafTable) }
        guard value & Bit.protected != 0 else { return .malformed }
        var flags: LinuxSwapFlags = []
        if value & 0x2 != 0 { flags.insert(.softDirty) }
        if value & 0x800 != 0 { flags.insert(.exclusive) }
        return .swap(
            LinuxSwap(type: UInt8(truncatingIfNeeded: value &>> 2 & 31), offset: value &>> 12, flags: flags))
    }

    /// Tables need not have Linux's bit for "present": older kernels and other systems have none.
    @inlinable
    func linuxRegionOrSegment(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        switch shape(of: entry, at: level) {
        case .table: return .table
        case .malformed: return .malformed
        case .leaf: return largePage(entry, at: level)
        case .invalid: break
        }
        guard value & Bit.invalid != 0 else { return .malformed }
        if level.rawValue == 4 { return .none }
        if value & ~0xc == Bit.invalid && value & 0xc == tableType(level) { return .none }
        guard level.rawValue <= 2, value & 0xc == tableType(level) else { return .malformed }
        if value & 0x11 == 0x10 {
            return .swap(
                LinuxSwap(
                    type: UInt8(truncatingIfNeeded: value &>> 6 & 31), offset: value &>> 12,
                    flags: value & 2 != 0 ? .softDirty : []))
        }
        return value & Bit.formatControl != 0 && canBeLeaf(level) ? largePage(entry, at: level) : .malformed
    }

    @inlinable
    func largePage(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        let valid = value & Bit.invalid == 0
        // The bits are Linux's only where the access-control field is not hardware's.
        if value & Bit.accessControlValid != 0 { return valid ? foreign(entry, at: level) : .malformed }
        let (read, write, softDirty): (UInt64, UInt64, UInt64) =
            linuxLeafBits == .withPresent ? (0x4000, 0x8000, 0x2) : (0x1, 0x2, 0x4000)
        if linuxLeafBits == .withPresent && value & 1 == 0 {
            return valid ? foreign(entry, at: level) : .malformed
        }
        var flags = linuxFlags(valid: valid, noExecute: value & Bit.noExecute != 0)
        if value & read != 0 { flags.insert(.read) } else { flags = noAccess(flags) }
        if value & write != 0 { flags.insert(.write) }
        if value & 0x1000 != 0 { flags.insert(.young) }
        if value & 0x2000 != 0 { flags.insert(.dirty) }
        if value & softDirty != 0 { flags.insert(.softDirty) }
        return page(entry, at: level, flags)
    }

    @inlinable
    func linuxFlags(valid: Bool, noExecute: Bool) -> LinuxPageFlags {
        var flags: LinuxPageFlags = []
        if valid { flags.insert(.hardwareValid) }
        if !noExecute { flags.insert(.execute) }
        return flags
    }

    @inlinable
    func noAccess(_ flags: LinuxPageFlags) -> LinuxPageFlags { flags.subtracting(.execute).union(.protNone) }

    /// A page that hardware maps and that has none of Linux's bits.
    @inlinable
    func foreign(_ entry: Entry, at level: Level) -> LinuxEntry {
        guard shape(of: entry, at: level) == .leaf else { return .malformed }
        var flags = linuxFlags(valid: true, noExecute: entry.rawValue & Bit.noExecute != 0)
        flags.insert(.read)
        if entry.rawValue & Bit.protected == 0 { flags.insert(.write) }
        return page(entry, at: level, flags)
    }

    @inlinable
    func page(_ entry: Entry, at level: Level, _ flags: LinuxPageFlags) -> LinuxEntry {
        .page(
            LinuxPage(
                frame: physical(of: entry, at: level, for: VirtualAddress(0)),
                size: leafSize(of: entry, at: level), flags: flags))
    }
}
