import PageTables
import TableMemory

// Taking translations away where somebody keeps them: processors (`VirtualProcessor`), devices and guests
// (`InvalidationObserver`). Who changes entries so that they map less, or something else:
//
//   1. Tells the observers of the range: what they made of it is out of use when they return.   [tellObserversFirst]
//   2. Changes the entries. Processors record uses in them at any time, so an entry that stays a leaf, or whose record
//      matters, is changed by one atomic operation that sees what was recorded.                   [changeEntryAtomically]
//   3. Flushes: after it no processor uses what it kept of the range (`FlushLog`).
//   4. Only then gives up the pages and tables that the entries led to, and leaves the files that it shows no more: writeback
//      then looks for entries elsewhere.         [flushBeforeFree, flushWhenBatchFails, flushBeforeLeavingFile]
//   5. Tells the observers that it is over: a device sees what the entries are now, and processors do.  [flushBeforeEnd]
//   6. Releases the space's lock.                                                                [flushUnderLock]
//
// Why under the lock: the next who changes the space must not find an entry changed already and conclude that nobody can use
// what it mapped before. Spaces of which nobody keeps anything skip all of this.

extension SafetyRule {
    @inlinable
    public static var tellObserversFirst: SafetyRule {
        SafetyRule(
            name: "tellObserversFirst",
            demand: "Who made something of a translation hears of its end before the entry changes.",
            history:
                "A device wrote to a page that its owner had got back already (Linux, mmu_notifier_invalidate_page).")
    }

    @inlinable
    public static var changeEntryAtomically: SafetyRule {
        SafetyRule(
            name: "changeEntryAtomically",
            demand: "An entry in which processors record uses is changed by one atomic operation.",
            history:
                "What was written between the load and the store was taken for unchanged (Linux, arm64, until 5.10).")
    }

    @inlinable
    public static var flushBeforeFree: SafetyRule {
        SafetyRule(
            name: "flushBeforeFree",
            demand: "Pages and tables are given up when no processor can use them by what it keeps.",
            history: "A page was freed, and written to by an old translation (Linux, CVE-2018-18281 among many).")
    }

    @inlinable
    public static var flushWhenBatchFails: SafetyRule {
        SafetyRule(
            name: "flushWhenBatchFails",
            demand: "What is freed at once because there is no batch is flushed before.",
            history: "The way without a batch waited for walkers, and left tables in processors' caches (Linux 5.6).")
    }

    public static var flushBeforeLeavingFile: SafetyRule {
        SafetyRule(
            name: "flushBeforeLeavingFile",
            demand:
                "A space is in the reverse map of a file until no processor can write to the file by what it keeps.",
            history:
                "A page did not look mapped any more, was cleaned, and written by a translation that was kept (Linux, rmap)."
        )
    }

    @inlinable
    public static var flushBeforeEnd: SafetyRule {
        SafetyRule(
            name: "flushBeforeEnd",
            demand: "Observers hear that a change is over when no processor uses what was there before it.",
            history: "A device wrote to the copy of a page, and the program that it told of that read the old page.")
    }

    @inlinable
    public static var flushUnderLock: SafetyRule {
        SafetyRule(
            name: "flushUnderLock",
            demand: "What one change has taken away is flushed before the next change can look at it.",
            history:
                "A page was moved and flushed late; whoever unmapped it meanwhile flushed the new address (CVE-2018-18281)."
        )
    }
}

extension LiveSpace {
    /// Makes processors forget what they keep of a range's old entries, tables included. Called after entries were cleared,
    /// before their memory is given to somebody else, with the space's lock held.
    ///
    /// - Precondition: The caller does not block interrupts, and no section with interrupts blocked waits for a lock of its.
    /// - Complexity: Nothing where no processor keeps translations.
    @inlinable
    @inline(__always)
    func flush<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        if isWatched { try flushKeepers(range, in: memory) }
    }

    @usableFromInline
    @inline(never)
    func flushKeepers<Memory: SharedMemory>(
        _ range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let processors = keepers.set
        if processors.isEmpty { return }
        try words.flushLog.append(range, in: memory)
        if memory.enforces(.interruptKeepers) { try memory.interrupt(processors) }
    }

    /// What a change of a range that is under way has to do for those who keep translations; `nil` if nobody does.
    @usableFromInline
    func beginInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Invalidation<Format, Structure>? {
        guard isWatched else { return nil }
        let invalidation = Invalidation(self)
        try invalidation.begin(range, in: memory)
        return invalidation
    }
}

/// What one change owes to those who keep translations. Used by one thread, with the space's lock held.
@usableFromInline
final class Invalidation<Format: WritableFormat, Structure: SpaceStructure> {
    private let space: LiveSpace<Format, Structure>
    private var ranges: [VirtualRange] = []
    private var told: [(observer: any InvalidationObserver, range: VirtualRange)] = []
    /// Observers that are told late, by mistake.
    private var forgotten: [VirtualRange] = []
    /// Pages whose entries are cleared and that processors may still use.
    private var held: [(frame: Frame, pages: UInt32)] = []

    private static var mostRanges: Int { 4 }
    private static var mostHeld: Int { 510 }

    @usableFromInline
    init(_ space: LiveSpace<Format, Structure>) { self.space = space }

    /// Step 1. To be called before entries of a range change.
    @usableFromInline
    func begin<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        note(range)
        try announce(range, in: memory)
    }

    /// Step 1 for who flushes by himself what he has changed.
    func announce<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        if memory.enforces(.tellObserversFirst) { return try tell(range, in: memory) }
        forgotten.append(range)
    }

    private func tell<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        for observer in space.keepers.observers {
            guard let part = observer.range.intersection(range) else { continue }
            try observer.beginInvalidation(of: part, in: memory)
            told.append((observer, part))
        }
    }

    /// Many ranges become one that covers them all: too much is flushed then, never too little.
    private func note(_ range: VirtualRange) {
        if ranges.count < Self.mostRanges { return ranges.append(range) }
        let first = ranges.reduce(range.first) { min($0, $1.first) }
        let last = ranges.reduce(range.last) { max($0, $1.last) }
        ranges = [VirtualRange(first: first, last: last)]
    }

    /// Step 3.
    @usableFromInline
    func flush<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        for range in ranges { try space.flush(range, in: memory) }
    }

    /// Takes pages that an entry mapped which is cleared, and gives them up after the flush.
    @usableFromInline
    func drop<Memory: SharedMemory>(
        _ pages: UInt32, of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        if held.count == Self.mostHeld { try flushAndDrop(in: memory) }
        var isHeld = !held.isEmpty
        if !isHeld { isHeld = try memory.allows(.batch) }
        if isHeld { return held.append((frame, pages)) }
        if memory.enforces(.flushWhenBatchFails) { try flush(in: memory) }
        try space.references.dropMappings(pages, of: frame, in: memory)
    }

    /// Steps 3 and 4 for what there is until now; more may follow.
    @usableFromInline
    func flushAndDrop<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        var isFlushed = false
        if memory.enforces(.flushBeforeFree) {
            try flush(in: memory)
            isFlushed = true
        }
        for (frame, pages) in held { try space.references.dropMappings(pages, of: frame, in: memory) }
        held.removeAll()
        if !isFlushed { try flush(in: memory) }
    }

    /// Steps 3 and 4 for all that has changed; what changes later is begun anew.
    @usableFromInline
    func settle<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        if ranges.isEmpty { return }
        try flushAndDrop(in: memory)
        ranges = []
    }

    /// Steps 3 to 5.
    @usableFromInline
    func finish<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        if memory.enforces(.flushBeforeEnd) { try settle(in: memory) }
        for range in forgotten { try tell(range, in: memory) }
        for (observer, range) in told { try observer.endInvalidation(of: range, in: memory) }
        try settle(in: memory)
        forgotten = []
        told = []
    }
}
