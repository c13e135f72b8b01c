// What Linux means by short descriptors (arch/arm/include/asm/pgtable-2level.h, proc-v7-2level.S, v6.19).
//
// The leaf table that Linux walks is not the one that hardware walks. A page of 4 KiB holds the tables of two
// first-level entries, and first the entries as Linux wrote them:
//
//     +0     Linux, first MiB        +1024  Linux, second MiB
//     +2048  hardware, first MiB     +3072  hardware, second MiB
//
// Entries of the leaf table therefore have two meanings: hardware's requirements read hardware entries, `linuxEntry`
// reads Linux entries, which the table that `linuxTable` gives consists of. A hardware entry is 0 where Linux wants a
// fault, whatever the Linux entry is.

extension ArmShort: LinuxPageTableFormat {
    /// The table of Linux entries that belongs to the table of an entry.
    @inlinable
    public func linuxTable(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(table(of: entry, at: level).rawValue &- 2048 & 0xffff_ffff)
    }

    /// Of a hardware entry at level 1 and of a Linux entry at level 0.
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        if value == 0 { return .none }
        if level.rawValue > 0 {
            return switch shape(of: entry, at: level) {
            case .table: .table
            case .leaf: .page(linuxSection(entry, at: level))
            default: .malformed
            }
        }
        if value & ArmShortLinuxBit.present != 0 { return .page(linuxPage(value)) }
        return value & 3 == 0 ? .swap(LinuxSwap(armWord: value)) : .malformed
    }

    /// Linux keeps nothing of its own for sections; they have the rights that hardware gives them.
    @inlinable
    func linuxSection(_ entry: Entry, at level: Level) -> LinuxPage {
        let rights = leafRights(entry.rawValue, level)
        var flags: LinuxPageFlags = .hardwareValid
        if rights.canRead { flags.insert(.read) }
        if rights.canWrite { flags.insert(.write) }
        if rights.canExecute { flags.insert(.execute) }
        if rights.isUser { flags.insert(.user) }
        if entry.rawValue & ArmShortLayout.section.notGlobal == 0 { flags.insert(.global) }
        return LinuxPage(
            frame: physical(of: entry, at: level, for: VirtualAddress(0)), size: leafSize(of: entry, at: level),
            flags: flags)
    }

    /// Whether the page is global is only in the hardware entry.
    @inlinable
    func linuxPage(_ value: UInt64) -> LinuxPage {
        var flags: LinuxPageFlags = []
        if value & ArmShortLinuxBit.young != 0 { flags.insert(.young) }
        if value & ArmShortLinuxBit.dirty != 0 { flags.insert(.dirty) }
        if value & ArmShortLinuxBit.none != 0 {
            flags.insert(.protNone)
        } else {
            flags.insert(.read)
            if value & ArmShortLinuxBit.user != 0 { flags.insert(.user) }
            if value & ArmShortLinuxBit.readOnly == 0 { flags.insert(.write) }
            if value & ArmShortLinuxBit.executeNever == 0 { flags.insert(.execute) }
            if value & ArmShortLinuxBit.young != 0 { flags.insert(.hardwareValid) }
        }
        return LinuxPage(
            frame: PhysicalAddress(value & 0xffff_f000), size: PageSize(uncheckedLog2Bytes: 12), flags: flags)
    }

    /// Linux entries have TEX[0], C and B side by side.
    @inlinable
    public func linuxMemoryTypeIndex(of entry: Entry, at level: Level) -> UInt8 {
        level.rawValue == 0
            ? UInt8(truncatingIfNeeded: entry.rawValue &>> 2 & 7)
            : attributes(of: entry, at: level).memoryTypeIndex
    }

    /// The hardware entry that Linux writes beside a Linux entry of the leaf table (ARMv7, without CPU domains).
    ///
    /// - Parameter notGlobal: Linux sets nG for user addresses.
    public func hardwareEntry(ofLinux entry: Entry, notGlobal: Bool) -> Entry {
        let value = entry.rawValue
        let walked = ArmShortLinuxBit.present | ArmShortLinuxBit.young
        guard value & walked == walked, value & ArmShortLinuxBit.none == 0 else { return Entry(0) }
        // The frame, SHARED, C and B are where hardware has them.
        var hardware = value & 0xffff_f40c | 0x12
        if notGlobal { hardware |= ArmShortLayout.smallPage.notGlobal }
        if value & 1 << 4 != 0 { hardware |= 1 << 6 }
        if value & ArmShortLinuxBit.readOnly != 0 || value & ArmShortLinuxBit.dirty == 0 { hardware |= 1 << 9 }
        if value & ArmShortLinuxBit.user != 0 { hardware |= 1 << 5 }
        if value & ArmShortLinuxBit.executeNever != 0 { hardware |= ArmShortLayout.smallPage.executeNever }
        return Entry(hardware)
    }
}

@usableFromInline
enum ArmShortLinuxBit {
    @inlinable static var present: UInt64 { 1 << 0 }
    @inlinable static var young: UInt64 { 1 << 1 }
    @inlinable static var dirty: UInt64 { 1 << 6 }
    @inlinable static var readOnly: UInt64 { 1 << 7 }
    @inlinable static var user: UInt64 { 1 << 8 }
    @inlinable static var executeNever: UInt64 { 1 << 9 }
    /// PROT_NONE
    @inlinable static var none: UInt64 { 1 << 11 }
}
