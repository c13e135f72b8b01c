// Where the fields of the four kinds of short-descriptor leaves are.
//
// Arm Architecture Reference Manual for ARMv7-A (DDI 0406), figures B3-4 and B3-5.

@usableFromInline
enum ArmShortBit {
    @inlinable static var supersection: UInt64 { 1 << 18 }
    @inlinable static var tablePrivilegedExecuteNever: UInt64 { 1 << 2 }
    @inlinable static var sectionPrivilegedExecuteNever: UInt64 { 1 << 0 }
}

@usableFromInline
enum ArmShortLayout {
    case smallPage
    case largePage
    case section
    case supersection

    @inlinable
    init(_ value: UInt64, _ level: Level) {
        if level.rawValue > 0 {
            self = value & ArmShortBit.supersection == 0 ? .section : .supersection
        } else {
            self = value & 2 != 0 ? .smallPage : .largePage
        }
    }

    init(log2Bytes: UInt64, _ level: Level) {
        if level.rawValue > 0 {
            self = log2Bytes > 20 ? .supersection : .section
        } else {
            self = log2Bytes > 12 ? .largePage : .smallPage
        }
    }

    @inlinable
    var isSection: Bool { self == .section || self == .supersection }

    @inlinable
    var log2Bytes: UInt64 {
        switch self {
        case .smallPage: 12
        case .largePage: 16
        case .section: 20
        case .supersection: 24
        }
    }

    @inlinable
    var executeNever: UInt64 {
        switch self {
        case .smallPage: 1 << 0
        case .largePage: 1 << 15
        case .section, .supersection: 1 << 4
        }
    }

    @inlinable
    var notGlobal: UInt64 { isSection ? 1 << 17 : 1 << 11 }

    /// How far to the left AP[1:0] is; AP[2] is five bits above the first of them.
    @inlinable
    var accessPermissionShift: UInt64 { isSection ? 10 : 4 }

    @inlinable
    var typeExtensionShift: UInt64 { self == .smallPage ? 6 : 12 }

    /// AP[2:0]
    @inlinable
    func accessPermission(_ value: UInt64) -> UInt8 {
        let shifted = value &>> accessPermissionShift
        return UInt8(truncatingIfNeeded: shifted & 3 | shifted &>> 3 & 4)
    }

    func encodeAccessPermission(_ permission: UInt8) -> UInt64 {
        (UInt64(permission & 3) | UInt64(permission & 4) &<< 3) &<< accessPermissionShift
    }

    /// TEX, C, B
    @inlinable
    func memoryTypeIndex(_ value: UInt64) -> UInt8 {
        UInt8(truncatingIfNeeded: (value &>> typeExtensionShift & 7) &<< 2 | value &>> 2 & 3)
    }

    /// Everything of the attributes but rights, and the type of descriptor.
    func encode(_ attributes: EntryAttributes) -> UInt64 {
        let type: UInt64 = self == .largePage ? 1 : 2
        let index = UInt64(attributes.memoryTypeIndex & 31)
        return type | (attributes.flags.contains(.global) ? 0 : notGlobal)
            | (index &>> 2) &<< typeExtensionShift | (index & 3) &<< 2
            | (self == .section ? UInt64(attributes.protectionKey & 15) &<< 5 : 0)
            | (self == .supersection ? ArmShortBit.supersection : 0)
    }

    /// The bits of an address above 32, which only supersections have.
    func encodeUpperAddress(_ address: UInt64) -> UInt64 {
        self == .supersection ? (address &>> 32 & 15) &<< 20 | (address &>> 36 & 15) &<< 5 : 0
    }

    @inlinable
    var attributeBits: UInt64 {
        switch self {
        // nG, AP[2], TEX, AP[1:0], C, B, type and XN.
        case .smallPage: 0x0bff
        // XN, TEX, nG, AP[2], AP[1:0], C, B, type.
        case .largePage: 0xfa3f
        // Supersection, nG, AP[2], TEX, AP[1:0], domain, XN, C, B, type and PXN.
        case .section: 0x6_fdff
        case .supersection: 0x6_fc1f
        }
    }
}

/// The meaning of TEX, C and B.
enum ArmShortMemoryType {
    /// Without remapping: table B3-10 of the manual. Normal memory has one attribute for inner and one for outer caches;
    /// where they differ the answer is `.unknown`.
    static func direct(_ index: UInt8) -> MemoryType {
        switch index & 31 {
        case 0: return .deviceNGnRnE
        case 1, 8: return .deviceNGnRE
        case 2: return .writeThrough
        case 3, 7: return .writeBack
        case 4: return .nonCacheable
        case 16...31:
            let inner = cacheability(UInt32(index & 3))
            return inner == cacheability(UInt32(index &>> 2 & 3)) ? inner : .unknown
        default: return .unknown
        }
    }

    /// With remapping: PRRR gives the type of memory, NMRR how normal memory is cached.
    static func remapped(_ index: UInt8, prrr: UInt32, nmrr: UInt32) -> MemoryType {
        let shift = UInt32(index & 7) &* 2
        switch prrr &>> shift & 3 {
        case 0: return .deviceNGnRnE
        case 1: return .deviceNGnRE
        case 2:
            let inner = cacheability(nmrr &>> shift & 3)
            return inner == cacheability(nmrr &>> (shift &+ 16) & 3) ? inner : .unknown
        default: return .unknown
        }
    }

    private static func cacheability(_ field: UInt32) -> MemoryType {
        switch field {
        case 0: .nonCacheable
        case 2: .writeThrough
        default: .writeBack
        }
    }
}
