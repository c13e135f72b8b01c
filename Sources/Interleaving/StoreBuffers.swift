// Total store order.
//
//   - A store goes into the buffer of its thread. Nobody can see that, so it is no step: it belongs to the thread's last one.
//   - That the oldest store of a buffer is performed is a step, of a thread of its own that only does this. It is a write of the
//     word, and dependent on what other threads do to the word.
//   - A load is answered from the newest store to the word in the thread's own buffer, or else from memory.
//   - What orders (a read-modify-write, a fence, a lock) can be taken only when the buffer is empty.
//
// Of a thread's load and the performing of the thread's own store to the same word it makes no difference which comes first, as
// the load has the same value, and neither does it whether another thread's store is performed before or after a load
// that is answered from the buffer. Such pairs are independent (P. A. Abdulla, S. Aronis, M. F. Atig, B. Jonsson, C. Leonardsson,
// K. Sagonas: Stateless model checking for TSO and PSO, TACAS 2015). A load that was answered from the buffer comes
// before whatever is stored to the word after the store that it saw: it counts as a reader from when that one is performed.

/// A store of a thread that has a buffer, for as long as the execution lasts.
struct BufferedStore: BitwiseCopyable {
    var access: Access
    var value: UInt64
    /// The place in `WordStore`, or -1: memory of the program's own.
    var word: Int
    var thread: Int32
    /// The thread's last event when it stored.
    var origin: Int32
    /// The event that performed it; -1: it is still in the buffer.
    var performed: Int32 = -1
    /// The last event that was a load answered from here.
    var reader: Int32 = -1
    /// The thread's stores before and after.
    var previous: Int32
    var next: Int32 = -1
}

/// A store that somebody may wait for: ``Execution/waitUntilPerformed(_:_:fileID:line:)``.
public struct StoreMark: Hashable, Sendable {
    let store: Int32
}

/// What performing a store came to, in memory of the program's own.
public enum StoreOutcome: Sendable {
    /// It replaced this value.
    case replaced(UInt64)
    /// It must not be: the property that does not hold.
    case violation(String)
}

extension Core {
    /// The newest store to an object in the buffer of a thread, or -1.
    @inline(never)
    func bufferedStore(to object: UInt64, by thread: Int) -> Int32 {
        var store = threads[thread].newestStore
        while store >= 0 {
            let found = stores.base + Int(store)
            if found.pointee.performed >= 0 { return -1 }
            if found.pointee.access.object.rawValue == object { return store }
            store = found.pointee.previous
        }
        return -1
    }

    /// The newest store to an object by a thread since its buffer was last known to be empty, performed or not; or -1.
    func storeSinceDraining(to object: UInt64, by thread: Int) -> Int32 {
        var store = threads[thread].newestStore
        while store > threads[thread].drained {
            let found = stores.base + Int(store)
            if found.pointee.access.object.rawValue == object { return store }
            store = found.pointee.previous
        }
        return -1
    }

    /// Makes the oldest store of a buffer the step that the buffer is at.
    mutating func announceOldest(of buffer: Int) {
        let state = threads + buffer
        let store = stores.base + Int(state.pointee.oldestStore)
        state.pointee.kind = .write
        state.pointee.object = store.pointee.access.object.rawValue
        state.pointee.furtherCount = 0
        state.pointee.isBlocked = false
        pending |= bit(buffer)
        announceFingerprint(buffer)
    }

    /// Threads that wait for stores may go on when those are performed.
    mutating func releaseHeld() {
        var rest = held
        while rest != 0 {
            let thread = first(rest)
            rest &= rest &- 1
            if stores.base[Int(threads[thread].awaited)].performed >= 0 { held &= ~bit(thread) }
        }
    }
}

extension Execution {
    /// The model in which this execution's words are read and written.
    public var model: MemoryModel { core.pointee.hasBuffers ? .totalStoreOrder : .sequential }

    /// Whether stores of the running code go into a buffer: a thread runs, under total store order.
    @inline(__always)
    public var buffersStores: Bool { core.pointee.hasBuffers && core.pointee.current < Core.maximumThreads }

    /// Puts a store into the running thread's buffer; ``performStore`` is called when it is performed. Only if ``buffersStores``.
    ///
    /// - Parameter observer: an object whose readers must not miss that the buffer holds the store: this is a step then, which
    ///   writes that object. Whoever waits for a buffer to be empty reads it first.
    public func buffer(
        _ value: UInt64, _ access: Access, observedBy observer: ObjectID? = nil, _ label: @autoclosure () -> String
    ) throws(Abandoned) {
        if core.pointee.isStopping { try refuse() }
        if let observer, buffersStores {
            let observed = Access(.write, observer, drainsStores: false, fileID: access.fileID, line: access.line)
            try step(observed, also: [], awaiting: -1, isRecorded: false, "")
        }
        try buffer(value, access, word: -1, label())
    }

    func buffer(
        _ value: UInt64, _ access: Access, word: Int, _ label: @autoclosure () -> String
    ) throws(Abandoned) {
        let core = core
        if core.pointee.isStopping { try refuse() }
        let index = core.pointee.current
        precondition(buffersStores, "only a thread under total store order has a store buffer")
        let thread = core.pointee.threads + index
        thread.pointee.storesInStep &+= 1
        if thread.pointee.storesInStep > Self.maximumStoresInStep {
            // A loop that only stores must come back some time.
            try step(Access(.local, access.object, fileID: access.fileID, line: access.line), "goes on")
        }
        if thread.pointee.newestStore < 0 {
            // A thread with a store buffer is no longer interchangeable.
            thread.pointee.history = mix(thread.pointee.history, 0x62 ^ UInt64(index))
        }
        if thread.pointee.partner < 0 { addBuffer(of: index) }
        let store = Int32(truncatingIfNeeded: core.pointee.stores.count)
        let previous = thread.pointee.newestStore
        core.pointee.stores.append(
            BufferedStore(
                access: access, value: value, word: word, thread: Int32(truncatingIfNeeded: index),
                origin: thread.pointee.lastEvent, previous: previous))
        if previous >= 0 { core.pointee.stores.base[Int(previous)].next = store }
        thread.pointee.newestStore = store
        thread.pointee.hasStored = true
        let buffer = Int(thread.pointee.partner)
        if core.pointee.threads[buffer].oldestStore < 0 {
            core.pointee.threads[buffer].oldestStore = store
            core.pointee.announceOldest(of: buffer)
        }
        if core.pointee.isRecording { recordStore(index, access, label()) }
    }

    private static var maximumStoresInStep: Int32 { 64 }

    /// What the running thread's own buffer holds for an object; nil if nothing.
    public func bufferedValue(of object: ObjectID) -> UInt64? {
        guard buffersStores else { return nil }
        let store = core.pointee.bufferedStore(to: object.rawValue, by: core.pointee.current)
        return store < 0 ? nil : core.pointee.stores.base[Int(store)].value
    }

    /// Whether the running thread has stored to an object and not waited since for its buffer to be empty.
    public func hasStored(to object: ObjectID) -> Bool {
        buffersStores && core.pointee.storeSinceDraining(to: object.rawValue, by: core.pointee.current) >= 0
    }

    /// A full barrier: goes on when all stores of the running thread have been performed. No step where nothing is delayed.
    public func fence(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        if core.pointee.isStopping { try refuse() }
        guard buffersStores else { return }
        let thread = core.pointee.threads[core.pointee.current]
        // Whether they have been performed by now depends on the schedule, and what is a step must not.
        if thread.newestStore == thread.drained { return }
        try step(
            Access(.local, ObjectID(0), rule: rule, drainsStores: true, fileID: fileID, line: line), "fence")
    }

    /// The last store of the running thread, for others to wait for; nil if it has none that may still be in a buffer.
    public var lastStore: StoreMark? {
        guard buffersStores else { return nil }
        let thread = core.pointee.threads[core.pointee.current]
        return thread.newestStore > thread.drained ? StoreMark(store: thread.newestStore) : nil
    }

    /// Goes on when a store of some thread, and with it all before it, has been performed: an interrupt that waits for
    /// the other processor's buffer.
    public func waitUntilPerformed(
        _ mark: StoreMark, _ label: @autoclosure () -> String, fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        guard buffersStores else { return }
        try step(
            Access(.local, ObjectID(0), fileID: fileID, line: line), also: [], awaiting: mark.store,
            isRecorded: true, label())
    }

    // MARK: Inside

    /// What a thread sees of a word of this module.
    @inline(__always)
    func value(of word: Int, _ object: ObjectID) -> UInt64 {
        if core.pointee.hasBuffers, let value = bufferedValue(of: object) { return value }
        return words.load(word, by: core.pointee.current)
    }

    /// Gives a thread its store buffer: another thread, without a body.
    @inline(never)
    func addBuffer(of thread: Int) {
        let buffer = addThread(group: -1, isDaemon: false)
        core.pointee.threads[buffer].request = .finished
        core.pointee.threads[buffer].partner = Int32(truncatingIfNeeded: thread)
        core.pointee.threads[thread].partner = Int32(truncatingIfNeeded: buffer)
        core.pointee.buffers |= bit(buffer)
        bodies.append(nil)
        names.append(nil)
    }

    /// Performs the oldest store of a buffer: the event `index`, which has been added.
    @inline(never)
    func performStore(of buffer: Int, _ index: Int) {
        let core = core
        let state = core.pointee.threads + buffer
        let store = core.pointee.stores.base + Int(state.pointee.oldestStore)
        store.pointee.performed = Int32(truncatingIfNeeded: index)
        let event = core.pointee.events.base + index
        core.pointee.links.base[index] = BufferLinks(after: store.pointee.origin, reader: store.pointee.reader)
        state.pointee.oldestStore = store.pointee.next
        let (access, value) = (store.pointee.access, store.pointee.value)
        var property: String?
        if store.pointee.word >= 0 {
            event.pointee.before = words.exchange(store.pointee.word, value, by: buffer)
            event.pointee.hasBefore = true
        } else {
            switch performStore?(access.object, value) {
            case .replaced(let before):
                event.pointee.before = before
                event.pointee.hasBefore = true
            case .violation(let found): property = found
            case nil: preconditionFailure("an execution that buffers stores of its own must set `performStore`")
            }
        }
        if state.pointee.oldestStore >= 0 { core.pointee.announceOldest(of: buffer) }
        if core.pointee.held != 0 { core.pointee.releaseHeld() }
        if core.pointee.isRecording {
            let number = Int(core.pointee.events.base[index].ordinal)
            recording.addPerformed(Int(state.pointee.partner), number)
            if property != nil { recording.violation = recording.place(ofStore: number, Int(state.pointee.partner)) }
        }
        if let property { report(.property, property, "\(access.fileID):\(access.line)") }
    }

    private func recordStore(_ thread: Int, _ access: Access, _ label: String) {
        recording.addStore(thread, label, rule: access.rule, at: place(access.fileID, access.line))
    }
}
