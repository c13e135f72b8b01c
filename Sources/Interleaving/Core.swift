/// One step of an execution.
struct Event: BitwiseCopyable {
    var object: UInt64
    /// What its thread had done and seen before, and this step, for comparing symmetric threads.
    var historyBefore: UInt64
    /// The thread's previous event; for its first, the event of the thread that spawned it. -1: none.
    var previous: Int32
    /// How many steps its thread had taken before.
    var ordinal: Int32
    var furtherStart: Int32
    var furtherCount: Int32
    /// Which decision of the scheduler chose it.
    var decision: Int32
    var thread: UInt8
    var kind: AccessKind
    var wrote: Bool
    private var flags: UInt8 = 0
    var before: UInt64 = 0

    init(
        object: UInt64, historyBefore: UInt64, previous: Int32, ordinal: Int32, furtherStart: Int32,
        furtherCount: Int32, decision: Int32, thread: UInt8, kind: AccessKind, wrote: Bool
    ) {
        self.object = object
        self.historyBefore = historyBefore
        self.previous = previous
        self.ordinal = ordinal
        self.furtherStart = furtherStart
        self.furtherCount = furtherCount
        self.decision = decision
        self.thread = thread
        self.kind = kind
        self.wrote = wrote
    }

    /// Whether `before` is the object's value before the step.
    @inline(__always)
    var hasBefore: Bool {
        get { flags & 1 != 0 }
        set { flags = newValue ? flags | 1 : flags & ~1 }
    }

    /// Whether it is a load that the thread's store buffer answered.
    @inline(__always)
    var isForwarded: Bool {
        get { flags & 2 != 0 }
        set { flags = newValue ? flags | 2 : flags & ~2 }
    }

    /// Whether the step touches memory that steps of other threads may touch.
    @inline(__always)
    var isShared: Bool { kind != .local && !isForwarded }
}

/// What store buffers add to an event.
struct BufferLinks: BitwiseCopyable {
    /// An event without which it could not be taken; -1: none.
    var after: Int32 = -1
    /// A load that is taken for one just after this store; -1: none.
    var reader: Int32 = -1
}

/// Why a fiber gave control back.
enum Request: UInt8, BitwiseCopyable {
    case step
    case choice
    /// The fiber is asked whether its condition holds now.
    case evaluation
    /// The fiber is asked whether its condition would hold for the value in `choice`.
    case supposition
    case finished
}

/// What the engine knows of one thread.
struct ThreadState: BitwiseCopyable {
    var fiber: OpaquePointer
    /// The announced access.
    var object: UInt64 = 0
    var further: UnsafeMutablePointer<UInt64>
    var furtherCapacity: Int32
    var furtherCount: Int32 = 0
    var kind = AccessKind.local
    var request = Request.finished
    /// The announced access waits for a condition that is false.
    var isBlocked = false
    /// The last step may have seen something that the program did not report.
    var hasUnreported = false
    /// Threads of one `spawn(count:)` have the same number. -1: none.
    var group: Int32 = -1
    var history: UInt64 = 0
    var steps: Int32 = 0
    var lastEvent: Int32 = -1
    /// The first event since the last pause.
    var lastPause: Int32 = -1
    /// What the announced access adds to `Core.fingerprint`.
    var fingerprint: UInt64 = 0
    /// A choice's number of alternatives, then the one that was chosen.
    var choice: Int = 0

    // Only where stores are buffered; see `BufferedStore`.

    /// The thread that is this one's store buffer, or whose store buffer this one is. -1: none.
    var partner: Int32 = -1
    /// Of a thread: its last store, performed or not.
    var newestStore: Int32 = -1
    /// Of a thread: its last store that it knows to have been performed.
    var drained: Int32 = -1
    /// Of a buffer: what it performs next.
    var oldestStore: Int32 = -1
    /// The store that must have been performed before the announced step is taken.
    var awaited: Int32 = -1
    /// Stores since the last step.
    var storesInStep: Int32 = 0
    /// It has stored since the last pause.
    var hasStored = false
}

/// The state of an execution that fibers and scheduler share: in raw memory behind one pointer, see `RawArray`.
struct Core: ~Copyable {
    static var maximumThreads: Int { 64 }
    /// The fiber that runs set-up and final checks.
    static var setup: Int { 64 }
    static var nobody: Int { 65 }

    let threads: UnsafeMutablePointer<ThreadState>
    var threadCount = 0
    var fiberCount = 0
    var current = Core.nobody
    /// Each scheduling point throws: a violation was found, or the execution is being abandoned.
    var isStopping = false
    /// All threads have ended and final checks run.
    var isChecking = false
    /// Whether steps are recorded for printing.
    var isRecording = false
    /// How often a stopping execution was told so.
    var refusals = 0

    // Sets of threads, a bit each.
    var unstarted: UInt64 = 0
    /// At a step, enabled or not.
    var pending: UInt64 = 0
    /// At a step that may have to wait.
    var waiting: UInt64 = 0
    /// At a step that must wait now.
    var blocked: UInt64 = 0
    var daemons: UInt64 = 0
    /// Threads of a symmetric group.
    var grouped: UInt64 = 0
    /// Threads that are the store buffers of others.
    var buffers: UInt64 = 0
    /// At a step that must wait until stores have been performed.
    var held: UInt64 = 0
    /// Whether stores go into buffers.
    let hasBuffers: Bool

    /// A digest of all announced steps: an execution that is repeated meets the same ones.
    var fingerprint: UInt64 = 0
    var groups: Int32 = 0
    var objects: UInt64 = 0
    var events = RawArray<Event>()
    var further = RawArray<UInt64>()
    /// The schedule so far: a thread, or -1 - k for alternative k of a choice.
    var decisions = RawArray<Int32>()
    var stores = RawArray<BufferedStore>(capacity: 16)
    /// One for each event, if there are store buffers.
    var links = RawArray<BufferLinks>(capacity: 16)

    init(hasBuffers: Bool) {
        self.hasBuffers = hasBuffers
        threads = .allocate(capacity: Core.maximumThreads + 1)
    }

    deinit {
        for thread in 0..<fiberCount { threads[thread].further.deallocate() }
        threads.deallocate()
    }
}

@inline(__always)
func bit(_ thread: Int) -> UInt64 { 1 &<< UInt64(truncatingIfNeeded: thread) }

@inline(__always)
func first(_ set: UInt64) -> Int { set.trailingZeroBitCount }

@inline(__always)
func mix(_ history: UInt64, _ value: UInt64) -> UInt64 {
    // The finaliser of SplitMix64 over a running sum: order matters, equal histories stay equal.
    var z = (history &* 0x9e37_79b9_7f4a_7c15) ^ value
    z = (z ^ (z &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z &>> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z &>> 31)
}
