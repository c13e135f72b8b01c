import PageTables
import TableMemory

// A processor that keeps translations, as hardware does.
//
//   1. It uses a space from when it is made: whoever changes the space flushes from then on (`Invalidation`).
//   2. It translates inside sections with interrupts blocked, and begins each by forgetting what was flushed (`FlushLog`).
//      A physical address that it got is of use until the end of the section.                         [blockTableFreeing]
//   3. An access that it keeps no translation for walks the tables, each entry loaded once, from the leaf table if the way
//      there is kept. In the leaf it records the use with one atomic operation, if the leaf is what was loaded; if not, it
//      walks again. For writing a page is kept only when the leaf says that it was written.           [recordUseAtomically]
//   4. What the tables do not allow is a fault: outside of the section, with the space's lock held for reading, for the right
//      that is missing. It decides all at once: the entry has the right then, or the access is refused.
//
// Nobody waits for a lock inside such a section, so a flush may wait for it with any lock held.

extension SafetyRule {
    @inlinable
    public static var recordUseAtomically: SafetyRule {
        SafetyRule(
            name: "recordUseAtomically",
            demand: "A use is recorded in a leaf only if the leaf still is the one that was walked to.",
            history: "Hardware that stores the whole entry back brings one to life again that was just cleared.")
    }
}

/// A processor that runs code in a live space, for one thread: an emulator's, with what it keeps of translations.
public struct VirtualProcessor<Format: WritableFormat, Structure: SpaceStructure, Memory: SharedMemory>: ~Copyable {
    public let space: LiveSpace<Format, Structure>
    public let memory: Memory
    /// What it keeps for the other mode stays.
    public var mode: ProcessorMode {
        didSet { buffer.enter(mode) }
    }
    @usableFromInline
    var buffer: TranslationBuffer
    @usableFromInline
    var tables: TableCache
    @usableFromInline
    var uses = UseRecords()
    /// Of the flush log.
    @usableFromInline
    var known: UInt64 = 0
    /// How often the tables were walked.
    public var missCount: UInt64 { misses }
    @usableFromInline
    var misses: UInt64 = 0

    /// - Parameters:
    ///   - log2Pages: log2 of how many pages it keeps translations of, for each mode; 0 ... 16.
    ///   - log2Tables: log2 of how many leaf tables it keeps the way to; 0 ... 10.
    /// - Precondition: The caller is in no section and holds no lock; entries are not accessed in halves.
    public init(
        _ space: LiveSpace<Format, Structure>, mode: ProcessorMode = .user, log2Pages: Int = 8, log2Tables: Int = 4,
        in memory: borrowing Memory
    ) throws(Memory.Failure) {
        precondition(!Format.isAccessedInHalves, "a processor records uses in whole entries")
        self.space = space
        self.memory = copy memory
        self.mode = mode
        buffer = TranslationBuffer(log2PageBytes: UInt64(space.format.log2FrameBytes), log2Places: log2Pages)
        tables = TableCache(shift: space.format.shift(Level(1)), log2Lines: log2Tables)
        buffer.enter(mode)
        try space.use(in: memory)
        try space.addKeeper(in: memory)
        known = try memory.load(space.words.flushLog.number, .acquire)
    }

    /// Says that the processor uses the space no more. One that is only dropped goes on being interrupted.
    public consuming func leave() throws(Memory.Failure) { try space.removeKeeper(in: memory) }

    /// Runs `body` with interrupts blocked. The physical addresses that it gets are of use until it returns.
    ///
    /// - Precondition: The processor's thread is in no section with interrupts blocked. `body` waits for nobody.
    @inlinable
    @inline(__always)
    public mutating func execute<Result>(
        _ body: (inout VirtualProcessor, borrowing TranslationSection<Memory>) throws(Memory.Failure) -> Result
    ) throws(Memory.Failure) -> Result {
        let memory = memory
        return try memory.withInterruptsBlocked { (_) throws(Memory.Failure) in
            if memory.enforces(.lookAtFlushLog) { try forgetFlushed() }
            return try body(&self, TranslationSection(memory: memory))
        }
    }

    @inlinable
    @inline(__always)
    mutating func forgetFlushed() throws(Memory.Failure) {
        let now = try memory.load(space.words.flushLog.number, .acquire)
        if now != known { try forget(until: now) }
    }

    @usableFromInline
    @inline(never)
    mutating func forget(until now: UInt64) throws(Memory.Failure) {
        var ranges: [VirtualRange?] = []
        try space.words.flushLog.read(&known, now, in: memory) { ranges.append($0) }
        for range in ranges {
            buffer.forget(range)
            tables.forget(range)
        }
    }

    /// Where an address is, and that the processor may access it so.
    ///
    /// - Returns: `nil` for a fault.
    /// - Complexity: Two loads and a comparison if the page is kept; else a load for each level, or one where the way to the leaf
    ///   table is kept.
    @inlinable
    @inline(__always)
    public mutating func physical(
        of address: VirtualAddress, for access: ProcessorAccess, in section: borrowing TranslationSection<Memory>
    ) throws(Memory.Failure) -> PhysicalAddress? {
        if let physical = buffer.physical(of: address, for: access) { return physical }
        return try walk(address, access)
    }
}

/// Inside `VirtualProcessor.execute`: no flush ends before this does.
public struct TranslationSection<Memory: SharedMemory>: ~Copyable {
    @usableFromInline
    let memory: Memory

    @inlinable
    init(memory: Memory) { self.memory = memory }

    @inlinable
    deinit {}
}
