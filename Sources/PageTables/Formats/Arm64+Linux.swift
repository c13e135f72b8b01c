// What Linux means by the entries of 64-bit Arm (arch/arm64/include/asm/pgtable.h, pgtable-prot.h, v6.19).
//
// PTE_WRITE is the DBM bit whether or not the processor manages it; a present entry that is deliberately not valid has
// nG (bit 11) set, and no swap entry has.

extension Arm64: LinuxPageTableFormat {
    /// A page of a contiguous run has the size of the run and its own frame.
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        if value == 0 { return .none }
        if value & ArmLongDescriptor.valid != 0 {
            switch shape(of: entry, at: level) {
            case .table: return .table
            case .leaf: return .page(linuxPage(entry, at: level))
            default: return .malformed
            }
        }
        guard level.rawValue <= highestBlockLevel else { return .malformed }
        if value & ArmLongDescriptor.notGlobal != 0 {
            return value & tooWideMask == 0 ? .page(linuxPage(entry, at: level)) : .malformed
        }
        return value & ArmLongDescriptor.type == 0 ? .swap(linuxSwap(value)) : .malformed
    }

    @inlinable
    func linuxPage(_ entry: Entry, at level: Level) -> LinuxPage {
        let value = entry.rawValue
        let valid = value & ArmLongDescriptor.valid != 0
        let writable = value & Arm64Bit.dirtyModifier != 0
        let userExecutes = value & ArmLongDescriptor.executeNever == 0
        let userReads = value & ArmLongDescriptor.user != 0
        var flags: LinuxPageFlags = []
        if value & ArmLongDescriptor.accessed != 0 { flags.insert(.young) }
        if value & Arm64Bit.softwareDirty != 0 || writable && value & ArmLongDescriptor.readOnly == 0 {
            flags.insert(.dirty)
        }
        if value & Arm64Bit.linuxSpecial != 0 { flags.insert(.special) }
        if value & Arm64Bit.linuxUserfault != 0 { flags.insert(.userfaultWriteProtect) }
        if !valid && !userReads && !userExecutes {
            flags.insert(.protNone)
        } else {
            // Pages of the kernel have UXN set; user pages that can only be executed have AP[1] clear.
            let user = userReads || userExecutes
            let executeNever =
                user ? ArmLongDescriptor.executeNever : ArmLongDescriptor.privilegedExecuteNever
            if user { flags.insert(.user) }
            if userReads || !user { flags.insert(.read) }
            // Linux asks pages of the kernel for AP[2] only: blocks of the memory map have no DBM.
            if writable || !user && value & ArmLongDescriptor.readOnly == 0 { flags.insert(.write) }
            if value & executeNever == 0 { flags.insert(.execute) }
            if !valid && level.rawValue > 0 { flags.insert(.splitting) }
        }
        if valid {
            flags.insert(.hardwareValid)
            if value & ArmLongDescriptor.notGlobal == 0 { flags.insert(.global) }
        }
        return LinuxPage(
            frame: physical(of: entry, at: level, for: VirtualAddress(0)), size: leafSize(of: entry, at: level),
            flags: flags)
    }

    @inlinable
    func linuxSwap(_ value: UInt64) -> LinuxSwap {
        var flags: LinuxSwapFlags = []
        if value & (1 << 2) != 0 { flags.insert(.exclusive) }
        if value & (1 << 3) != 0 { flags.insert(.userfaultWriteProtect) }
        return LinuxSwap(
            type: UInt8(truncatingIfNeeded: value &>> 6 & 31), offset: value &>> 12 & 0x0003_ffff_ffff_ffff,
            flags: flags)
    }
}

extension Arm64Bit {
    @inlinable static var linuxSpecial: UInt64 { 1 << 56 }
    @inlinable static var linuxUserfault: UInt64 { 1 << 58 }
}
