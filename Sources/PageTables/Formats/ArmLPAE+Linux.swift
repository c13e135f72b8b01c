// What Linux means by long descriptors of 32-bit Arm (arch/arm/include/asm/pgtable-3level.h, v6.19).
//
// Linux keeps its own bits where hardware ignores them: dirty 55, special 56, PROT_NONE 57, read-only 58. A page that
// allows no access has bit 0 clear; one of the leaf table keeps bit 1 and stays present by it.

extension ArmLPAE: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        if value == 0 { return .none }
        if value & ArmLongDescriptor.valid != 0 {
            switch shape(of: entry, at: level) {
            case .table: return .table
            // Linux maps nothing by first-level blocks, and takes them for bad.
            case .leaf where level.rawValue < 2: return .page(linuxPage(entry, at: level))
            default: return .malformed
            }
        }
        guard value & Self.tooWideMask == 0 else { return .malformed }
        switch (level.rawValue, value & ArmLongDescriptor.type) {
        case (0, 2), (1, 0): return .page(linuxPage(entry, at: level))
        case (0, 0):
            return value &>> 32 == 0 ? .swap(LinuxSwap(armWord: value)) : .malformed
        default: return .malformed
        }
    }

    @inlinable
    func linuxPage(_ entry: Entry, at level: Level) -> LinuxPage {
        let value = entry.rawValue
        let valid = value & ArmLongDescriptor.valid != 0
        var flags: LinuxPageFlags = []
        if value & ArmLongDescriptor.accessed != 0 { flags.insert(.young) }
        if value & Self.linuxDirty != 0 { flags.insert(.dirty) }
        if value & Self.linuxSpecial != 0 && level.rawValue == 0 { flags.insert(.special) }
        if value & Self.linuxNone != 0 {
            flags.insert(.protNone)
        } else {
            flags.insert(.read)
            if value & ArmLongDescriptor.user != 0 { flags.insert(.user) }
            if value & Self.linuxReadOnly == 0 { flags.insert(.write) }
            if value & ArmLongDescriptor.executeNever == 0 { flags.insert(.execute) }
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

    @inlinable static var linuxDirty: UInt64 { 1 << 55 }
    @inlinable static var linuxSpecial: UInt64 { 1 << 56 }
    @inlinable static var linuxNone: UInt64 { 1 << 57 }
    @inlinable static var linuxReadOnly: UInt64 { 1 << 58 }
}

extension LinuxSwap {
    /// The layout of both formats of 32-bit Arm (arch/arm/include/asm/pgtable.h).
    @inlinable
    init(armWord value: UInt64) {
        self.init(
            type: UInt8(truncatingIfNeeded: value &>> 2 & 31), offset: value &>> 8 & 0x00ff_ffff,
            flags: value & (1 << 7) != 0 ? .exclusive : [])
    }
}
