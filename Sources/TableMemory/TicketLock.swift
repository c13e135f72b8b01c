import PageTables

// A lock of two words: who takes it draws a number from `next` and waits until `owner` calls it; who releases it calls the
// next number. Fair: in the order of arrival. What was done under the lock before is visible to whoever holds it next.

/// A fair lock in two 32-bit words, 8 bytes aligned to 8. Zero is unlocked.
public struct TicketLock: Hashable, Sendable {
    @usableFromInline
    let next: Word<UInt32>
    @usableFromInline
    let owner: Word<UInt32>

    /// - Precondition: `address` is a multiple of 8.
    @inlinable
    public init(at address: PhysicalAddress) {
        precondition(address.rawValue % 8 == 0, "a lock is aligned to 8 bytes")
        next = Word(address)
        owner = Word(PhysicalAddress(address.rawValue &+ 4))
    }
}

/// A lock is held: proof for those who demand it.
public struct LockHeld<Memory: SharedMemory>: ~Copyable {
    public let lock: TicketLock
    public let memory: Memory

    @inlinable
    init(lock: TicketLock, memory: Memory) {
        self.lock = lock
        self.memory = memory
    }

    @inlinable
    deinit {}
}

extension SharedMemory {
    /// Runs `body` with a lock held.
    ///
    /// - Precondition: This processor does not hold the lock: it would wait for itself.
    @inlinable
    public func withLock<Result>(
        _ lock: TicketLock, _ body: (borrowing LockHeld<Self>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let number = try add(1, to: lock.next, .relaxed)
        _ = try wait(for: lock.owner) { $0 == number }
        let result = try body(LockHeld(lock: lock, memory: self))
        _ = try add(1, to: lock.owner, .release)
        return result
    }

    /// As `withLock`, if `holds`; without the lock otherwise. For a lock that is a safety rule.
    @inlinable
    public func withLock<Result>(
        _ lock: TicketLock, holds: Bool, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if !holds { return try body() }
        return try withLock(lock) { (_) throws(Failure) in try body() }
    }

    /// As `withLock`, for a `body` that fails in its own way; the lock is released then as well.
    @inlinable
    public func withLock<Result, Problem: Error>(
        _ lock: TicketLock, _ body: (borrowing LockHeld<Self>) throws(Problem) -> Result
    ) throws(Failure) -> Swift.Result<Result, Problem> {
        try withLock(lock) { (held) throws(Failure) in
            do throws(Problem) { return .success(try body(held)) } catch { return .failure(error) }
        }
    }
}
