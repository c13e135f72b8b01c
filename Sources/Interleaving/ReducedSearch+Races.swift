extension ReducedSearch {
    /// Sleeping threads whose next step depends on an event: exploring it after the event is something new.
    @inline(__always)
    func wakes(_ core: UnsafeMutablePointer<Core>, _ index: Int, _ sleep: UInt64, _ wrote: UInt64) -> UInt64 {
        let event = core.pointee.events.base[index]
        var rest = event.wrote ? sleep : sleep & wrote
        var woken: UInt64 = 0
        while rest != 0 {
            let thread = first(rest)
            rest &= rest &- 1
            if core.pointee.sharesObject(event, thread), !isIndifferent(thread, to: event, core) {
                woken |= bit(thread)
            }
        }
        return woken
    }

    /// Whether store buffers make the announced step of a thread independent of an event on the same object.
    @inline(__always)
    private func isIndifferent(_ thread: Int, to event: Event, _ core: UnsafeMutablePointer<Core>) -> Bool {
        guard core.pointee.hasBuffers else { return false }
        let state = core.pointee.threads + thread
        return state.pointee.partner == Int32(event.thread)
            || (state.pointee.kind == .read && state.pointee.furtherCount == 0 && event.kind != .global
                && core.pointee.bufferedStore(to: state.pointee.object, by: thread) >= 0)
    }

    /// Looks for races between a new event and those before it.
    @inline(__always)
    mutating func findRaces(_ index: Int, _ event: Event, _ core: UnsafeMutablePointer<Core>) {
        let thread = Int(event.thread)
        let previous = Int(event.previous)
        let after = core.pointee.hasBuffers ? Int(core.pointee.links.base[index].after) : -1
        for position in 0..<order.conflictCount {
            let earlier = Int(order.conflicts[position])
            let other = Int(core.pointee.events.base[earlier].thread)
            if other == thread || (previous >= 0 && order.happens(earlier, of: other, before: previous)) { continue }
            if after >= 0, order.happens(earlier, of: other, before: after) { continue }
            var isDirect = true
            for between in 0..<order.predecessorCount {
                let predecessor = Int(order.conflicts[between])
                if predecessor != earlier, order.happens(earlier, of: other, before: predecessor) {
                    isDirect = false
                    break
                }
            }
            if isDirect { reverse(earlier, other, index, thread, core) }
        }
    }

    /// Makes sure that the order of a race's two events is also explored the other way round.
    ///
    /// `v` is what follows `earlier` without depending on it, then `later`. One of the threads that can begin `v` must be tried
    /// where `earlier` was. `later` may be one past the last event: a step that its thread waits to take.
    @inline(never)
    private mutating func reverse(
        _ earlier: Int, _ earlierThread: Int, _ later: Int, _ laterThread: Int, _ core: UnsafeMutablePointer<Core>
    ) {
        let events = core.pointee.events.base
        let node = nodes.base + Int(events[earlier].decision)
        let covered = node.pointee.backtrack | node.pointee.sleep
        var present: UInt64 = 0
        var initials: UInt64 = 0
        for index in earlier &+ 1..<later {
            if order.happens(earlier, of: earlierThread, before: index) { continue }
            let thread = Int(events[index].thread)
            if present & bit(thread) != 0 { continue }
            if isInitial(index, present) {
                if covered & bit(thread) != 0 { return }
                initials |= bit(thread)
            }
            present |= bit(thread)
            firstOfThread[thread] = Int32(truncatingIfNeeded: index)
        }
        if present & bit(laterThread) == 0 {
            // No step that waits conflicts with one in `v`: those that do are ordered with `earlier`.
            let isTaken = later < core.pointee.events.count
            let arrival = Int(core.pointee.threads[laterThread].lastEvent)
            if !isTaken, mustBeHeld(laterThread, node, present, core) {
                // Its store buffer comes first.
                if initials == 0 { node.pointee.backtrack |= node.pointee.enabled }
            } else if isTaken ? isInitial(later, present) : (arrival < 0 || isInitial(arrival, present)) {
                // It could not be taken where `earlier` was, and nothing in `v` changes that.
                if node.pointee.enabled & bit(laterThread) == 0 || covered & bit(laterThread) != 0 { return }
                initials |= bit(laterThread)
            }
        }
        add(initials, preferring: laterThread, to: node)
    }

    /// Whether a thread waits for stores that are performed by what follows a node (`present`) or not at all.
    @inline(__always)
    private func mustBeHeld(
        _ thread: Int, _ node: UnsafeMutablePointer<Node>, _ present: UInt64, _ core: UnsafeMutablePointer<Core>
    ) -> Bool {
        let awaited = core.pointee.threads[thread].awaited
        guard awaited >= 0 else { return false }
        let store = core.pointee.stores.base[Int(awaited)]
        let buffer = core.pointee.threads[Int(store.thread)].partner
        return store.performed < 0
            || (present & bit(Int(buffer)) != 0 && firstOfThread[Int(buffer)] <= store.performed)
    }

    /// Races of a step that waits on one object with writes of it while the thread waits, and could have gone on.
    ///
    /// - Parameter later: the step's index, or one past the last event if it has not been taken.
    @inline(never)
    mutating func findRacesOfWait(_ waiter: Int, _ later: Int, _ core: UnsafeMutablePointer<Core>) {
        let events = core.pointee.events.base
        let state = core.pointee.threads + waiter
        let isTaken = later < core.pointee.events.count
        let object = isTaken ? events[later].object : state.pointee.object
        let kind = isTaken ? events[later].kind : state.pointee.kind
        let arrival = Int(isTaken ? events[later].previous : state.pointee.lastEvent)
        for earlier in arrival &+ 1..<later {
            let event = events[earlier]
            guard event.wrote, event.kind.mayDisable(kind), core.pointee.touches(event, object),
                Int32(event.thread) != state.pointee.partner
            else { continue }
            reverse(earlier, Int(event.thread), later, waiter, core)
        }
    }

    /// Races of a step that waits on one object, when its thread comes to it: with every earlier write of the object that
    /// is not ordered before that, if the thread could have gone on before the write.
    @inline(never)
    private mutating func findEarlierRacesOfWait(_ waiter: Int, _ arrival: Int, _ core: UnsafeMutablePointer<Core>) {
        let events = core.pointee.events.base
        let state = core.pointee.threads + waiter
        var earlier = arrival
        while earlier > 0 {
            earlier &-= 1
            let event = events[earlier]
            guard event.wrote, core.pointee.touches(event, state.pointee.object),
                Int32(event.thread) != state.pointee.partner
            else { continue }
            // Writes of one object are in order: those before are ordered before the arrival too.
            if order.happens(earlier, of: Int(event.thread), before: arrival) { return }
            guard event.kind.mayDisable(state.pointee.kind) else { continue }
            if event.hasBefore, event.object == state.pointee.object, event.furtherCount == 0 {
                state.pointee.choice = Int(Int64(bitPattern: event.before))
                core.ask(waiter, .supposition)
                if state.pointee.choice == 0 { continue }
            }
            reverse(earlier, Int(event.thread), core.pointee.events.count, waiter, core)
        }
    }

    @inline(__always)
    func waitsForSeveral(_ thread: Int, _ core: UnsafeMutablePointer<Core>) -> Bool {
        core.pointee.threads[thread].furtherCount > 0 && core.pointee.threads[thread].kind != .pause
    }

    /// Threads that wait for several objects, one of which a step wrote.
    @inline(__always)
    func tryWaitersOfSeveral(_ event: Event, _ node: UnsafeMutablePointer<Node>, _ core: UnsafeMutablePointer<Core>) {
        var waiting = core.pointee.waiting & ~bit(Int(event.thread))
        while waiting != 0 {
            let other = first(waiting)
            waiting &= waiting &- 1
            guard waitsForSeveral(other, core), event.kind.mayDisable(core.pointee.threads[other].kind),
                core.pointee.sharesObject(event, other)
            else { continue }
            node.pointee.backtrack |= node.pointee.enabled & bit(other) != 0 ? bit(other) : node.pointee.enabled
        }
    }

    /// Races of a step that waits on several objects, when its thread has come to it with its last event `index`: with every earlier step that may have
    /// disabled it and that is not ordered before the thread's coming here.
    @inline(never)
    mutating func findRacesOfArrival(_ arrived: Int, _ index: Int, _ core: UnsafeMutablePointer<Core>) {
        if !waitsForSeveral(arrived, core) { return findEarlierRacesOfWait(arrived, index, core) }
        let events = core.pointee.events.base
        let state = core.pointee.threads + arrived
        var earlier = index
        while earlier > 0 {
            earlier &-= 1
            let event = events[earlier]
            guard event.wrote, Int(event.thread) != arrived, core.pointee.sharesObject(event, arrived) else { continue }
            if order.happens(earlier, of: Int(event.thread), before: index) {
                continue
            }
            guard event.kind.mayDisable(state.pointee.kind) else { continue }
            let node = nodes.base + Int(event.decision)
            let covered = node.pointee.backtrack | node.pointee.sleep
            var present: UInt64 = 0
            var initials: UInt64 = 0
            for between in earlier &+ 1...index {
                let thread = Int(events[between].thread)
                guard order.happens(between, of: thread, before: index), present & bit(thread) == 0 else { continue }
                if isInitial(between, present) { initials |= bit(thread) }
                present |= bit(thread)
                firstOfThread[thread] = Int32(truncatingIfNeeded: between)
            }
            if initials & covered == 0 { add(initials, preferring: arrived, to: node) }
        }
    }

    /// Whether no event of `v` happens before this one, the first of its thread in `v`.
    @inline(__always)
    private func isInitial(_ index: Int, _ present: UInt64) -> Bool {
        let clock = order.clock(index)
        var others = present
        while others != 0 {
            let other = first(others)
            others &= others &- 1
            if clock[other] > firstOfThread[other] { return false }
        }
        return true
    }

    @inline(__always)
    private func add(_ initials: UInt64, preferring thread: Int, to node: UnsafeMutablePointer<Node>) {
        let possible = initials & node.pointee.enabled
        if possible & bit(thread) != 0 {
            node.pointee.backtrack |= bit(thread)
        } else if possible != 0 {
            node.pointee.backtrack |= possible & (0 &- possible)
        } else {
            // Cannot be; trying everything is never wrong.
            node.pointee.backtrack |= node.pointee.enabled
        }
    }
}
