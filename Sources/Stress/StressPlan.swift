import VirtualMemory

/// What a stress is to do.
public struct StressPlan: Sendable {
    public var paging: StressedFormat = .x86Long
    /// 1 ... 32.
    public var threads = 2
    /// The most seconds; `nil` for no limit.
    public var seconds: Double? = 5
    /// The most operations of each thread; `nil` for no limit.
    public var operations: Int?
    /// With one thread and a number of operations, the whole run depends on it and on nothing else.
    public var seed: UInt64 = 0
    public var reclaim: ReclaimPolicy = .rcu
    /// Whether one in two batches of tables to be freed finds no memory. Otherwise one in a thousand frames and tables does.
    public var failsBatches = false
    /// A file to keep the memory in; `nil` for a file without a name. One space lives there for the whole run.
    public var arenaPath: String?
    /// The name of a safety rule that is not in force, to see whether that is noticed; `nil` for none.
    public var lifted: String?
    /// Whether the space stays mapped in the end, with everything in it that its regions say.
    public var keepsSpace = false

    public init() {}

    public static var threadLimit: Int { 32 }

    /// Operations of each thread between two tear-downs.
    static var roundOperations: Int { 5000 }
}

/// What a stress came to.
public struct StressOutcome: Sendable {
    /// Of all threads.
    public var counts = StressCounts()
    public var rounds = 0
    public var violations = 0
    /// The first few of them.
    public var messages: [String] = []
    public var seconds = 0.0
    /// The registers that show the space at the end.
    public var root: StressRoot?
    /// What the plain model says is mapped, in the order of addresses, where the space was kept.
    public var mappings: [StressMapping] = []
}

/// What happened how often.
public struct StressCounts: Sendable, Equatable {
    public var operations: UInt64 = 0
    /// Pages of frames that were mapped by ranges, not by faults.
    public var mapped: UInt64 = 0
    /// Pages that were pinned, one way or the other.
    public var pinned: UInt64 = 0
    /// Those of them that may stay pinned.
    public var longTermPins: UInt64 = 0
    /// Pages that virtual processors read or wrote.
    public var accesses: UInt64 = 0
    /// Pages that a guest read or wrote.
    public var guestAccesses: UInt64 = 0
    /// Pages that a device read or wrote.
    public var deviceAccesses: UInt64 = 0
    /// Pages, or runs of them, that leaves said were written, and say so no more.
    public var recordsTaken: UInt64 = 0
    /// Operations that were refused for want of memory.
    public var outOfMemory: UInt64 = 0
    /// Fast pins that gave up.
    public var retreats: UInt64 = 0
    public var tablesFreed: UInt64 = 0
    public var growths: UInt64 = 0
    public var splits: UInt64 = 0
    public var faults: UInt64 = 0
    /// Moves of something to other addresses.
    public var moves: UInt64 = 0
    /// Leaf tables that became large leaves.
    public var collapses: UInt64 = 0
    /// Empty leaf tables that were taken back with the lock held for reading.
    public var retractions: UInt64 = 0
    /// Words that were written to pages of files.
    public var fileWrites: UInt64 = 0
    /// Pages that were written to a store.
    public var writebacks: UInt64 = 0
    /// Files that were made shorter.
    public var truncations: UInt64 = 0
    /// Files that were made longer.
    public var extensions: UInt64 = 0
    /// Clean pages that were given up.
    public var pagesReclaimed: UInt64 = 0
    /// Calls of a store that failed, and what they were for.
    public var storeFailures: UInt64 = 0
    /// Faults that were refused because the store failed.
    public var unreadable: UInt64 = 0

    public static func += (left: inout StressCounts, right: StressCounts) {
        for count in all { left[keyPath: count] += right[keyPath: count] }
    }

    private static var all: [WritableKeyPath<StressCounts, UInt64>] {
        [
            \.operations, \.mapped, \.pinned, \.longTermPins, \.accesses, \.guestAccesses,
            \.deviceAccesses, \.recordsTaken, \.outOfMemory, \.retreats, \.tablesFreed, \.growths, \.splits, \.faults,
            \.moves, \.collapses, \.retractions, \.fileWrites, \.writebacks, \.truncations,
            \.extensions, \.pagesReclaimed, \.storeFailures, \.unreadable,
        ]
    }
}

/// A piece of what the plain model says is mapped.
public struct StressMapping: Sendable, Equatable {
    public let first: UInt64
    public let last: UInt64
    /// Where the first address is; `nil` for frames that faults chose.
    public let physical: UInt64?
    public let isWritable: Bool
}
