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
            if core.pointee.sharesObject(event, thread) { woken |= bit(thread) }
        }
        return woken
    }

    /// Looks for races between a new event and those before it.
    @inline(__always)
    mutating func findRaces(_ index: Int, _ event: Event, _ core: UnsafeMutablePointer<Core>) {
        let thread = Int(event.thread)
        let previous = Int(event.previous)
        for position in 0..<order.conflictCount {
            let earlier = Int(order.conflicts[position])
            let other = Int(core.pointee.events.base[earlier].thread)
            if other == thread || (previous >= 0 && order.happens(earlier, of: other, before: previous)) { continue }
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
    /// where `earlier` was.
    @inline(never)
    private mutating func reverse(
        _ earlier: Int, _ earlierThread: Int, _ later: Int, _ laterThread: Int, _ core: UnsafeMutablePointer<Core>
    ) {
        let events = core.pointee.events.base
        let node = nodes.base + Int(core.pointee.events.base[earlier].decision)
        let covered = node.pointee.backtrack | node.pointee.sleep
        var present: UInt64 = 0
        var initials: UInt64 = 0
        for index in earlier &+ 1...later {
            if index != later, order.happens(earlier, of: earlierThread, before: index) { continue }
            let thread = Int(events[index].thread)
            if present & bit(thread) != 0 { continue }
            if isInitial(index, present) {
                // The later step comes first, and could not be taken there: nothing that `v` holds would change that.
                if index == later, node.pointee.enabled & bit(thread) == 0 { return }
                initials |= bit(thread)
                if covered & bit(thread) != 0 { return }
            }
            present |= bit(thread)
            firstOfThread[thread] = Int32(truncatingIfNeeded: index)
        }
        add(initials, preferring: laterThread, to: node)
    }

    /// Races of a step that waits, when its thread has come to it with its last event `index`: with every earlier step that may have
    /// disabled it and that is not ordered before the thread's coming here.
    @inline(never)
    mutating func findRacesOfArrival(_ arrived: Int, _ index: Int, _ core: UnsafeMutablePointer<Core>) {
        let events = core.pointee.events.base
        let state = core.pointee.threads + arrived
        var earlier = index
        while earlier > 0 {
            earlier &-= 1
            let event = events[earlier]
            guard event.wrote, Int(event.thread) != arrived, core.pointee.sharesObject(event, arrived) else { continue }
            if order.happens(earlier, of: Int(event.thread), before: index) {
                // Writes of one object are in order: those before are ordered before the arrival too.
                if state.pointee.furtherCount == 0, event.furtherCount == 0 { return }
                continue
            }
            guard event.kind.mayBeEnabled(with: state.pointee.kind) else { continue }
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
