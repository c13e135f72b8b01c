// Bits that all RISC-V paging modes share.
//
// RISC-V Instruction Set Manual, volume II (privileged architecture), "Sv32" ... "Sv57: Page-Based Virtual-Memory
// Systems", with Svnapot and Svpbmt.

@usableFromInline
enum RISCVBit {
    @inlinable static var valid: UInt64 { 1 << 0 }
    @inlinable static var read: UInt64 { 1 << 1 }
    @inlinable static var write: UInt64 { 1 << 2 }
    @inlinable static var execute: UInt64 { 1 << 3 }
    @inlinable static var user: UInt64 { 1 << 4 }
    @inlinable static var global: UInt64 { 1 << 5 }
    @inlinable static var accessed: UInt64 { 1 << 6 }
    @inlinable static var dirty: UInt64 { 1 << 7 }
    @inlinable static var access: UInt64 { read | write | execute }
    /// What only a leaf may have set.
    @inlinable static var leafOnly: UInt64 { user | accessed | dirty | memoryType | napot }
    @inlinable static var memoryType: UInt64 { 3 << 61 }
    @inlinable static var napot: UInt64 { 1 << 63 }
    @inlinable static var shadowStack: UInt64 { write }

    /// The supervisor reads and writes pages of the user (with SUM), and never executes them.
    @inlinable
    static func rights(_ value: UInt64) -> Rights {
        var access = value &>> 1 & 7
        if value & self.access == shadowStack { access = 1 }
        let rights = value & user == 0 ? access : access &<< 3 | access & 3
        return Rights(rawValue: UInt8(truncatingIfNeeded: rights))
    }

    /// A page is the user's where the user has any right.
    static func encode(_ rights: Rights) -> UInt64 {
        rights.isUser ? user | UInt64(rights.rawValue &>> 3 & 7) &<< 1 : UInt64(rights.rawValue & 7) &<< 1
    }

    @inlinable
    static func flags(_ value: UInt64) -> EntryFlags {
        EntryFlags(rawValue: UInt8(truncatingIfNeeded: value &>> 6 & 3 | value &>> 3 & 4))
    }

    static func encodeLeaf(_ attributes: EntryAttributes) -> UInt64 {
        let flags = UInt64(attributes.flags.rawValue)
        return valid | encode(attributes.rights) | (flags & 3) &<< 6 | (flags & 4) &<< 3
    }

    /// Linux's meaning of the ten low bits of an entry that is no table (v6.19, arch/riscv/include/asm/pgtable.h).
    ///
    /// Global doubles as "present without any right" where the entry is not valid; an invalid entry with rights is a large
    /// page that is being split.
    @inlinable
    static func linuxFlags(_ value: UInt64) -> LinuxPageFlags {
        var flags: LinuxPageFlags = []
        if value & valid != 0 {
            flags.insert(.hardwareValid)
            if value & global != 0 { flags.insert(.global) }
        } else if value & global != 0 {
            flags.insert(.protNone)
        } else {
            flags.insert(.splitting)
        }
        if !flags.contains(.protNone) {
            if value & read != 0 { flags.insert(.read) }
            if value & write != 0 { flags.insert(.write) }
            if value & execute != 0 { flags.insert(.execute) }
        }
        if value & user != 0 { flags.insert(.user) }
        if value & accessed != 0 { flags.insert(.young) }
        if value & dirty != 0 { flags.insert(.dirty) }
        if value & 0x100 != 0 { flags.insert(.special) }
        return flags
    }

    /// What Linux means by an entry that is not valid.
    ///
    /// - Parameter tracksSoftDirty: The bit that says "executable" in a page says "soft-dirty" in a swap entry, so that
    ///   alone it decides only where the kernel has no soft-dirty bit.
    @inlinable
    static func linuxInvalid(_ value: UInt64, at level: Level, tracksSoftDirty: Bool) -> LinuxInvalid {
        if value == 0 { return .none }
        if value & global != 0 { return .page }
        if level.rawValue > 0 && value & (tracksSoftDirty ? read | write : access) != 0 { return .page }
        guard value & (read | write) == 0 else { return .malformed }
        var flags: LinuxSwapFlags = []
        if value & 0x08 != 0 { flags.insert(.softDirty) }
        if value & 0x10 != 0 { flags.insert(.userfaultWriteProtect) }
        if value & 0x40 != 0 { flags.insert(.exclusive) }
        return .swap(
            LinuxSwap(type: UInt8(truncatingIfNeeded: value &>> 7 & 31), offset: value &>> 12, flags: flags))
    }

    @usableFromInline
    enum LinuxInvalid {
        case none
        case page
        case swap(LinuxSwap)
        case malformed
    }
}
