// Bits that the long descriptors of 64-bit and 32-bit Arm share.
//
// Arm Architecture Reference Manual for A-profile (DDI 0487), section D8.3 "Translation table descriptor formats"
// (AArch64) and section G5.5 "The VMSAv8-32 Long-descriptor translation table format" (AArch32).

@usableFromInline
enum ArmLongDescriptor {
    @inlinable static var valid: UInt64 { 1 << 0 }
    /// In a valid descriptor: a table above the leaf table, a page in it.
    @inlinable static var tableOrPage: UInt64 { 1 << 1 }
    @inlinable static var type: UInt64 { 3 }
    @inlinable static var attributeIndex: UInt64 { 7 << 2 }
    /// AP[1]: EL0 may access.
    @inlinable static var user: UInt64 { 1 << 6 }
    /// AP[2]
    @inlinable static var readOnly: UInt64 { 1 << 7 }
    @inlinable static var accessed: UInt64 { 1 << 10 }
    @inlinable static var notGlobal: UInt64 { 1 << 11 }
    @inlinable static var contiguous: UInt64 { 1 << 52 }
    @inlinable static var privilegedExecuteNever: UInt64 { 1 << 53 }
    /// UXN in AArch64, XN in AArch32.
    @inlinable static var executeNever: UInt64 { 1 << 54 }
    @inlinable static var tablePrivilegedExecuteNever: UInt64 { 1 << 59 }
    @inlinable static var tableExecuteNever: UInt64 { 1 << 60 }
    /// APTable[0]: nothing below is for EL0.
    @inlinable static var tableNoUser: UInt64 { 1 << 61 }
    /// APTable[1]: nothing below may be written.
    @inlinable static var tableReadOnly: UInt64 { 1 << 62 }

    @inlinable
    static func isTable(_ value: UInt64, at level: Level) -> Bool { level.rawValue > 0 && value & type == 3 }

    /// AP[2:1] without execution.
    @inlinable
    static func access(writable: Bool, user: Bool) -> UInt8 {
        let supervisor: UInt8 = writable ? 3 : 1
        return user ? supervisor | supervisor &<< 3 : supervisor
    }

    /// The rights but execution that the APTable bits of a table descriptor leave.
    @inlinable
    static func tableAccess(_ value: UInt64) -> Rights {
        var rights: Rights = .all
        if value & tableNoUser != 0 { rights.subtract([.userRead, .userWrite]) }
        if value & tableReadOnly != 0 { rights.subtract(.writes) }
        return rights
    }

    static func encodeTableAccess(_ rights: Rights) -> UInt64 {
        (rights.contains(.userRead) ? 0 : tableNoUser) | (rights.contains(.supervisorWrite) ? 0 : tableReadOnly)
    }

    @inlinable
    static func attributeIndex(_ value: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: value &>> 2 & 7) }

    /// AF and nG.
    @inlinable
    static func flags(_ value: UInt64) -> EntryFlags {
        EntryFlags(rawValue: UInt8(truncatingIfNeeded: value &>> 10 & 1 | (~value &>> 11 & 1) &<< 2))
    }

    /// AttrIndx, AF and nG.
    static func encode(_ attributes: EntryAttributes) -> UInt64 {
        UInt64(attributes.memoryTypeIndex & 7) &<< 2 | (attributes.flags.contains(.accessed) ? accessed : 0)
            | (attributes.flags.contains(.global) ? 0 : notGlobal)
    }

    /// A byte of MAIR_EL1 (AArch64) or MAIR0, MAIR1 (AArch32), "Memory Attribute Indirection Register".
    ///
    /// Normal memory has one attribute for inner and one for outer caches; where they differ no single name is right,
    /// and the answer is `.unknown`.
    static func memoryType(attribute: UInt8) -> MemoryType {
        switch attribute {
        case 0x00, 0x01: return .deviceNGnRnE
        case 0x04, 0x05: return .deviceNGnRE
        case 0x08, 0x09: return .deviceNGRE
        case 0x0c, 0x0d: return .deviceGRE
        case 0x40: return .nonCacheable
        case 0xa0: return .writeThrough
        case 0xf0: return .tagged
        default:
            guard attribute & 0x0f != 0, attribute & 0xf0 != 0 else { return .unknown }
            let inner = cacheability(attribute & 15)
            return inner == cacheability(attribute &>> 4) ? inner : .unknown
        }
    }

    private static func cacheability(_ half: UInt8) -> MemoryType {
        switch half {
        case 4: .nonCacheable
        case 1...3, 8...11: .writeThrough
        default: .writeBack
        }
    }
}
