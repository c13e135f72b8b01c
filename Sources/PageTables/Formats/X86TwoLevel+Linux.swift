// What Linux means by 32-bit entries of x86 (v6.19; see X86Bit+Linux.swift).
//
// Such kernels have neither soft-dirty tracking nor userfault write-protection, invert no addresses, and run on no
// processor that sets A or D in entries that are not present.

extension X86TwoLevel: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue & 0xffff_ffff
        if value & X86Bit.present != 0 {
            switch shape(of: entry, at: level) {
            case .table: return .table
            case .leaf: return .page(linuxPage(value, at: level))
            case .malformed, .invalid: return .malformed
            }
        }
        if value == 0 { return .none }
        if level.rawValue == 0 ? value & X86Bit.linuxProtNone == 0 : value & (X86Bit.linuxProtNone | X86Bit.large) == 0
        {
            // Type in bits 5 ... 1, exclusive in 7, offset in 31 ... 9.
            return .swap(
                LinuxSwap(
                    type: UInt8(truncatingIfNeeded: value &>> 1 & 31), offset: value &>> 9,
                    flags: value & 1 << 7 != 0 ? .exclusive : []))
        }
        guard shape(of: Entry(value | X86Bit.present), at: level) == .leaf else { return .malformed }
        return .page(linuxPage(value, at: level))
    }

    @inlinable
    func linuxPage(_ value: UInt64, at level: Level) -> LinuxPage {
        let leaf = Entry(value)
        return LinuxPage(
            frame: physical(of: leaf, at: level, for: VirtualAddress(0)), size: leafSize(of: leaf, at: level),
            flags: X86Bit.linuxFlags(value, savedDirty: X86Bit.linuxSavedDirty32))
    }
}
