// Bits that all x86 paging modes share.
//
// Intel SDM volume 3A, tables 5-4 ... 5-20; section 5.9.2 for the PAT index; section 13.12 for PAT.

@usableFromInline
enum X86Bit {
    @inlinable static var present: UInt64 { 1 << 0 }
    @inlinable static var writable: UInt64 { 1 << 1 }
    @inlinable static var user: UInt64 { 1 << 2 }
    @inlinable static var writeThrough: UInt64 { 1 << 3 }
    @inlinable static var cacheDisable: UInt64 { 1 << 4 }
    @inlinable static var accessed: UInt64 { 1 << 5 }
    @inlinable static var dirty: UInt64 { 1 << 6 }
    @inlinable static var large: UInt64 { 1 << 7 }
    @inlinable static var smallPAT: UInt64 { 1 << 7 }
    @inlinable static var global: UInt64 { 1 << 8 }
    @inlinable static var largePAT: UInt64 { 1 << 12 }
    @inlinable static var noExecute: UInt64 { 1 << 63 }

    /// R/W, U/S and NX of one entry. Reading is always allowed where walking is.
    @inlinable
    static func rights(_ value: UInt64) -> Rights {
        var supervisor: UInt64 = 1
        supervisor |= value & writable
        supervisor |= (~value &>> 63) &<< 2
        let user = value & self.user != 0 ? supervisor &<< 3 : 0
        return Rights(rawValue: UInt8(truncatingIfNeeded: supervisor | user))
    }

    static func encode(_ rights: Rights) -> UInt64 {
        (rights.contains(.supervisorWrite) ? writable : 0) | (rights.isUser ? user : 0)
            | (rights.contains(.supervisorExecute) ? 0 : noExecute)
    }

    @inlinable
    static func flags(_ value: UInt64) -> EntryFlags {
        EntryFlags(rawValue: UInt8(truncatingIfNeeded: value &>> 5 & 3 | value &>> 6 & 4))
    }

    /// PAT, PCD, PWT as a number of a slot of the PAT register.
    @inlinable
    static func patIndex(_ value: UInt64, large: Bool) -> UInt8 {
        let pat = value & (large ? largePAT : smallPAT) != 0 ? 4 : 0 as UInt64
        return UInt8(truncatingIfNeeded: value &>> 3 & 3 | pat)
    }

    static func encodeLeaf(_ attributes: EntryAttributes, large: Bool) -> UInt64 {
        var value = encode(attributes.rights)
        value |= UInt64(attributes.flags.rawValue & 3) &<< 5 | UInt64(attributes.flags.rawValue & 4) &<< 6
        value |= UInt64(attributes.memoryTypeIndex & 3) &<< 3
        if attributes.memoryTypeIndex & 4 != 0 { value |= large ? largePAT : smallPAT }
        return large ? value | self.large : value
    }

    /// The slots as Linux programs them (arch/x86/mm/pat/memtype.c, v6.19); dumps do not hold the register.
    static func linuxPAT(_ index: UInt8) -> MemoryType {
        switch index & 7 {
        case 0, 4: .writeBack
        case 1: .writeCombining
        case 2, 6: .uncachedMinus
        case 3: .uncached
        case 5: .writeProtected
        default: .writeThrough
        }
    }
}
