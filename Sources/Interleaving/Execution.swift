import CFiber

/// One run of the program under exploration: what its set-up and its threads talk to.
///
/// Everything of one exploration runs on the thread of the operating system that called ``Explorer/explore(_:)``: threads of
/// the program are fibers that take turns. So an execution, and whatever the program makes with it, is not `Sendable`; and
/// between two scheduling points a thread runs alone.
///
/// A program must do the same whenever it is scheduled the same: no clocks, no random numbers, no addresses of memory, no
/// iteration over a `Set`. What may vary is ``choose(_:_:fileID:line:)``. Inside a thread there is no `await`.
public final class Execution {
    let core: UnsafeMutablePointer<Core>
    private let stackBytes: Int

    // Used outside steps only, or at the end of an execution.
    var program: ((Execution) throws -> Void)?
    var bodies: [(() throws -> Void)?] = []
    var names: [String?] = []
    var checks: [() throws -> Void] = []
    var violation: Violation?
    var recording = Recording()
    let words = WordStore()
    var resources = ResourceTable()

    init(stackBytes: Int, model: MemoryModel) {
        self.stackBytes = stackBytes
        core = .allocate(capacity: 1)
        core.initialize(to: Core(hasBuffers: model == .totalStoreOrder))
        (core.pointee.threads + Core.setup).initialize(to: makeThread(Core.setup))
    }

    deinit {
        for thread in 0..<core.pointee.fiberCount { interleaving_fiber_destroy(core.pointee.threads[thread].fiber) }
        interleaving_fiber_destroy(core.pointee.threads[Core.setup].fiber)
        core.pointee.threads[Core.setup].further.deallocate()
        core.deinitialize(count: 1)
        core.deallocate()
    }

    func makeThread(_ index: Int) -> ThreadState {
        guard let fiber = interleaving_fiber_create(stackBytes) else {
            fatalError("no memory for the stack of a fiber")
        }
        // The entry frame owns nothing: it may be the last thing that runs on this stack.
        interleaving_fiber_prepare(
            fiber,
            { context, index in Unmanaged<Execution>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.run(index) } },
            Unmanaged.passUnretained(self).toOpaque(), index)
        return ThreadState(fiber: fiber, further: .allocate(capacity: 4), furtherCapacity: 4)
    }

    // MARK: Threads

    /// Number of the thread that is running, in the order of spawning; nil in set-up and final checks.
    public var thread: Int? { core.pointee.current < Core.maximumThreads ? core.pointee.current : nil }

    /// Whether this execution is over and its threads are unwinding: every scheduling point throws ``Abandoned``.
    public var isUnwinding: Bool { core.pointee.isStopping }

    /// What messages call objects that are not words or locks of this module; set it in set-up.
    public var describeObject: ((ObjectID) -> String?)?

    /// Performs a store that was put into a buffer by ``buffer(_:_:_:)``; set it in set-up.
    public var performStore: ((_ object: ObjectID, _ value: UInt64) -> StoreOutcome)?

    /// Adds a thread. In set-up or from a running thread; at most 64 in one execution.
    ///
    /// - Parameters:
    ///   - named: heads its column in a counterexample.
    ///   - daemon: the execution does not wait for it to end (a device, an interrupt that may come).
    ///   - body: an error that leaves it, other than ``Abandoned``, is a violation.
    /// - Returns: the thread's number.
    @discardableResult
    public func spawn(named name: String? = nil, daemon: Bool = false, _ body: @escaping () throws -> Void) -> Int {
        spawn(name, daemon: daemon, group: -1, body)
    }

    /// Adds `count` threads of one body that differ in nothing: executions that only swap them are explored once.
    ///
    /// While two of them have done and seen the same, only the one with the lower number steps. That is sound because exchanging
    /// them changes nothing, which the program must keep true: the body must not ask for ``thread``, and neither shared state nor
    /// properties may tell them apart. Words and locks of this module report what a thread sees; own objects
    /// must call ``observe(_:)`` after each step that looks at shared state (a step without it just ends the reduction for that thread).
    public func spawn(
        count: Int, named name: String? = nil, daemon: Bool = false, _ body: @escaping () throws -> Void
    ) {
        let group = core.pointee.groups
        core.pointee.groups += 1
        for _ in 0..<count { spawn(name, daemon: daemon, group: count > 1 ? group : -1, body) }
    }

    @discardableResult
    private func spawn(_ name: String?, daemon: Bool, group: Int32, _ body: @escaping () throws -> Void) -> Int {
        precondition(core.pointee.current != Core.nobody, "spawn outside an exploration")
        // Who starts a thread has made sure that the thread sees what was done before. If that fails, so will the next step.
        if core.pointee.hasBuffers { try? fence() }
        let index = addThread(group: group, isDaemon: daemon)
        let parent = core.pointee.current
        core.pointee.threads[index].lastEvent =
            parent < Core.maximumThreads ? core.pointee.threads[parent].lastEvent : -1
        core.pointee.unstarted |= bit(index)
        if parent < Core.maximumThreads {
            // A thread with a child of its own is no longer interchangeable.
            core.pointee.threads[parent].history = mix(core.pointee.threads[parent].history, UInt64(index))
        }
        bodies.append(body)
        names.append(name)
        return index
    }

    func addThread(group: Int32, isDaemon: Bool) -> Int {
        let index = core.pointee.threadCount
        precondition(
            index < Core.maximumThreads, "an execution has at most \(Core.maximumThreads) threads and store buffers")
        if index == core.pointee.fiberCount {
            (core.pointee.threads + index).initialize(to: makeThread(index))
            core.pointee.fiberCount += 1
        }
        core.pointee.threadCount = index + 1
        let state = core.pointee.threads + index
        state.pointee.isBlocked = false
        state.pointee.hasUnreported = false
        state.pointee.group = group
        state.pointee.history = 0
        state.pointee.steps = 0
        state.pointee.furtherCount = 0
        state.pointee.lastEvent = -1
        state.pointee.lastPause = Int32(truncatingIfNeeded: core.pointee.events.count)
        state.pointee.partner = -1
        state.pointee.newestStore = -1
        state.pointee.drained = -1
        state.pointee.oldestStore = -1
        state.pointee.awaited = -1
        state.pointee.storesInStep = 0
        state.pointee.hasStored = false
        if isDaemon { core.pointee.daemons |= bit(index) }
        if group >= 0 { core.pointee.grouped |= bit(index) }
        return index
    }

    /// Adds a check that runs when all threads have ended, before leaks are looked for.
    public func atEnd(_ check: @escaping () throws -> Void) { checks.append(check) }

    /// A new object for accesses to name. The same in every execution, if the program is.
    public func newObject() -> ObjectID {
        core.pointee.objects += 1
        return ObjectID(1 << 63 | core.pointee.objects)
    }

    /// Modules that only pass accesses on, the innermost first: a memory that announces them here, and what a program calls it
    /// through. Set it in set-up.
    ///
    /// What the source of one of them announces is shown in a counterexample at the line that asked for it: at the innermost line
    /// of the thread's stack that is in none of them or, if there is none, in the last of them that has one. The place
    /// stays empty where a program has no debug information.
    public var transparentModules: [String] = []

    // MARK: Scheduling points

    /// Announces an access. When this returns, the calling thread has been chosen to take the step: it performs the access
    /// and whatever else belongs to it, alone, until its next scheduling point.
    ///
    /// In set-up and final checks there is nothing to schedule, and it returns at once.
    /// - Parameters:
    ///   - further: more objects that the step accesses in the same way.
    ///   - label: describes the step; evaluated only for a counterexample.
    public func step(
        _ access: Access, also further: [ObjectID] = [], _ label: @autoclosure () -> String
    ) throws(Abandoned) { try step(access, also: further, awaiting: -1, isRecorded: true, label()) }

    /// - Parameter store: one that must have been performed before; -1: none.
    @inline(__always)
    func step(
        _ access: Access, also further: [ObjectID], awaiting store: Int32, isRecorded: Bool,
        _ label: @autoclosure () -> String
    ) throws(Abandoned) {
        let core = core
        if core.pointee.isStopping { try refuse() }
        let index = core.pointee.current
        if index >= Core.maximumThreads { return requireExploration(index) }
        let thread = core.pointee.threads + index
        announce(thread, access, further)
        if store >= 0 { thread.pointee.awaited = store }
        interleaving_fiber_yield(thread.pointee.fiber)
        if core.pointee.isStopping { try refuse() }
        if core.pointee.isRecording, isRecorded { record(index, access, label()) }
    }

    /// Like ``step(_:also:_:)`` for an access of kind `acquire` or `wait` that can only be taken while `condition` holds.
    ///
    /// The condition may depend on the access's objects only, and on nothing a thread keeps to itself; it must not step.
    /// A thread that waits when no other can go on is a deadlock.
    /// A wait for several objects at once is explored with less reduction than several waits for one each.
    public func wait(
        _ access: Access, also further: [ObjectID] = [], until condition: () -> Bool, _ label: @autoclosure () -> String
    ) throws(Abandoned) {
        precondition(access.kind == .acquire || access.kind == .wait, "only an acquire or a wait has a condition")
        let core = core
        if core.pointee.isStopping { try refuse() }
        let index = core.pointee.current
        if index >= Core.maximumThreads {
            requireExploration(index)
            if !condition() { try violate("deadlock: set-up or a final check waits: \(label())", at: access) }
            return
        }
        let thread = core.pointee.threads + index
        announce(thread, access, further)
        noteWaiting(index, access)
        try awaitTurn(thread) { $0 != nil || condition() }
        if core.pointee.isRecording { record(index, access, label()) }
    }

    /// Like ``wait(_:also:until:_:)``, for a condition over the value of one object. If steps that write it report what they
    /// ``replaced(_:)``, fewer executions are needed: it is known whether the wait could have come earlier.
    public func wait(
        _ access: Access, value: () -> UInt64, until condition: (UInt64) -> Bool, _ label: @autoclosure () -> String
    ) throws(Abandoned) {
        let index = core.pointee.current
        if core.pointee.isStopping || index >= Core.maximumThreads {
            return try wait(access, until: { condition(value()) }, label())
        }
        precondition(access.kind == .acquire || access.kind == .wait, "only an acquire or a wait has a condition")
        let thread = core.pointee.threads + index
        announce(thread, access, [])
        if core.pointee.hasBuffers, !access.drainsStores {
            // What the thread's own buffer holds for the object hides the object's value.
            thread.pointee.awaited = core.pointee.storeSinceDraining(to: access.object.rawValue, by: index)
        }
        noteWaiting(index, access)
        try awaitTurn(thread) { condition($0 ?? value()) }
        if core.pointee.isRecording { record(index, access, label()) }
    }

    /// Says that nothing will change by itself: the thread has looked and must look again (a spin loop's body).
    ///
    /// It goes on when another thread has written something that this thread has read since its last pause. A loop turn that
    /// ends in a pause must have no effect but its reads; after a turn that wrote, a pause does not wait. Without a
    /// pause a spin loop makes executions endless.
    public func pause(fileID: StaticString = #fileID, line: UInt = #line) throws(Abandoned) {
        let core = core
        if core.pointee.isStopping { try refuse() }
        let index = core.pointee.current
        if index >= Core.maximumThreads { return requireExploration(index) }
        let thread = core.pointee.threads + index
        let start = thread.pointee.lastPause
        let objects = objectsRead(by: index, since: start)
        let access = Access(objects.isEmpty ? .local : .pause, objects.first ?? ObjectID(0), fileID: fileID, line: line)
        announce(thread, access, Array(objects.dropFirst()))
        if objects.isEmpty {
            interleaving_fiber_yield(thread.pointee.fiber)
            if core.pointee.isStopping { try refuse() }
        } else {
            noteWaiting(index, access)
            try awaitTurn(thread) { _ in self.hasChanged(objects, for: index, since: start) }
        }
        thread.pointee.lastPause = Int32(truncatingIfNeeded: core.pointee.events.count)
        if core.pointee.hasBuffers { thread.pointee.hasStored = false }
        if core.pointee.isRecording { record(index, access, "pause") }
    }

    /// A value from 0 ..< alternatives; every one is explored. Not a scheduling point: it belongs to the step around it.
    public func choose(
        _ alternatives: Int, _ label: @autoclosure () -> String = "choose", fileID: StaticString = #fileID,
        line: UInt = #line
    ) throws(Abandoned) -> Int {
        precondition(alternatives > 0, "a choice has at least one alternative")
        let core = core
        if core.pointee.isStopping { try refuse() }
        let index = core.pointee.current
        requireExploration(index)
        let thread = core.pointee.threads + index
        thread.pointee.request = .choice
        thread.pointee.choice = alternatives
        interleaving_fiber_yield(thread.pointee.fiber)
        if core.pointee.isStopping { try refuse() }
        let chosen = thread.pointee.choice
        thread.pointee.history = mix(thread.pointee.history, UInt64(truncatingIfNeeded: chosen) ^ 0x63)
        if core.pointee.isRecording {
            recording.addChoice(index, "\(label()) → \(chosen)", at: place(fileID, line))
        }
        return chosen
    }

    /// Reports what the running step saw, for symmetric threads and counterexamples.
    public func observe(_ value: UInt64) {
        let index = core.pointee.current
        guard index < Core.maximumThreads else { return }
        core.pointee.threads[index].history = mix(core.pointee.threads[index].history, value)
        core.pointee.threads[index].hasUnreported = false
    }

    /// Says that the running step, announced as one that writes, has changed nothing.
    public func changedNothing() {
        let index = core.pointee.current
        guard index < Core.maximumThreads, !core.pointee.isStopping else { return }
        core.pointee.events.base[Int(core.pointee.threads[index].lastEvent)].wrote = false
    }

    /// Reports the value that the running step has replaced, for waits on it.
    public func replaced(_ value: UInt64) {
        let index = core.pointee.current
        guard index < Core.maximumThreads, !core.pointee.isStopping else { return }
        let event = core.pointee.events.base + Int(core.pointee.threads[index].lastEvent)
        event.pointee.before = value
        event.pointee.hasBefore = true
    }

    /// Adds to the description of the running step, once its result is known. Evaluated only for a counterexample.
    public func note(_ text: @autoclosure () -> String) {
        guard core.pointee.isRecording, !core.pointee.isStopping, core.pointee.current < Core.maximumThreads else {
            return
        }
        recording.addToLastLabel(text())
    }

    /// Says which rule the next step of the running thread belongs to, where whoever announces that step cannot know.
    /// Evaluated only for a counterexample.
    public func nextStep(belongsTo rule: @autoclosure () -> String) {
        guard core.pointee.isRecording, !core.pointee.isStopping, core.pointee.current < Core.maximumThreads else {
            return
        }
        recording.add(rule: rule(), to: core.pointee.current)
    }

    // MARK: Properties

    /// Ends the execution: `property` does not hold.
    public func violate(
        _ property: String, fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> Never {
        if core.pointee.isRecording, !core.pointee.isStopping { recording.violation = place(fileID, line) }
        report(.property, property, "\(fileID):\(line)")
        throw Abandoned()
    }

    /// Ends the execution unless `condition` holds.
    public func require(
        _ condition: Bool, _ property: @autoclosure () -> String, fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        if !condition { try violate(property(), fileID: fileID, line: line) }
    }

    private func violate(_ property: String, at access: Access) throws(Abandoned) -> Never {
        try violate(property, fileID: access.fileID, line: access.line)
    }

    /// The first violation of an execution counts; what follows it while threads unwind does not.
    func report(_ kind: ViolationKind, _ property: String, _ place: String = "") {
        guard !core.pointee.isStopping else { return }
        violation = Violation(kind: kind, statement: property, place: place)
        core.pointee.isStopping = true
    }

    // MARK: Inside

    @inline(__always)
    private func announce(_ thread: UnsafeMutablePointer<ThreadState>, _ access: Access, _ further: [ObjectID]) {
        thread.pointee.kind = access.kind
        thread.pointee.object = access.object.rawValue
        thread.pointee.furtherCount = 0
        thread.pointee.request = .step
        if core.pointee.hasBuffers { announceDraining(thread, access) }
        if !further.isEmpty { announceFurther(thread, further) }
    }

    @inline(never)
    private func announceDraining(_ thread: UnsafeMutablePointer<ThreadState>, _ access: Access) {
        let mustDrain = access.drainsStores && thread.pointee.newestStore != thread.pointee.drained
        thread.pointee.awaited = mustDrain ? thread.pointee.newestStore : -1
    }

    @inline(never)
    private func announceFurther(_ thread: UnsafeMutablePointer<ThreadState>, _ further: [ObjectID]) {
        if further.count > Int(thread.pointee.furtherCapacity) {
            thread.pointee.further.deallocate()
            thread.pointee.further = .allocate(capacity: further.count)
            thread.pointee.furtherCapacity = Int32(further.count)
        }
        for (index, object) in further.enumerated() { thread.pointee.further[index] = object.rawValue }
        thread.pointee.furtherCount = Int32(further.count)
    }

    /// Yields until the thread is chosen, and answers whenever the engine asks whether the condition holds: now (nil) or for a
    /// supposed value.
    @inline(__always)
    private func awaitTurn(
        _ thread: UnsafeMutablePointer<ThreadState>, _ condition: (UInt64?) -> Bool
    ) throws(Abandoned) {
        thread.pointee.isBlocked = !condition(nil)
        while true {
            interleaving_fiber_yield(thread.pointee.fiber)
            if core.pointee.isStopping { try refuse() }
            switch thread.pointee.request {
            case .evaluation: thread.pointee.isBlocked = !condition(nil)
            case .supposition:
                thread.pointee.choice = condition(UInt64(bitPattern: Int64(thread.pointee.choice))) ? 1 : 0
            default: return
            }
        }
    }

    private func noteWaiting(_ thread: Int, _ access: Access) {
        if core.pointee.isRecording { recording.waiting[thread] = place(access.fileID, access.line) }
    }

    func name(of object: ObjectID) -> String { describeObject?(object) ?? words.name(of: object) }

    private func requireExploration(_ index: Int) {
        precondition(index == Core.setup || index < Core.maximumThreads, "a scheduling point outside an exploration")
    }

    /// Objects that the thread has read since an event, unless it has also written since: then none.
    private func objectsRead(by index: Int, since start: Int32) -> [ObjectID] {
        var objects: [ObjectID] = []
        if core.pointee.threads[index].hasStored { return [] }
        var event = core.pointee.threads[index].steps == 0 ? -1 : core.pointee.threads[index].lastEvent
        while event >= start {
            let at = core.pointee.events.base[Int(event)]
            guard Int(at.thread) == index else { break }
            if at.wrote { return [] }
            if at.kind != .local {
                for object in [at.object]
                    + (0..<Int(at.furtherCount)).map({ core.pointee.further.base[Int(at.furtherStart) + $0] })
                where !objects.contains(ObjectID(object)) {
                    objects.append(ObjectID(object))
                }
            }
            event = at.previous
        }
        return objects
    }

    /// Whether another thread has written one of the objects after this thread last read it.
    private func hasChanged(_ objects: [ObjectID], for index: Int, since start: Int32) -> Bool {
        let partner = Int(core.pointee.threads[index].partner)
        var unread = objects
        var event = core.pointee.events.count - 1
        while event >= Int(start), !unread.isEmpty {
            let at = core.pointee.events.base[event]
            if at.kind == .global, Int(at.thread) != index { return true }
            for position in -1..<Int(at.furtherCount) {
                let object = ObjectID(
                    position < 0 ? at.object : core.pointee.further.base[Int(at.furtherStart) + position])
                guard at.kind != .local, let found = unread.firstIndex(of: object) else { continue }
                // Once its own store has been performed, a thread has not read what was there before.
                let isOwn = Int(at.thread) == index || Int(at.thread) == partner
                if isOwn { unread.remove(at: found) } else if at.wrote { return true }
            }
            event -= 1
        }
        return false
    }

    private func record(_ thread: Int, _ access: Access, _ label: String) {
        recording.add(thread, label, rule: access.rule, at: place(access.fileID, access.line))
    }

    /// Where the running fiber is, for a counterexample.
    func place(_ fileID: StaticString, _ line: UInt) -> Recording.Place {
        let place = SourcePlace(fileID: "\(fileID)", line: line)
        return transparentModules.contains(place.module) ? .stack(CallStack()) : .known(place)
    }

    @inline(never)
    func refuse() throws(Abandoned) -> Never {
        core.pointee.refusals += 1
        precondition(
            core.pointee.refusals < 1_000_000, "a thread goes on after Abandoned: let the error leave the thread's body"
        )
        throw Abandoned()
    }
}
