import PageTables

/// What unprivileged code may do with a page: the part of attributes that every format can express in its own way.
public struct Protection: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable
    public static var read: Protection { Protection(rawValue: 1) }
    /// Implies `read`.
    @inlinable
    public static var write: Protection { Protection(rawValue: 2) }
    @inlinable
    public static var execute: Protection { Protection(rawValue: 4) }

    /// The rights of unprivileged code, and of privileged code with them.
    @inlinable
    public var userRights: Rights {
        var rights: Rights = [.userRead, .supervisorRead]
        if contains(.write) { rights.formUnion(.writes) }
        if contains(.execute) { rights.formUnion(.executes) }
        return rights
    }
}

/// What somebody wants to do with a page.
public enum PageAccess: Hashable, Sendable {
    case read
    case write

    /// Whether rights allow it: those of the user where the user has any, else those of the supervisor.
    @inlinable
    public func isAllowed(by rights: Rights) -> Bool { self == .read ? rights.canRead : rights.canWrite }
}

/// What a fault is to make possible.
@usableFromInline
enum FaultCause {
    /// An access by whoever the page is for.
    case access(PageAccess)
    /// One that needs a certain right: a processor's, in its mode.
    case right(Rights)

    @inlinable
    func isAllowed(by rights: Rights) -> Bool {
        switch self {
        case .access(let access): access.isAllowed(by: rights)
        case .right(let right): rights.contains(right)
        }
    }

    @inlinable
    var isWrite: Bool {
        switch self {
        case .access(let access): access == .write
        case .right(let right): !right.isDisjoint(with: .writes)
        }
    }
}
