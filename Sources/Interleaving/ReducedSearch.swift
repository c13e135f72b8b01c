/// All executions, up to exchanging adjacent independent steps: dynamic partial-order reduction with source sets and sleep sets.
///
/// P. A. Abdulla, S. Aronis, B. Jonsson, K. Sagonas: Optimal dynamic partial order reduction, POPL 2014, algorithm 1.
/// An execution is run to its end; each race in it, that is two dependent steps of different threads with nothing between them that
/// orders them, gets its reversal noted at the decision where it must begin. Sleep sets keep what was explored from
/// one order from being explored from the other.
///
/// Three things are beyond that algorithm:
/// - *Waiting.* What disables a step that waits (taking a lock) and what enables it again (the unlock) are both ordered before
///   it, and only reversing the first is possible. So all earlier writes that are not ordered before the thread's coming here
///   are taken for races, and at the end of an execution also those of threads that still wait.
///   While a condition over several objects is false, writes that do not depend on each other may disable and enable it:
///   there all threads are tried, as in C. Flanagan, P. Godefroid: Dynamic partial-order reduction for model checking software, POPL 2005.
/// - *Choices* belong to the step around them. All alternatives are explored before the step's thread is put to sleep.
/// - *Symmetric threads*: an order is imposed that is as if the higher thread waited for the lower one to have stepped; a race
///   cannot be reversed against it.
struct ReducedSearch: Scheduler, ~Copyable {
    struct Node: BitwiseCopyable {
        var enabled: UInt64
        /// Threads that must be tried here.
        var backtrack: UInt64
        /// Threads whose next step has been explored from here or from an equivalent place.
        var sleep: UInt64
        /// Sleeping threads whose step wrote, as it was when explored.
        var sleepWrote: UInt64
        /// What all threads were about to do, to notice a program that differs from itself.
        var fingerprint: UInt64
        var event: Int32
        /// The chosen thread, or the alternative of a choice.
        var current: Int32
        /// 0: a choice of threads; else the number of alternatives.
        var alternatives: Int32
        var currentWrote: Bool
    }

    private(set) var nodes = RawArray<Node>()
    private(set) var order = HappensBefore()
    /// Decisions taken in this execution.
    private var depth = 0
    /// The first decision that differs from the last execution.
    private var changed = 0
    private var lastThreadNode = -1
    private var hasBegun = false
    /// Events that `order` knows.
    private var known = 0
    let firstOfThread: UnsafeMutablePointer<Int32>

    init() { firstOfThread = .allocate(capacity: Core.maximumThreads) }

    deinit { firstOfThread.deallocate() }

    var name: String { "all executions up to commuting steps" }
    var bound: Bound? { nil }

    mutating func begin() -> Bool {
        depth = 0
        known = 0
        lastThreadNode = -1
        order.beginExecution()
        guard hasBegun else {
            hasBegun = true
            return true
        }
        while nodes.count > 0 {
            let top = nodes.base + (nodes.count &- 1)
            if top.pointee.alternatives > 0 {
                if top.pointee.current &+ 1 < top.pointee.alternatives {
                    top.pointee.current &+= 1
                    changed = nodes.count &- 1
                    return true
                }
            } else {
                let done = bit(Int(top.pointee.current))
                top.pointee.sleep |= done
                if top.pointee.currentWrote { top.pointee.sleepWrote |= done } else { top.pointee.sleepWrote &= ~done }
                let open = top.pointee.backtrack & ~top.pointee.sleep
                if open != 0 {
                    top.pointee.current = Int32(truncatingIfNeeded: first(open))
                    top.pointee.currentWrote = false
                    changed = nodes.count &- 1
                    return true
                }
            }
            nodes.removeLast()
        }
        return false
    }

    @inline(__always)
    mutating func next(_ point: SchedulingPoint) -> SchedulingDecision {
        let core = point.core
        let thread: Int
        if depth < nodes.count {
            let node = nodes.base + depth
            guard node.pointee.alternatives == 0, node.pointee.enabled == point.enabled,
                node.pointee.fingerprint == point.fingerprint
            else { return .diverged }
            thread = Int(node.pointee.current)
            node.pointee.event = Int32(truncatingIfNeeded: core.pointee.events.count)
        } else {
            var sleep: UInt64 = 0
            var sleepWrote: UInt64 = 0
            if lastThreadNode >= 0, nodes.base[lastThreadNode].sleep != 0 {
                let parent = nodes.base[lastThreadNode]
                sleep = parent.sleep & ~wakes(core, Int(parent.event), parent.sleep, parent.sleepWrote)
                sleepWrote = parent.sleepWrote & sleep
            }
            let awake = point.enabled & ~sleep
            guard awake != 0 else { return .prune }
            let previous = point.previous ?? 0
            thread = awake & bit(previous) != 0 ? previous : first(awake)
            nodes.append(
                Node(
                    enabled: point.enabled, backtrack: bit(thread), sleep: sleep, sleepWrote: sleepWrote,
                    fingerprint: point.fingerprint, event: Int32(truncatingIfNeeded: core.pointee.events.count),
                    current: Int32(truncatingIfNeeded: thread), alternatives: 0, currentWrote: false))
        }
        lastThreadNode = depth
        depth &+= 1
        return .run(thread)
    }

    mutating func choose(_ alternatives: Int, _ point: SchedulingPoint) -> Int? {
        defer { depth &+= 1 }
        if depth < nodes.count {
            let node = nodes.base[depth]
            return Int(node.alternatives) == alternatives ? Int(node.current) : nil
        }
        nodes.append(
            Node(
                enabled: 0, backtrack: 0, sleep: 0, sleepWrote: 0, fingerprint: 0, event: -1, current: 0,
                alternatives: Int32(truncatingIfNeeded: alternatives), currentWrote: false))
        return 0
    }

    @inline(__always)
    mutating func executed(_ step: Int, _ point: SchedulingPoint) {
        let core = point.core
        let isFresh = depth > changed
        order.add(step, core, fresh: isFresh)
        known = step &+ 1
        guard isFresh else { return }
        let node = nodes.base + lastThreadNode
        let event = core.pointee.events.base[step]
        let thread = Int(event.thread)
        if event.wrote { node.pointee.currentWrote = true }
        if !event.kind.waits {
            findRaces(step, event, core)
        } else if event.kind != .pause, event.furtherCount == 0 {
            findRacesOfWait(thread, step, core)
        }
        guard core.pointee.waiting != 0 else { return }
        if event.wrote { tryWaitersOfSeveral(event, node, core) }
        var arrivals = core.pointee.waiting
        while arrivals != 0 {
            let arrived = first(arrivals)
            arrivals &= arrivals &- 1
            // The thread that stepped, or one that it spawned in this step.
            if Int(core.pointee.threads[arrived].lastEvent) == step, core.pointee.threads[arrived].kind != .pause {
                findRacesOfArrival(arrived, step, core)
            }
        }
    }

    mutating func ended(_ point: SchedulingPoint) -> Bool {
        let core = point.core
        guard depth >= nodes.count else { return false }
        // An execution that was cut is not exhaustive anyway.
        guard known == core.pointee.events.count else { return true }
        var waiting = core.pointee.waiting
        while waiting != 0 {
            let thread = first(waiting)
            waiting &= waiting &- 1
            let state = core.pointee.threads + thread
            if state.pointee.kind != .pause, state.pointee.furtherCount == 0 {
                findRacesOfWait(thread, core.pointee.events.count, core)
            }
        }
        return true
    }
}
