import CFiber

/// How an execution ended.
enum Ending {
    case complete
    case pruned
    /// Longer than the limit, and it did end once its threads were scheduled fairly.
    case truncated
    case violation(Violation)
}

extension Execution {
    /// Runs the program once, from set-up to unwinding, as the scheduler decides.
    ///
    /// After `limit` steps the scheduler is not asked any more: threads step in turn, and if that does not come to
    /// an end within as many steps again, the program is in a livelock.
    func runOnce<S: Scheduler & ~Copyable>(_ scheduler: inout S, limit: Int) -> Ending {
        reset()
        var ending = Ending.complete
        if advance(Core.setup, &scheduler, false), startFirstThreads(&scheduler) {
            loop: while !core.pointee.isStopping {
                let enabled = enabledThreads
                if enabled == 0 {
                    if core.pointee.pending & ~core.pointee.daemons != 0 { reportDeadlock() }
                    break
                }
                let taken = core.pointee.events.count
                let thread: Int
                if taken < limit {
                    switch scheduler.next(SchedulingPoint(core: core, enabled: enabled)) {
                    case .run(let chosen):
                        precondition(enabled & bit(chosen) != 0, "a scheduler must choose an enabled thread")
                        thread = chosen
                    case .prune:
                        ending = .pruned
                        break loop
                    case .diverged:
                        reportNondeterminism()
                        break loop
                    }
                } else {
                    ending = .truncated
                    if taken >= limit * 2 {
                        report(
                            .livelock,
                            "livelock: no end after \(taken) steps, the last \(taken - limit) of them scheduled fairly")
                        break
                    }
                    let previous = Int(core.pointee.events.base[taken - 1].thread)
                    let later = enabled & ~(bit(previous) &* 2 &- 1)
                    thread = first(later != 0 ? later : enabled)
                }
                guard take(thread, &scheduler, taken >= limit) else { break }
                if taken < limit, !core.pointee.isStopping {
                    scheduler.executed(taken, SchedulingPoint(core: core, enabled: enabled))
                }
            }
        }
        if violation == nil, !scheduler.ended(SchedulingPoint(core: core, enabled: 0)) { reportNondeterminism() }
        if case .pruned = ending {} else if violation == nil { check() }
        unwind()
        if let violation { ending = .violation(violation) }
        return ending
    }

    /// Threads at a step that need not wait and that no symmetric thread with a lower number stands for.
    private var enabledThreads: UInt64 {
        var enabled = core.pointee.pending & ~core.pointee.blocked & ~core.pointee.held
        var symmetric = enabled & core.pointee.grouped
        while symmetric != 0 {
            let thread = first(symmetric)
            symmetric &= symmetric &- 1
            let state = core.pointee.threads + thread
            var other = thread &- 1
            // A group's members have consecutive numbers.
            while other >= 0, core.pointee.threads[other].group == state.pointee.group {
                if core.pointee.pending & bit(other) != 0,
                    core.pointee.threads[other].steps == state.pointee.steps,
                    core.pointee.threads[other].history == state.pointee.history
                {
                    enabled &= ~bit(thread)
                    break
                }
                other &-= 1
            }
        }
        return enabled
    }

    /// Runs the threads of the set-up up to their first scheduling point. Their store buffers have the numbers after theirs.
    private func startFirstThreads<S: Scheduler & ~Copyable>(_ scheduler: inout S) -> Bool {
        if core.pointee.hasBuffers {
            for thread in 0..<core.pointee.threadCount { addBuffer(of: thread) }
        }
        return startThreads(&scheduler, false)
    }

    /// Runs new threads up to their first scheduling point.
    @inline(__always)
    private func startThreads<S: Scheduler & ~Copyable>(_ scheduler: inout S, _ isFair: Bool) -> Bool {
        while core.pointee.unstarted != 0, !core.pointee.isStopping {
            let thread = first(core.pointee.unstarted)
            core.pointee.unstarted &= ~bit(thread)
            guard advance(thread, &scheduler, isFair) else { return false }
        }
        return true
    }

    /// Takes the announced step of a thread and runs it up to its next scheduling point.
    @inline(__always)
    private func take<S: Scheduler & ~Copyable>(_ thread: Int, _ scheduler: inout S, _ isFair: Bool) -> Bool {
        let core = core
        let state = core.pointee.threads + thread
        let index = Int32(truncatingIfNeeded: core.pointee.events.count)
        let further = state.pointee.furtherCount
        core.pointee.events.append(
            Event(
                object: state.pointee.object, historyBefore: state.pointee.history, previous: state.pointee.lastEvent,
                ordinal: state.pointee.steps, furtherStart: Int32(truncatingIfNeeded: core.pointee.further.count),
                furtherCount: further, decision: Int32(truncatingIfNeeded: core.pointee.decisions.count),
                thread: UInt8(truncatingIfNeeded: thread), kind: state.pointee.kind, wrote: state.pointee.kind.writes))
        for position in 0..<Int(further) { core.pointee.further.append(state.pointee.further[position]) }
        core.pointee.decisions.append(Int32(truncatingIfNeeded: thread))
        core.pointee.pending &= ~bit(thread)
        core.pointee.fingerprint &-= state.pointee.fingerprint
        core.pointee.waiting &= ~bit(thread)
        state.pointee.lastEvent = index
        state.pointee.steps &+= 1
        state.pointee.hasUnreported = state.pointee.kind.looks
        if core.pointee.hasBuffers {
            core.pointee.links.append(BufferLinks())
            if core.pointee.buffers & bit(thread) != 0 {
                performStore(of: thread, Int(index))
                if core.pointee.waiting != 0, !core.pointee.isStopping { evaluateConditions(touchedBy: Int(index)) }
                return true
            }
            takeWithBuffer(thread, Int(index))
        }
        guard advance(thread, &scheduler, isFair), startThreads(&scheduler, isFair) else { return false }
        if core.pointee.waiting & ~bit(thread) != 0 { evaluateConditions(touchedBy: Int(index)) }
        return true
    }

    /// What a step of a thread that has a store buffer knows of it.
    @inline(never)
    private func takeWithBuffer(_ thread: Int, _ index: Int) {
        let core = core
        let state = core.pointee.threads + thread
        state.pointee.storesInStep = 0
        let awaited = state.pointee.awaited
        if awaited >= 0 {
            let store = core.pointee.stores.base[Int(awaited)]
            core.pointee.links.base[index].after = store.performed
            if Int(store.thread) == thread { state.pointee.drained = max(state.pointee.drained, awaited) }
        } else if state.pointee.kind == .read, state.pointee.furtherCount == 0 {
            let store = core.pointee.bufferedStore(to: state.pointee.object, by: thread)
            if store >= 0 {
                core.pointee.stores.base[Int(store)].reader = Int32(truncatingIfNeeded: index)
                core.pointee.events.base[index].isForwarded = true
            }
        }
    }

    /// Runs a thread until it announces a step or ends. False: the scheduler met another choice than in the execution it replays.
    @inline(__always)
    private func advance<S: Scheduler & ~Copyable>(_ thread: Int, _ scheduler: inout S, _ isFair: Bool) -> Bool {
        let core = core
        let state = core.pointee.threads + thread
        while true {
            core.pointee.current = thread
            interleaving_fiber_resume(state.pointee.fiber)
            core.pointee.current = Core.nobody
            switch state.pointee.request {
            case .step:
                core.pointee.pending |= bit(thread)
                core.pointee.announceFingerprint(thread)
                if core.pointee.hasBuffers, state.pointee.awaited >= 0,
                    core.pointee.stores.base[Int(state.pointee.awaited)].performed < 0
                {
                    core.pointee.held |= bit(thread)
                }
                if state.pointee.kind.waits {
                    core.pointee.waiting |= bit(thread)
                    setBlocked(thread, state.pointee.isBlocked)
                }
                if state.pointee.group >= 0 {
                    if state.pointee.hasUnreported {
                        // It may know something the others do not: no longer interchangeable.
                        state.pointee.history = mix(state.pointee.history, 0x756e ^ UInt64(thread))
                        state.pointee.hasUnreported = false
                    }
                    state.pointee.history = mix(
                        state.pointee.history, state.pointee.object &* 16 &+ UInt64(state.pointee.kind.rawValue))
                }
                return true
            case .choice:
                guard !core.pointee.isStopping else { break }
                let point = SchedulingPoint(core: core, enabled: 0)
                guard let chosen = isFair ? 0 : scheduler.choose(state.pointee.choice, point) else {
                    reportNondeterminism()
                    return false
                }
                precondition(chosen >= 0 && chosen < state.pointee.choice, "a scheduler must choose an alternative")
                state.pointee.choice = chosen
                core.pointee.decisions.append(-1 - Int32(truncatingIfNeeded: chosen))
            case .finished, .evaluation, .supposition:
                return true
            }
        }
    }

    @inline(__always)
    private func setBlocked(_ thread: Int, _ isBlocked: Bool) {
        if isBlocked { core.pointee.blocked |= bit(thread) } else { core.pointee.blocked &= ~bit(thread) }
    }

    /// Asks threads that wait on what a step has written whether they may go on.
    @inline(never)
    private func evaluateConditions(touchedBy index: Int) {
        let core = core
        let event = core.pointee.events.base[index]
        guard event.wrote else { return }
        var waiting = core.pointee.waiting
        while waiting != 0 {
            let thread = first(waiting)
            waiting &= waiting &- 1
            guard Int(event.thread) != thread, core.pointee.sharesObject(event, thread) else { continue }
            let state = core.pointee.threads + thread
            core.ask(thread, .evaluation)
            setBlocked(thread, state.pointee.isBlocked)
        }
    }

    private func reset() {
        core.pointee.threadCount = 0
        core.pointee.isStopping = false
        core.pointee.isChecking = false
        core.pointee.refusals = 0
        core.pointee.unstarted = 0
        core.pointee.pending = 0
        core.pointee.waiting = 0
        core.pointee.blocked = 0
        core.pointee.daemons = 0
        core.pointee.grouped = 0
        core.pointee.buffers = 0
        core.pointee.held = 0
        core.pointee.fingerprint = 0
        core.pointee.groups = 0
        core.pointee.objects = 0
        core.pointee.events.removeAll()
        core.pointee.further.removeAll()
        core.pointee.decisions.removeAll()
        core.pointee.stores.removeAll()
        core.pointee.links.removeAll()
        violation = nil
        words.removeAll()
        resources.removeAll()
        if core.pointee.isRecording { recording.removeAll() }
    }

    /// Final checks, on the set-up's fiber so that they end like threads do, then leaks.
    private func check() {
        if !checks.isEmpty {
            core.pointee.isChecking = true
            core.pointee.current = Core.setup
            interleaving_fiber_resume(core.pointee.threads[Core.setup].fiber)
            core.pointee.current = Core.nobody
            if core.pointee.threads[Core.setup].request == .choice {
                preconditionFailure("a final check cannot choose")
            }
        }
        if violation == nil, let leak = resources.leak { report(.leak, leak) }
    }

    /// Makes every thread that is in the middle of something throw until its body has ended.
    private func unwind() {
        core.pointee.isStopping = true
        if core.pointee.isRecording {
            recording.setThreads((0..<core.pointee.threadCount).map(name(of:)), hiding: core.pointee.buffers)
        }
        for thread in 0..<core.pointee.threadCount where core.pointee.unstarted & bit(thread) == 0 { unwind(thread) }
        unwind(Core.setup)
        bodies.removeAll(keepingCapacity: true)
        names.removeAll(keepingCapacity: true)
        checks.removeAll(keepingCapacity: true)
        describeObject = nil
        performStore = nil
    }

    private func unwind(_ thread: Int) {
        let state = core.pointee.threads + thread
        guard state.pointee.request != .finished else { return }
        core.pointee.current = thread
        repeat {
            interleaving_fiber_resume(state.pointee.fiber)
        } while state.pointee.request != .finished
        core.pointee.current = Core.nobody
    }

    /// The bottom of every fiber.
    func run(_ thread: Int) {
        do {
            if thread != Core.setup {
                try bodies[thread]?()
            } else if !core.pointee.isChecking {
                try program?(self)
            } else {
                for check in checks { try check() }
            }
        } catch is Abandoned {
        } catch {
            report(.error, "\(thread == Core.setup ? "set-up or a final check" : name(of: thread)) threw \(error)")
        }
        core.pointee.threads[thread].request = .finished
    }

    func name(of thread: Int) -> String {
        if thread < names.count, let name = names[thread] {
            return core.pointee.threads[thread].group >= 0 ? "\(name) \(thread)" : name
        }
        return "thread \(thread)"
    }

    private func reportNondeterminism() {
        report(
            .nondeterminism,
            "nondeterminism: the same schedule led to another step than before; something outside the execution decides what the program does"
        )
    }

    private func reportDeadlock() {
        var stuck: [String] = []
        var isPausing = false
        for thread in 0..<core.pointee.threadCount where core.pointee.pending & ~core.pointee.daemons & bit(thread) != 0
        {
            let state = core.pointee.threads[thread]
            isPausing = isPausing || state.kind == .pause
            let source = recording.waiting[thread].flatMap { recording.source(of: $0, past: transparentModules) }
            let place = source.map { " (\($0))" } ?? ""
            let verb = state.kind == .pause ? "spins" : "waits"
            stuck.append("\(name(of: thread)) \(verb) on \(name(of: ObjectID(state.object)))\(place)")
        }
        let text = stuck.joined(separator: ", ")
        if isPausing {
            report(.livelock, "livelock: nobody is left to change what is spun on: \(text)")
        } else {
            report(.deadlock, "deadlock: \(text)")
        }
    }
}

extension UnsafeMutablePointer where Pointee == Core {
    /// Resumes a waiting fiber to have it evaluate its condition.
    func ask(_ thread: Int, _ request: Request) {
        let state = pointee.threads + thread
        state.pointee.request = request
        pointee.current = thread
        interleaving_fiber_resume(state.pointee.fiber)
        pointee.current = Core.nobody
        state.pointee.request = .step
    }
}

extension Core {
    /// Adds the announced step of a thread to the digest of all.
    @inline(__always)
    mutating func announceFingerprint(_ thread: Int) {
        let state = threads + thread
        let announced =
            (state.pointee.object &* 0x9e37_79b9_7f4a_7c15)
            ^ ((UInt64(truncatingIfNeeded: thread) &* 16 &+ UInt64(state.pointee.kind.rawValue))
                &* 0xbf58_476d_1ce4_e5b9)
        state.pointee.fingerprint = announced &* 0x94d0_49bb_1331_11eb
        fingerprint &+= state.pointee.fingerprint
    }

    /// Whether the announced step of a thread and an event have an object in common.
    @inline(__always)
    func sharesObject(_ event: Event, _ thread: Int) -> Bool {
        let state = threads + thread
        if event.kind == .global || state.pointee.kind == .global { return true }
        if !event.isShared || state.pointee.kind == .local { return false }
        if event.object == state.pointee.object { return true }
        if event.furtherCount == 0 && state.pointee.furtherCount == 0 { return false }
        return sharesFurtherObject(event, thread)
    }

    /// Whether an event accesses an object.
    @inline(__always)
    func touches(_ event: Event, _ object: UInt64) -> Bool {
        if event.kind == .global || (event.object == object && event.kind != .local) { return true }
        return (0..<Int(event.furtherCount)).contains { further.base[Int(event.furtherStart) &+ $0] == object }
    }

    @inline(never)
    private func sharesFurtherObject(_ event: Event, _ thread: Int) -> Bool {
        let state = threads + thread
        for left in -1..<Int(event.furtherCount) {
            let object = left < 0 ? event.object : further.base[Int(event.furtherStart) + left]
            for right in -1..<Int(state.pointee.furtherCount)
            where object == (right < 0 ? state.pointee.object : state.pointee.further[right]) {
                return true
            }
        }
        return false
    }
}
