import PageTables

// A lock of one word: readers are counted in its low half, a writer sets bit 32, and writers that wait are counted above it
// and keep new readers out, so that readers cannot starve them.

/// A lock for many readers or one writer in one 64-bit word, aligned to 8. Zero is unlocked.
public struct ReaderWriterLock: Hashable, Sendable {
    @usableFromInline
    let word: Word<UInt64>

    /// - Precondition: `address` is a multiple of 8.
    @inlinable
    public init(at address: PhysicalAddress) { word = Word(address) }

    @inlinable
    static var readers: UInt64 { 0xffff_ffff }
    @inlinable
    static var writer: UInt64 { 1 &<< 32 }
    @inlinable
    static var waitingWriter: UInt64 { 1 &<< 33 }
}

/// The lock is held, for reading at least: nobody else holds it for writing. A witness for walks: what is only freed under
/// the lock for writing is not freed. Where others take back empty leaf tables with the lock for reading, a walk needs a
/// section as well.
public struct ReadLockHeld<Memory: SharedMemory>: ~Copyable, ReadWitness {
    public typealias Failure = Memory.Failure
    public typealias Table = Memory.Table
    public let lock: ReaderWriterLock
    public let memory: Memory

    @inlinable
    init(lock: ReaderWriterLock, memory: Memory) {
        self.lock = lock
        self.memory = memory
    }

    @inlinable
    deinit {}
}

/// The lock is held for writing: nobody else holds it at all.
public struct WriteLockHeld<Memory: SharedMemory>: ~Copyable, ReadWitness {
    public typealias Failure = Memory.Failure
    public typealias Table = Memory.Table
    public let lock: ReaderWriterLock
    public let memory: Memory

    @inlinable
    init(lock: ReaderWriterLock, memory: Memory) {
        self.lock = lock
        self.memory = memory
    }

    @inlinable
    deinit {}
}

extension SharedMemory {
    /// Runs `body` with the lock held for reading. Not recursive: a writer that waits in between would be waited for.
    @inlinable
    public func withReadLock<Result>(
        _ lock: ReaderWriterLock, _ body: (borrowing ReadLockHeld<Self>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        while true {
            let seen = try wait(for: lock.word) { $0 & ~ReaderWriterLock.readers == 0 }
            let taken = try compareExchange(lock.word, expected: seen, desired: seen &+ 1, .acquire)
            if taken.isExchanged { break }
        }
        let result = try body(ReadLockHeld(lock: lock, memory: self))
        _ = try add(0 &- 1, to: lock.word, .release)
        return result
    }

    /// Runs `body` with the lock held for writing.
    @inlinable
    public func withWriteLock<Result>(
        _ lock: ReaderWriterLock, _ body: (borrowing WriteLockHeld<Self>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        _ = try add(ReaderWriterLock.waitingWriter, to: lock.word, .relaxed)
        while true {
            let held = ReaderWriterLock.readers | ReaderWriterLock.writer
            let seen = try wait(for: lock.word) { $0 & held == 0 }
            let desired = seen &- ReaderWriterLock.waitingWriter | ReaderWriterLock.writer
            let taken = try compareExchange(lock.word, expected: seen, desired: desired, .acquire)
            if taken.isExchanged { break }
        }
        let result = try body(WriteLockHeld(lock: lock, memory: self))
        _ = try update(lock.word, clearing: ReaderWriterLock.writer, setting: 0, .release)
        return result
    }
}
