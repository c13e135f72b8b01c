// What Linux means by entries of 32-bit x86 with PAE (v6.19; see X86Bit+Linux.swift).
//
// 32-bit kernels have neither soft-dirty tracking nor userfault write-protection.

extension X86PAE: LinuxPageTableFormat {
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
        // A pmd is cleared in two halves, so of a pmd the lower one decides.
        let deciding = level.rawValue == 1 ? value & 0xffff_ffff : value
        if deciding & ~X86Bit.linuxErratum == 0 { return .none }
        guard level.rawValue < 2 else { return .malformed }
        if level.rawValue == 0 ? value & X86Bit.linuxProtNone == 0 : value & (X86Bit.linuxProtNone | X86Bit.large) == 0
        {
            return .swap(X86Bit.linuxSwap(value, value & 1 << 7 != 0 ? .exclusive : []))
        }
        guard level.rawValue == 0 || value & X86Bit.large != 0 else { return .malformed }
        let addressBits: UInt64 = 0x000f_ffff_ffff_f000
        let seen = Entry(X86Bit.linuxUninverted(value, shift: shift(level), addressBits: addressBits))
        guard shape(of: seen, at: level) == .leaf else { return .malformed }
        return .page(linuxPage(value, seen: seen, at: level))
    }

    @inlinable
    func linuxPage(_ value: UInt64, seen: Entry, at level: Level) -> LinuxPage {
        LinuxPage(
            frame: physical(of: seen, at: level, for: VirtualAddress(0)), size: leafSize(of: seen, at: level),
            flags: X86Bit.linuxFlags(value, savedDirty: X86Bit.linuxSavedDirty32))
    }
}
