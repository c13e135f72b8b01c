// What Linux means by entries of 64-bit x86 (v6.19; see X86Bit+Linux.swift).

extension X86LongMode: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        if value & X86Bit.present != 0 {
            switch shape(of: entry, at: level) {
            case .table: return .table
            case .leaf: return .page(linuxPage(value, seen: entry, at: level))
            case .malformed, .invalid: return .malformed
            }
        }
        if value & ~X86Bit.linuxErratum == 0 { return .none }
        // Of the levels above, Linux writes only entries that are present or none.
        guard level.rawValue < 3 else { return .malformed }
        if value & (X86Bit.linuxProtNone | X86Bit.large) == 0 {
            return .swap(X86Bit.linuxSwap(value, LinuxSwapFlags(rawValue: UInt8(truncatingIfNeeded: value &>> 1 & 7))))
        }
        // A large page keeps PS whatever else is cleared. In a leaf table the bit is PAT, and alone means nothing.
        guard value & (level.rawValue > 0 ? X86Bit.large : X86Bit.linuxProtNone) != 0 else { return .malformed }
        let addressBits: UInt64 = 0x000f_ffff_ffff_f000 & ~encryptionMask
        let seen = Entry(X86Bit.linuxUninverted(value, shift: shift(level), addressBits: addressBits))
        guard shape(of: seen, at: level) == .leaf else { return .malformed }
        return .page(linuxPage(value, seen: seen, at: level))
    }

    @inlinable
    func linuxPage(_ value: UInt64, seen: Entry, at level: Level) -> LinuxPage {
        var flags = X86Bit.linuxFlags(value, savedDirty: X86Bit.linuxSavedDirty)
        if value & X86Bit.linuxSoftDirty != 0 { flags.insert(.softDirty) }
        if value & X86Bit.linuxUserfaultWriteProtect != 0 { flags.insert(.userfaultWriteProtect) }
        return LinuxPage(
            frame: physical(of: seen, at: level, for: VirtualAddress(0)), size: leafSize(of: seen, at: level),
            flags: flags)
    }
}
