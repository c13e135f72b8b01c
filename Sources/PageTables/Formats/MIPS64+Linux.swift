// Linux on 64-bit MIPS (v6.1, arch/mips/include/asm/pgtable.h and pgtable-64.h).
//
// Pages that were not used are present and not valid, so that their first use is noticed; a page that cannot be read is
// never valid on a processor that cannot forbid reading.

extension MIPS64: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        if isLeaf(value, level) && level.rawValue > 0 {
            return isMisaligned(value, level) ? .malformed : linuxPage(entry, at: level)
        }
        if level.rawValue > 0 {
            switch shape(of: entry, at: level) {
            case .table: return .table
            case .invalid: return .none
            default: return .malformed
            }
        }
        if value & ~bits.global == 0 { return .none }
        if value & bits.present != 0 { return linuxPage(entry, at: level) }
        guard value & 0xffff & ~bits.global == 0 else { return .malformed }
        // The field has seven bits, of which Linux uses the five of a type everywhere.
        guard value & 0x60_0000 == 0 else { return .malformed }
        return .swap(
            LinuxSwap(
                type: UInt8(truncatingIfNeeded: value &>> 16 & 31), offset: value &>> 24,
                flags: value & 0x80_0000 != 0 ? .exclusive : []))
    }

    @inlinable
    func linuxPage(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        let valid = value & bits.valid != 0
        var flags: LinuxPageFlags = .user
        if valid { flags.insert(.hardwareValid) }
        if value & bits.present == 0 { flags.insert(.splitting) }
        if value & bits.write != 0 { flags.insert(.write) }
        if value & bits.noRead == 0 {
            flags.insert(.read)
        } else if value & bits.write == 0 && !valid {
            flags.insert(.protNone)
        }
        if value & bits.noExecute == 0 && !flags.contains(.protNone) { flags.insert(.execute) }
        if value & bits.accessed != 0 { flags.insert(.young) }
        if value & bits.modified != 0 { flags.insert(.dirty) }
        if value & bits.special != 0 { flags.insert(.special) }
        if value & bits.softDirty != 0 { flags.insert(.softDirty) }
        if value & bits.global != 0 { flags.insert(.global) }
        return .page(
            LinuxPage(
                frame: physical(of: entry, at: level, for: VirtualAddress(0)),
                size: leafSize(of: entry, at: level), flags: flags))
    }
}
