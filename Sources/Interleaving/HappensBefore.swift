/// Which events of an execution happen before which: program order, conflicts, spawning, and the order imposed on symmetric
/// threads, transitively.
///
/// Each event has a vector clock: entry t is one more than the index of thread t's last event that happens before it or is it.
/// Each object remembers its last write and the reads since; that is enough to find an event's direct predecessors.
struct HappensBefore: ~Copyable {
    private typealias Chunk = SIMD8<Int32>

    private struct Object: BitwiseCopyable {
        var key: UInt64
        /// Threads that have read since the last write.
        var readers: UInt64
        var lastWrite: Int32
        /// The execution that the rest is about.
        var stamp: UInt32
    }

    // Entries per event and per object: the number of threads, rounded up.
    private(set) var stride = 8
    private var clocks = RawArray<Int32>(capacity: 256 * 8)
    private var table: UnsafeMutablePointer<Object>
    private var reads: UnsafeMutablePointer<Int32>
    private var log2Slots: UInt64 = 6
    private var used = 0
    private var stamp: UInt32 = 0
    private var lastGlobal: Int32 = -1
    /// The last event of each thread, for steps that depend on everything.
    private let lastOfThread: UnsafeMutablePointer<Int32>
    private var threads: UInt64 = 0

    /// Direct predecessors of the event that was added last, in conflict with it, then those that just come before it.
    let conflicts: UnsafeMutablePointer<Int32>
    private(set) var conflictCount = 0
    private(set) var predecessorCount = 0

    init() {
        table = .allocate(capacity: 64)
        table.initialize(repeating: Object(key: 0, readers: 0, lastWrite: -1, stamp: 0), count: 64)
        reads = .allocate(capacity: 64 * 8)
        lastOfThread = .allocate(capacity: Core.maximumThreads)
        // An event with several objects may conflict with one event per thread and object.
        conflicts = .allocate(capacity: Self.maximumConflicts)
    }

    private static var maximumConflicts: Int { 1024 }

    deinit {
        table.deallocate()
        reads.deallocate()
        lastOfThread.deallocate()
        conflicts.deallocate()
    }

    mutating func beginExecution() {
        stamp &+= 1
        used = 0
        lastGlobal = -1
        threads = 0
        if stamp == 0 {
            for slot in 0..<1 << Int(log2Slots) { table[slot].stamp = 0 }
            stamp = 1
        }
    }

    @inline(__always)
    func clock(_ event: Int) -> UnsafeMutablePointer<Int32> { clocks.base + event &* stride }

    /// Whether `earlier`, an event of `thread`, happens before `event` or is it.
    @inline(__always)
    func happens(_ earlier: Int, of thread: Int, before event: Int) -> Bool {
        Int(clock(event)[thread]) > earlier
    }

    /// Adds an event. With `fresh` its clock is computed and `conflicts` are found; an event that is repeated
    /// from the previous execution has its clock already.
    @inline(__always)
    mutating func add(_ index: Int, _ core: UnsafeMutablePointer<Core>, fresh: Bool) {
        if core.pointee.threadCount > stride { widen(to: core.pointee.threadCount, keeping: index) }
        let event = core.pointee.events.base[index]
        let thread = Int(event.thread)
        conflictCount = 0
        if fresh {
            clocks.reserve((index &+ 1) &* stride)
        }
        if event.isShared {
            if event.kind != .global {
                touch(event.object, index, thread, event.wrote, fresh)
                for position in 0..<Int(event.furtherCount) {
                    touch(
                        core.pointee.further.base[Int(event.furtherStart) &+ position], index, thread, event.wrote,
                        fresh)
                }
                if fresh, lastGlobal >= 0 { addConflict(lastGlobal) }
            } else {
                var others = threads
                while fresh, others != 0 {
                    addConflict(lastOfThread[first(others)])
                    others &= others &- 1
                }
                lastGlobal = Int32(truncatingIfNeeded: index)
            }
            threads |= bit(thread)
            lastOfThread[thread] = Int32(truncatingIfNeeded: index)
        }
        if core.pointee.hasBuffers { return addWithBuffers(index, event, core, fresh: fresh) }
        guard fresh else { return }
        predecessorCount = conflictCount
        if core.pointee.threads[thread].group >= 0 { addSymmetricPredecessors(index, event, core) }
        join(index, thread, Int(event.previous))
    }

    /// The rest of adding an event, where there are store buffers.
    @inline(never)
    private mutating func addWithBuffers(
        _ index: Int, _ event: Event, _ core: UnsafeMutablePointer<Core>, fresh: Bool
    ) {
        let thread = Int(event.thread)
        let links = core.pointee.links.base[index]
        if links.reader >= 0 {
            // The load that the buffer answered, as the first one after the store that is performed now.
            let slot = find(event.object)
            let reader = Int(core.pointee.events.base[Int(links.reader)].thread)
            table[slot].readers |= bit(reader)
            reads[slot &* stride &+ reader] = links.reader
        }
        guard fresh else { return }
        // A thread and its store buffer quarrel about nothing: which of the two comes first is either given or without
        // consequence.
        let partner = core.pointee.threads[thread].partner
        predecessorCount = 0
        for position in 0..<conflictCount
        where Int32(core.pointee.events.base[Int(conflicts[position])].thread) != partner {
            conflicts[predecessorCount] = conflicts[position]
            predecessorCount &+= 1
        }
        conflictCount = predecessorCount
        if links.after >= 0 {
            conflicts[predecessorCount] = links.after
            predecessorCount &+= 1
        }
        if core.pointee.threads[thread].group >= 0 { addSymmetricPredecessors(index, event, core) }
        join(index, thread, Int(event.previous))
    }

    @inline(__always)
    private mutating func addConflict(_ event: Int32) {
        precondition(conflictCount < Self.maximumConflicts - Core.maximumThreads, "a step has too many objects")
        conflicts[conflictCount] = event
        conflictCount &+= 1
    }

    /// Records an access of an object and collects the events it depends on directly.
    @inline(__always)
    private mutating func touch(_ key: UInt64, _ index: Int, _ thread: Int, _ writes: Bool, _ fresh: Bool) {
        let slot = find(key)
        let object = table + slot
        let reads = reads + slot &* stride
        if fresh {
            if object.pointee.lastWrite >= 0, Int(object.pointee.lastWrite) != index {
                addConflict(object.pointee.lastWrite)
            }
            if writes {
                var readers = object.pointee.readers & ~bit(thread)
                while readers != 0 {
                    addConflict(reads[first(readers)])
                    readers &= readers &- 1
                }
            }
        }
        if writes {
            object.pointee.lastWrite = Int32(truncatingIfNeeded: index)
            object.pointee.readers = 0
        } else {
            object.pointee.readers |= bit(thread)
            reads[thread] = Int32(truncatingIfNeeded: index)
        }
    }

    /// While two symmetric threads have seen the same, the higher one's step comes after the lower one's.
    @inline(never)
    private mutating func addSymmetricPredecessors(_ index: Int, _ event: Event, _ core: UnsafeMutablePointer<Core>) {
        var other = Int(event.thread) &- 1
        let group = core.pointee.threads[Int(event.thread)].group
        while other >= 0, core.pointee.threads[other].group == group {
            var candidate = core.pointee.threads[other].steps > 0 ? core.pointee.threads[other].lastEvent : -1
            while candidate >= 0 {
                let found = core.pointee.events.base[Int(candidate)]
                if Int(found.thread) != other || found.ordinal < event.ordinal { break }
                if found.ordinal == event.ordinal {
                    if found.historyBefore == event.historyBefore, Int(candidate) < index {
                        conflicts[predecessorCount] = candidate
                        predecessorCount &+= 1
                    }
                    break
                }
                candidate = found.previous
            }
            other &-= 1
        }
    }

    @inline(__always)
    private mutating func join(_ index: Int, _ thread: Int, _ previous: Int) {
        let chunks = stride &>> 3
        let own = UnsafeMutableRawPointer(clock(index)).assumingMemoryBound(to: Chunk.self)
        for chunk in 0..<chunks {
            var joined =
                previous >= 0
                ? UnsafeMutableRawPointer(clock(previous)).assumingMemoryBound(to: Chunk.self)[chunk]
                : Chunk(repeating: 0)
            for predecessor in 0..<predecessorCount {
                let other = UnsafeMutableRawPointer(clock(Int(conflicts[predecessor]))).assumingMemoryBound(
                    to: Chunk.self)[chunk]
                joined = joined.replacing(with: other, where: other .> joined)
            }
            own[chunk] = joined
        }
        clock(index)[thread] = Int32(truncatingIfNeeded: index &+ 1)
    }

    // MARK: Objects

    @inline(__always)
    private mutating func find(_ key: UInt64) -> Int {
        let mask = (1 &<< Int(log2Slots)) &- 1
        var slot = Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) &>> (64 &- log2Slots))
        while table[slot].stamp == stamp {
            if table[slot].key == key { return slot }
            slot = (slot &+ 1) & mask
        }
        table[slot] = Object(key: key, readers: 0, lastWrite: -1, stamp: stamp)
        used &+= 1
        if used &* 2 > mask {
            rehash()
            return find(key)
        }
        return slot
    }

    @inline(never)
    private mutating func rehash() {
        let (oldTable, oldReads, oldSlots) = (table, reads, 1 << Int(log2Slots))
        log2Slots += 1
        let slots = 1 << Int(log2Slots)
        table = .allocate(capacity: slots)
        table.initialize(repeating: Object(key: 0, readers: 0, lastWrite: -1, stamp: stamp &- 1), count: slots)
        reads = .allocate(capacity: slots * stride)
        for slot in 0..<oldSlots where oldTable[slot].stamp == stamp {
            var new = Int(truncatingIfNeeded: (oldTable[slot].key &* 0x9e37_79b9_7f4a_7c15) &>> (64 &- log2Slots))
            while table[new].stamp == stamp { new = (new + 1) & (slots - 1) }
            table[new] = oldTable[slot]
            (reads + new * stride).update(from: oldReads + slot * stride, count: stride)
        }
        oldTable.deallocate()
        oldReads.deallocate()
    }

    /// More threads than clocks have entries for.
    @inline(never)
    private mutating func widen(to threads: Int, keeping events: Int) {
        let wide = (threads + 7) & ~7
        let old = stride
        var wider = RawArray<Int32>(capacity: (events + 256) * wide)
        wider.reserve(events * wide)
        for event in 0..<events {
            (wider.base + event * wide).initialize(repeating: 0, count: wide)
            (wider.base + event * wide).update(from: clocks.base + event * old, count: old)
        }
        clocks = wider
        let slots = 1 << Int(log2Slots)
        let widerReads = UnsafeMutablePointer<Int32>.allocate(capacity: slots * wide)
        for slot in 0..<slots { (widerReads + slot * wide).update(from: reads + slot * old, count: old) }
        reads.deallocate()
        reads = widerReads
        stride = wide
    }
}
