/// What may be done through an entry, or through a whole path of entries: the intersection along the path.
///
/// Supervisor rights are those of code that is privileged, with its optional safeguards (SMAP, PAN, SUM) out of the way.
public struct Rights: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable
    public static var supervisorRead: Rights { Rights(rawValue: 1) }
    @inlinable
    public static var supervisorWrite: Rights { Rights(rawValue: 2) }
    @inlinable
    public static var supervisorExecute: Rights { Rights(rawValue: 4) }
    @inlinable
    public static var userRead: Rights { Rights(rawValue: 8) }
    @inlinable
    public static var userWrite: Rights { Rights(rawValue: 16) }
    @inlinable
    public static var userExecute: Rights { Rights(rawValue: 32) }

    @inlinable
    public static var supervisor: Rights { [.supervisorRead, .supervisorWrite, .supervisorExecute] }
    @inlinable
    public static var user: Rights { [.userRead, .userWrite, .userExecute] }
    @inlinable
    public static var all: Rights { [.supervisor, .user] }
    @inlinable
    public static var writes: Rights { [.supervisorWrite, .userWrite] }
    @inlinable
    public static var executes: Rights { [.supervisorExecute, .userExecute] }

    /// Whether unprivileged code can do anything at all.
    @inlinable
    public var isUser: Bool { !isDisjoint(with: .user) }

    /// The rights of the user where the user has any, else those of the supervisor.
    @inlinable
    public var canRead: Bool { contains(isUser ? .userRead : .supervisorRead) }

    @inlinable
    public var canWrite: Bool { contains(isUser ? .userWrite : .supervisorWrite) }

    @inlinable
    public var canExecute: Bool { contains(isUser ? .userExecute : .supervisorExecute) }
}

/// Facts that hardware keeps about a page beside its rights.
public struct EntryFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The page was used since the flag was last cleared.
    @inlinable
    public static var accessed: EntryFlags { EntryFlags(rawValue: 1) }
    /// The page was written since the flag was last cleared.
    @inlinable
    public static var dirty: EntryFlags { EntryFlags(rawValue: 2) }
    /// The mapping belongs to all address spaces.
    @inlinable
    public static var global: EntryFlags { EntryFlags(rawValue: 4) }
}

/// Everything about a mapping but its addresses.
public struct EntryAttributes: Hashable, Sendable {
    public var rights: Rights
    public var flags: EntryFlags
    /// The format's own number for the memory type (a PAT slot, an AttrIndx, …); `PageTableFormat.memoryType` names it.
    public var memoryTypeIndex: UInt8
    /// The protection key or domain; 0 in formats that have none.
    public var protectionKey: UInt8

    @inlinable
    public init(rights: Rights, flags: EntryFlags = [], memoryTypeIndex: UInt8 = 0, protectionKey: UInt8 = 0) {
        self.rights = rights
        self.flags = flags
        self.memoryTypeIndex = memoryTypeIndex
        self.protectionKey = protectionKey
    }
}

/// How accesses through a mapping are cached and ordered, in the words of the manuals.
public enum MemoryType: UInt8, CaseIterable, Sendable, CustomStringConvertible {
    /// The format leaves the type to something outside the page tables.
    case unspecified
    case writeBack
    case writeThrough
    case writeProtected
    case writeCombining
    /// Uncached, but an MTRR may make it write-combining (x86 "UC-").
    case uncachedMinus
    case uncached
    case nonCacheable
    /// Device memory from the strictest to the laxest: gathering, reordering, early write acknowledgement.
    case deviceNGnRnE
    case deviceNGnRE
    case deviceNGRE
    case deviceGRE
    /// Normal memory whose allocation tags are checked.
    case tagged
    /// Strongly ordered input/output.
    case inputOutput
    /// Input/output that tolerates gathering (ppc64 "tolerant I/O").
    case tolerantInputOutput
    /// Cached, with strong access ordering (ppc64 "SAO").
    case strongAccessOrder
    /// An encoding that the manual reserves, or whose meaning is in a register that is not known.
    case unknown

    /// The value of `memoryType` in reports; listed in the documentation.
    public var description: String {
        switch self {
        case .unspecified: "unspecified"
        case .writeBack: "write-back"
        case .writeThrough: "write-through"
        case .writeProtected: "write-protected"
        case .writeCombining: "write-combining"
        case .uncachedMinus: "uncached-minus"
        case .uncached: "uncached"
        case .nonCacheable: "non-cacheable"
        case .deviceNGnRnE: "device-nGnRnE"
        case .deviceNGnRE: "device-nGnRE"
        case .deviceNGRE: "device-nGRE"
        case .deviceGRE: "device-GRE"
        case .tagged: "tagged"
        case .inputOutput: "io"
        case .tolerantInputOutput: "tolerant-io"
        case .strongAccessOrder: "strong-access-order"
        case .unknown: "unknown"
        }
    }
}
