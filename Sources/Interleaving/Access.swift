/// Names what an access touches: a word, a lock, a processor's interrupt flag, whatever two threads may quarrel about.
///
/// Numbers below 2^63 are the program's own; ``Execution/newObject()`` hands out those above. A program must name the same
/// object by the same number in every execution.
public struct ObjectID: Hashable, Comparable, BitwiseCopyable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: ObjectID, right: ObjectID) -> Bool { left.rawValue < right.rawValue }

    public var description: String {
        rawValue >> 63 == 0 ? "object \(rawValue)" : "object #\(rawValue & (1 << 63 - 1))"
    }
}

/// What a step does to its objects. Two steps of different threads are dependent, and are explored in both orders, if they
/// share an object and one of them writes.
public enum AccessKind: UInt8, BitwiseCopyable, Sendable {
    /// Changes nothing.
    case read
    /// Changes the object without looking at it.
    case write
    /// Looks and changes. One that turns out to change nothing (a failed compare-exchange) says so with
    /// ``Execution/changedNothing()`` and counts as a read.
    case readModifyWrite
    /// Takes something exclusive, when it is free. Only a matching `release` can make it free.
    case acquire
    /// Gives back what this thread acquired.
    case release
    /// Waits for a condition over the objects and changes nothing.
    case wait
    /// Waits until any of the objects has been changed: ``Execution/pause(fileID:line:)``.
    case pause
    /// Changes the object so that a waiting thread may become able to go on and never the reverse (a thread has ended,
    /// a flag that is set once).
    case signal
    /// Depends on every other step.
    case global
    /// Depends on none: a place to stop at in a counterexample.
    case local

    @inline(__always)
    var writes: Bool {
        switch self {
        case .write, .readModifyWrite, .acquire, .release, .signal, .global: true
        case .read, .wait, .pause, .local: false
        }
    }

    /// Whether what the thread does next may depend on what this step saw.
    @inline(__always)
    var looks: Bool {
        switch self {
        case .read, .readModifyWrite, .wait, .global: true
        case .pause, .write, .acquire, .release, .signal, .local: false
        }
    }

    /// Whether the step may have to wait until it can be taken.
    @inline(__always)
    var waits: Bool { self == .acquire || self == .wait || self == .pause }

    /// Whether a step of this kind may disable one of kind `later` that waits, so that the other order may be possible as well.
    @inline(__always)
    func mayDisable(_ later: AccessKind) -> Bool {
        switch later {
        case .acquire: self != .release
        case .wait: self != .signal
        case .pause: false
        default: true
        }
    }
}

/// An access to shared state, announced before it happens.
public struct Access: BitwiseCopyable, Sendable {
    public var kind: AccessKind
    public var object: ObjectID
    /// The rule or protocol step that this access belongs to; printed in counterexamples.
    public var rule: StaticString
    /// Whether it can be taken only when all earlier stores of its thread have been performed; see
    /// ``MemoryModel/totalStoreOrder``.
    public var drainsStores: Bool
    public var fileID: StaticString
    public var line: UInt

    /// - Parameter drainsStores: nil for what is usual: all that is neither a read nor local.
    @inlinable
    public init(
        _ kind: AccessKind, _ object: ObjectID, rule: StaticString = "", drainsStores: Bool? = nil,
        fileID: StaticString = #fileID, line: UInt = #line
    ) {
        self.kind = kind
        self.object = object
        self.rule = rule
        self.drainsStores = drainsStores ?? (kind != .read && kind != .local && kind != .pause)
        self.fileID = fileID
        self.line = line
    }
}

/// Thrown by every scheduling point of an execution that is over, so that its threads unwind and release what they own.
/// Let it pass; code that catches everything must rethrow this.
public struct Abandoned: Error {}
