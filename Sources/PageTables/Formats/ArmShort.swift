// 32-bit Arm with short descriptors, ARMv6 (XP = 1) and later.
//
// Arm Architecture Reference Manual for ARMv7-A (DDI 0406), section B3.5 "Short-descriptor translation table format",
// B3.7 for permissions and domains, B3.8 for memory types.
//
// | level | Arm          | Linux     | covers | leaf                                          |
// |-------|--------------|-----------|--------|-----------------------------------------------|
// | 1     | first level  | pgd (pmd) | 1 MiB  | 1 MiB section, 16 MiB supersection (repeated) |
// | 0     | second level | pte       | 4 KiB  | 4 KiB small page, 64 KiB large page (repeated)|
//
// A table of the second level has 256 entries and 1 KiB. Linux takes two first-level entries for one of its own and
// keeps its own entries beside the hardware's: `ArmShort+Linux.swift`.

public struct ArmShort: PageTableFormat {
    /// What TEX, C and B select.
    public enum MemoryTypes: Hashable, Sendable {
        /// SCTLR.TRE clear: they name the type.
        case direct
        /// SCTLR.TRE set: TEX[0], C and B are a number that the registers PRRR and NMRR name.
        case remapped(prrr: UInt32, nmrr: UInt32)

        /// The registers as Linux sets them (arch/arm/mm/proc-v7-2level.S, v6.19).
        public static var linux: MemoryTypes { .remapped(prrr: 0xff0a_81a8, nmrr: 0x40e0_40e0) }
    }

    /// DACR, two bits for each of 16 domains; `nil` checks the permissions of every descriptor.
    public let domainAccess: UInt32?
    /// SCTLR.AFE: AP[0] is the access flag.
    public let accessFlagEnabled: Bool
    public let memoryTypes: MemoryTypes
    public let byteOrder: ByteOrder

    public init(
        domainAccess: UInt32? = nil, accessFlagEnabled: Bool = false, memoryTypes: MemoryTypes = .linux,
        byteOrder: ByteOrder = .little
    ) {
        self.domainAccess = domainAccess
        self.accessFlagEnabled = accessFlagEnabled
        self.memoryTypes = memoryTypes
        self.byteOrder = byteOrder
    }

    @inlinable
    public static var entryBytes: Int { 4 }
    @inlinable
    public static var fixedTopLevel: Level? { Level(1) }
    @inlinable
    public static var highestLevel: Level { Level(1) }
    /// The access flag is a matter of SCTLR.AFE, which few systems set; it is decoded where it exists.
    public static var notions: FormatNotions { FormatNotions(flags: [.global]) }

    @inlinable
    public func shift(_ level: Level) -> UInt64 { level.rawValue == 0 ? 12 : 20 }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { level.rawValue == 0 ? 8 : 12 }

    public func leafSizes(_ level: Level) -> [PageSize] {
        switch level.rawValue {
        case 0: [PageSize(log2Bytes: 12), PageSize(log2Bytes: 16)]
        case 1: [PageSize(log2Bytes: 20), PageSize(log2Bytes: 24)]
        default: []
        }
    }

    /// Nothing is malformed: every type is defined. (Type 3 of the first level, a section with PXN, is reserved in
    /// processors without that bit.)
    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape {
        switch entry.rawValue & 3 {
        case 0: .invalid
        case 1 where level.rawValue > 0: .table
        default: .leaf
        }
    }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? { nil }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress {
        PhysicalAddress(entry.rawValue & 0xffff_fc00)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize {
        PageSize(uncheckedLog2Bytes: ArmShortLayout(leaf.rawValue, level).log2Bytes)
    }

    /// All entries of a supersection or of a large page have the same address, that of the whole.
    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        let (value, layout) = (leaf.rawValue, ArmShortLayout(leaf.rawValue, level))
        let offset: UInt64 = (1 &<< layout.log2Bytes) &- 1
        var base = value & 0xffff_ffff & ~offset
        if layout == .supersection { base |= (value &>> 20 & 15) &<< 32 | (value &>> 5 & 15) &<< 36 }
        return PhysicalAddress(base | address.rawValue & offset)
    }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights {
        let value = entry.rawValue
        return level.rawValue > 0 && value & 3 == 1 ? tableRights(value) : leafRights(value, level)
    }

    /// The domain of a table is that of all its pages. Hardware checks no permissions in a domain whose accesses are
    /// "manager"; here a table cannot give its pages rights, so that holds for sections only.
    @inlinable
    func tableRights(_ value: UInt64) -> Rights {
        switch access(value &>> 5 & 15) {
        case 0, 2: []
        default: value & ArmShortBit.tablePrivilegedExecuteNever != 0 ? .all.subtracting(.supervisorExecute) : .all
        }
    }

    /// 0 and 2: no access; 1: client; 3: manager.
    @inlinable
    func access(_ domain: UInt64) -> UInt32 {
        guard let domainAccess else { return 1 }
        return domainAccess &>> UInt32(truncatingIfNeeded: domain &* 2) & 3
    }

    @inlinable
    func leafRights(_ value: UInt64, _ level: Level) -> Rights {
        let layout = ArmShortLayout(value, level)
        if layout.isSection {
            switch access(layout == .supersection ? 0 : value &>> 5 & 15) {
            case 0, 2: return []
            case 3: return .all
            default: break
            }
        }
        var rights = accessRights(layout.accessPermission(value))
        if value & layout.executeNever != 0 { return rights }
        if rights.contains(.supervisorRead)
            && !(layout.isSection && value & ArmShortBit.sectionPrivilegedExecuteNever != 0)
        {
            rights.insert(.supervisorExecute)
        }
        if rights.contains(.userRead) { rights.insert(.userExecute) }
        return rights
    }

    /// AP[2:0]. The value 4 is reserved, and allows nothing.
    @inlinable
    func accessRights(_ permission: UInt8) -> Rights {
        switch accessFlagEnabled ? permission | 1 : permission {
        case 1: [.supervisorRead, .supervisorWrite]
        case 2: [.supervisorRead, .supervisorWrite, .userRead]
        case 3: [.supervisorRead, .supervisorWrite, .userRead, .userWrite]
        case 5: .supervisorRead
        case 6, 7: [.supervisorRead, .userRead]
        default: []
        }
    }

    /// The protection key is the domain of a section; that of a page is in the table descriptor above it, and 0 here.
    /// The memory type is TEX, C and B as five bits.
    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes {
        let (value, layout) = (leaf.rawValue, ArmShortLayout(leaf.rawValue, level))
        var flags: EntryFlags = value & layout.notGlobal == 0 ? .global : []
        if accessFlagEnabled && layout.accessPermission(value) & 1 != 0 { flags.insert(.accessed) }
        return EntryAttributes(
            rights: leafRights(value, level), flags: flags, memoryTypeIndex: layout.memoryTypeIndex(value),
            protectionKey: layout == .section ? UInt8(truncatingIfNeeded: value &>> 5 & 15) : 0)
    }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 {
        leaf.rawValue & ArmShortLayout(leaf.rawValue, level).attributeBits
    }

    public func memoryType(_ index: UInt8) -> MemoryType {
        switch memoryTypes {
        case .direct: ArmShortMemoryType.direct(index)
        case .remapped(let prrr, let nmrr): ArmShortMemoryType.remapped(index, prrr: prrr, nmrr: nmrr)
        }
    }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        switch content {
        case .invalid, .malformed: return 0
        case .table(let table):
            return 1 | table.rawValue & 0xffff_fc00 | encodeDomain(attributes.rights)
                | (attributes.rights.contains(.supervisorExecute) ? 0 : ArmShortBit.tablePrivilegedExecuteNever)
        case .leaf(let frame, let size):
            let layout = ArmShortLayout(log2Bytes: UInt64(size.log2Bytes), level)
            let address = frame.rawValue & 0xffff_ffff & ~((1 &<< layout.log2Bytes) &- 1)
            return address | layout.encodeUpperAddress(frame.rawValue) | layout.encode(attributes)
                | encodeRights(attributes, layout)
        }
    }

    /// The first domain that allows what a table shall allow.
    private func encodeDomain(_ rights: Rights) -> UInt64 {
        guard domainAccess != nil else { return 0 }
        let domain = (0..<16 as Range<UInt64>).first { (access($0) & 1 == 0) == rights.isEmpty }
        return (domain ?? 0) &<< 5
    }

    private func encodeRights(_ attributes: EntryAttributes, _ layout: ArmShortLayout) -> UInt64 {
        let rights = attributes.rights
        var permission: UInt8
        if !rights.contains(.supervisorRead) {
            permission = 0
        } else if rights.contains(.supervisorWrite) {
            permission = rights.contains(.userWrite) ? 3 : rights.contains(.userRead) ? 2 : 1
        } else {
            permission = rights.contains(.userRead) ? 7 : 5
        }
        if accessFlagEnabled {
            // Without AP[0] there is no page that the supervisor writes and the user only reads.
            permission = permission & 6 | (attributes.flags.contains(.accessed) ? 1 : 0)
        }
        var value = layout.encodeAccessPermission(permission)
        if rights.isDisjoint(with: .executes) {
            value |= layout.executeNever
        } else if layout.isSection && !rights.contains(.supervisorExecute) {
            value |= ArmShortBit.sectionPrivilegedExecuteNever
        }
        return value
    }
}
