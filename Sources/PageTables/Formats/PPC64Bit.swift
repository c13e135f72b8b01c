// Bits of leaves that the radix tree and Linux's tree of the hash MMU share.
//
// Power ISA 3.1, book III, section 6.7.10 "Radix Tree Translation"; Linux v6.19,
// arch/powerpc/include/asm/book3s/64/pgtable.h, which gives the software's tree of the hash MMU the same bits.

@usableFromInline
enum PPC64Bit {
    @inlinable static var valid: UInt64 { 1 << 63 }
    @inlinable static var leaf: UInt64 { 1 << 62 }
    /// Linux's: a page that is present although not valid, for a moment.
    @inlinable static var linuxInvalid: UInt64 { 1 << 61 }
    @inlinable static var protectionKey: UInt64 { 0x1f00_0000_0000_0000 }
    /// Linux's limit of 53 bits; the field of the architecture has bits that Linux uses for protection keys.
    @inlinable static var pageNumber: UInt64 { 0x001f_ffff_ffff_f000 }
    @inlinable static var accessed: UInt64 { 0x100 }
    @inlinable static var changed: UInt64 { 0x80 }
    @inlinable static var attribute: UInt64 { 0x30 }
    @inlinable static var guarded: UInt64 { 0x20 }
    @inlinable static var privileged: UInt64 { 0x8 }
    @inlinable static var read: UInt64 { 0x4 }
    @inlinable static var write: UInt64 { 0x2 }
    @inlinable static var execute: UInt64 { 0x1 }
    @inlinable static var access: UInt64 { read | write | execute }

    /// Writing implies reading; guarded storage is never executed. Linux lets its kernel read and write pages of the user
    /// and, by the instruction authority mask, never execute them.
    @inlinable
    static func rights(_ value: UInt64) -> Rights {
        var access = (value & read) &>> 2 | value & write | (value & execute) &<< 2
        if value & write != 0 { access |= 1 }
        if value & attribute == guarded { access &= 3 }
        return Rights(
            rawValue: UInt8(truncatingIfNeeded: value & privileged != 0 ? access : access &<< 3 | access & 3))
    }

    /// A page is the user's where the user has any right.
    static func encode(_ rights: Rights) -> UInt64 {
        var value = rights.isUser ? 0 : privileged
        if rights.canRead { value |= read }
        if rights.canWrite { value |= write }
        if rights.canExecute { value |= execute }
        return value
    }

    @inlinable
    static func attributes(_ value: UInt64) -> EntryAttributes {
        EntryAttributes(
            rights: rights(value),
            flags: EntryFlags(rawValue: UInt8(truncatingIfNeeded: value &>> 8 & 1 | value &>> 6 & 2)),
            memoryTypeIndex: UInt8(truncatingIfNeeded: value &>> 4 & 3),
            protectionKey: UInt8(truncatingIfNeeded: value &>> 56 & 31))
    }

    @inlinable
    static var attributeBits: UInt64 { protectionKey | accessed | changed | attribute | privileged | access }

    static func encodeLeaf(_ attributes: EntryAttributes) -> UInt64 {
        let flags = UInt64(attributes.flags.rawValue)
        return valid | leaf | encode(attributes.rights) | (flags & 1) &<< 8 | (flags & 2) &<< 6
            | UInt64(attributes.memoryTypeIndex & 3) &<< 4 | UInt64(attributes.protectionKey & 31) &<< 56
    }

    static func memoryType(_ index: UInt8) -> MemoryType {
        switch index & 3 {
        case 0: .writeBack
        case 1: .strongAccessOrder
        case 2: .inputOutput
        default: .tolerantInputOutput
        }
    }

    /// What Linux means by an entry, given its shape, which tells tables and what is malformed among valid entries.
    @inlinable
    static func linuxEntry<Format: PageTableFormat>(
        _ entry: Entry, at level: Level, shape: EntryShape, in format: Format
    ) -> LinuxEntry {
        let value = entry.rawValue
        switch shape {
        case .table: return .table
        case .malformed: return .malformed
        case .leaf: return page(entry, at: level, in: format)
        case .invalid: break
        }
        if value & ~(accessed | changed) == 0 { return .none }
        guard value & leaf != 0, level.rawValue < 3 else { return .malformed }
        if value & linuxInvalid != 0 { return page(entry, at: level, in: format) }
        var flags: LinuxSwapFlags = []
        if value & 0x200 != 0 { flags.insert(.softDirty) }
        if value & 0x20 != 0 { flags.insert(.exclusive) }
        return .swap(
            LinuxSwap(
                type: UInt8(truncatingIfNeeded: value & 31),
                offset: (value & pageNumber) &>> format.shift(.leafTable), flags: flags))
    }

    @inlinable
    static func page<Format: PageTableFormat>(
        _ entry: Entry, at level: Level, in format: Format
    ) -> LinuxEntry {
        let value = entry.rawValue
        var flags: LinuxPageFlags = []
        if value & valid != 0 { flags.insert(.hardwareValid) } else if level.rawValue > 0 { flags.insert(.splitting) }
        if value & access == 0 { flags.insert(.protNone) }
        if value & read != 0 { flags.insert(.read) }
        if value & write != 0 { flags.insert(.write) }
        if value & execute != 0 { flags.insert(.execute) }
        if value & privileged == 0 { flags.insert(.user) }
        if value & accessed != 0 { flags.insert(.young) }
        if value & changed != 0 { flags.insert(.dirty) }
        if value & 0x400 != 0 { flags.insert(.special) }
        if value & 0x200 != 0 { flags.insert(.softDirty) }
        return .page(
            LinuxPage(
                frame: format.physical(of: entry, at: level, for: VirtualAddress(0)),
                size: format.leafSize(of: entry, at: level), flags: flags))
    }
}
