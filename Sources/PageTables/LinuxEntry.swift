/// What Linux means by an entry, which is not what hardware would do with it: pages that Linux considers present may be
/// invalid to hardware ("old" pages of s390x, PROT_NONE), and invalid entries may hold a place in swap.
public enum LinuxEntry: Hashable, Sendable {
    case none
    case table
    case page(LinuxPage)
    case swap(LinuxSwap)
    /// Neither none nor anything that Linux writes.
    case malformed
}

/// A page that Linux considers present.
public struct LinuxPage: Hashable, Sendable {
    public var frame: PhysicalAddress
    public var size: PageSize
    public var flags: LinuxPageFlags

    @inlinable
    public init(frame: PhysicalAddress, size: PageSize, flags: LinuxPageFlags) {
        self.frame = frame
        self.size = size
        self.flags = flags
    }
}

/// Linux's own bits of a present entry.
public struct LinuxPageFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16

    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable
    public static var read: LinuxPageFlags { LinuxPageFlags(rawValue: 1) }
    @inlinable
    public static var write: LinuxPageFlags { LinuxPageFlags(rawValue: 2) }
    @inlinable
    public static var execute: LinuxPageFlags { LinuxPageFlags(rawValue: 4) }
    @inlinable
    public static var user: LinuxPageFlags { LinuxPageFlags(rawValue: 8) }
    @inlinable
    public static var young: LinuxPageFlags { LinuxPageFlags(rawValue: 16) }
    @inlinable
    public static var dirty: LinuxPageFlags { LinuxPageFlags(rawValue: 32) }
    /// Present to Linux, and no access is allowed.
    @inlinable
    public static var protNone: LinuxPageFlags { LinuxPageFlags(rawValue: 64) }
    /// No page descriptor stands behind the frame as far as this mapping is concerned.
    @inlinable
    public static var special: LinuxPageFlags { LinuxPageFlags(rawValue: 128) }
    @inlinable
    public static var softDirty: LinuxPageFlags { LinuxPageFlags(rawValue: 256) }
    /// Write-protected for userfaultfd.
    @inlinable
    public static var userfaultWriteProtect: LinuxPageFlags { LinuxPageFlags(rawValue: 512) }
    /// The MMU would use the entry as it is.
    @inlinable
    public static var hardwareValid: LinuxPageFlags { LinuxPageFlags(rawValue: 1024) }
    /// A large page that is being split: present, and deliberately not valid.
    @inlinable
    public static var splitting: LinuxPageFlags { LinuxPageFlags(rawValue: 2048) }
    @inlinable
    public static var global: LinuxPageFlags { LinuxPageFlags(rawValue: 4096) }
}

/// An entry that is not present and holds a type and an offset.
public struct LinuxSwap: Hashable, Sendable {
    /// 0 ... 31; what it stands for depends on the kernel's configuration: see `LinuxSwapTypes`.
    public var type: UInt8
    public var offset: UInt64
    public var flags: LinuxSwapFlags

    @inlinable
    public init(type: UInt8, offset: UInt64, flags: LinuxSwapFlags = []) {
        self.type = type
        self.offset = offset
        self.flags = flags
    }
}

public struct LinuxSwapFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable
    public static var softDirty: LinuxSwapFlags { LinuxSwapFlags(rawValue: 1) }
    @inlinable
    public static var userfaultWriteProtect: LinuxSwapFlags { LinuxSwapFlags(rawValue: 2) }
    /// The page belonged to this address space alone.
    @inlinable
    public static var exclusive: LinuxSwapFlags { LinuxSwapFlags(rawValue: 4) }
}

/// What a type number of a non-present entry stands for.
public enum LinuxSwapMeaning: Hashable, Sendable, CustomStringConvertible {
    case swapFile(Int)
    case hardwarePoison
    case migrationRead
    case migrationReadExclusive
    case migrationWrite
    case devicePrivateWrite
    case devicePrivateRead
    case deviceExclusive
    /// Not a page at all: userfault write-protection, poison or a guard that outlives the page.
    case marker

    public var description: String {
        switch self {
        case .swapFile(let number): "swap \(number)"
        case .hardwarePoison: "hwpoison"
        case .migrationRead: "migration-read"
        case .migrationReadExclusive: "migration-read-exclusive"
        case .migrationWrite: "migration-write"
        case .devicePrivateWrite: "device-private-write"
        case .devicePrivateRead: "device-private-read"
        case .deviceExclusive: "device-exclusive"
        case .marker: "marker"
        }
    }
}

/// How a kernel hands out the 32 type numbers: swap files from 0 upward, and from the top down, each only if configured,
/// markers, device memory, migration, hardware poison (Linux v6.19, include/linux/swap.h).
public struct LinuxSwapTypes: Sendable {
    public var hardwarePoison: Bool
    public var migration: Bool
    public var devicePrivate: Bool
    public var marker: Bool

    /// With everything configured, as distributions do: 24 swap files.
    public init(
        hardwarePoison: Bool = true, migration: Bool = true, devicePrivate: Bool = true, marker: Bool = true
    ) {
        self.hardwarePoison = hardwarePoison
        self.migration = migration
        self.devicePrivate = devicePrivate
        self.marker = marker
    }

    public func meaning(ofType type: UInt8) -> LinuxSwapMeaning {
        var special: [LinuxSwapMeaning] = []
        if hardwarePoison { special += [.hardwarePoison] }
        if migration { special += [.migrationRead, .migrationReadExclusive, .migrationWrite] }
        if devicePrivate { special += [.devicePrivateWrite, .devicePrivateRead, .deviceExclusive] }
        if marker { special += [.marker] }
        let files = 32 - special.count
        let number = Int(type & 31)
        return number < files ? .swapFile(number) : special[number - files]
    }
}

/// A format that Linux uses, with what Linux means by its entries.
public protocol LinuxPageTableFormat: PageTableFormat {
    /// Total, like everything about entries.
    func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry

    /// The table that Linux walks next where hardware walks to `table(of:at:)`; the same but on 32-bit arm.
    func linuxTable(of entry: Entry, at level: Level) -> PhysicalAddress

    /// The memory type's number of an entry that is a page to Linux: the one of `attributes(of:at:)` but where Linux
    /// walks entries of its own.
    func linuxMemoryTypeIndex(of entry: Entry, at level: Level) -> UInt8
}

extension LinuxPageTableFormat {
    @inlinable
    public func linuxTable(of entry: Entry, at level: Level) -> PhysicalAddress { table(of: entry, at: level) }

    @inlinable
    public func linuxMemoryTypeIndex(of entry: Entry, at level: Level) -> UInt8 {
        attributes(of: entry, at: level).memoryTypeIndex
    }
}
