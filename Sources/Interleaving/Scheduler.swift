/// Decides which thread takes the next step. The engine runs one execution after another and asks at every scheduling point.
///
/// A scheduler that goes through all executions re-runs the program from its start for each: it must decide the same way up
/// to where it wants to differ.
public protocol Scheduler: ~Copyable {
    /// A new execution is about to start.
    /// - Returns: whether there is anything left to run.
    mutating func begin() -> Bool

    /// Which of the enabled threads (there is at least one) steps next.
    mutating func next(_ point: SchedulingPoint) -> SchedulingDecision

    /// Which of `alternatives` (0 ..< alternatives) the running thread's choice takes; nil if the program differs from the last
    /// execution with the same decisions.
    mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int?

    /// A step was taken, and its thread has come to its next scheduling point or ended.
    mutating func executed(_ step: Int, _ point: SchedulingPoint)

    /// The execution is over, without a violation; its threads have not been unwound yet.
    /// - Returns: false if the scheduler had to repeat more decisions: the program differs from itself.
    mutating func ended(_ point: SchedulingPoint) -> Bool

    /// What was left out even when `begin` has said that nothing is left; nil if nothing was.
    var bound: Bound? { get }

    /// For the verdict.
    var name: String { get }
}

extension Scheduler where Self: ~Copyable {
    public mutating func executed(_ step: Int, _ point: SchedulingPoint) {}
    public mutating func ended(_ point: SchedulingPoint) -> Bool { true }
}

/// What a scheduler decided.
public enum SchedulingDecision {
    /// This enabled thread steps.
    case run(Int)
    /// All that could follow has been explored from another execution: end this one.
    case prune
    /// Replaying the same decisions met another state: the program depends on something that it does not take from the execution.
    case diverged
}

/// The state of an execution as a scheduler may see it. Valid until the scheduler returns.
public struct SchedulingPoint {
    let core: UnsafeMutablePointer<Core>
    /// Threads that may step, a bit each.
    public let enabled: UInt64
    /// A digest of what all threads are about to do. The same decisions lead to the same digest, or the program is not
    /// deterministic.
    public var fingerprint: UInt64 { core.pointee.fingerprint }
    /// The thread that took the last step, or nil.
    public var previous: Int? {
        let count = core.pointee.events.count
        return count == 0 ? nil : Int(core.pointee.events.base[count &- 1].thread)
    }
    /// Steps taken so far.
    public var steps: Int { core.pointee.events.count }
    /// Threads spawned so far.
    public var threads: Int { core.pointee.threadCount }

    /// What an enabled thread is about to do.
    public func announced(_ thread: Int) -> (kind: AccessKind, object: ObjectID) {
        precondition(thread >= 0 && thread < core.pointee.threadCount, "no such thread")
        return (core.pointee.threads[thread].kind, ObjectID(core.pointee.threads[thread].object))
    }
}
