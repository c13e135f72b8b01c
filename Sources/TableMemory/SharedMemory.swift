import PageTables

/// Memory that threads share, as one of its processors sees it: the write side of the seam.
///
/// A value of a conforming type belongs to one processor and is used by it alone; each thread has its own. Functions of a
/// live address space are generic over it, so that the code that real threads run on host memory is the code that a checker
/// explores.
///
/// Everything may fail with the memory's `Failure`: `Never` on the host, "abandoned" where a checker unwinds a thread.
public protocol SharedMemory: TableMemory {
    // MARK: words

    /// One atomic load.
    func load<Value: WordValue>(_ word: Word<Value>, _ ordering: LoadOrdering) throws(Failure) -> Value
    /// One atomic store.
    func store<Value: WordValue>(_ value: Value, to word: Word<Value>, _ ordering: StoreOrdering) throws(Failure)
    /// Stores `desired` if the word holds `expected`. Strong: it fails for no other reason. A failed one is ordered as a
    /// load would be.
    func compareExchange<Value: WordValue>(
        _ word: Word<Value>, expected: Value, desired: Value, _ ordering: UpdateOrdering
    ) throws(Failure) -> Exchange<Value>
    /// Stores `value` and returns what was there.
    func exchange<Value: WordValue>(
        _ word: Word<Value>, with value: Value, _ ordering: UpdateOrdering
    ) throws(Failure) -> Value
    /// Adds with wrap-around and returns what was there; to subtract, add the two's complement.
    func add<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) throws(Failure) -> Value
    /// Adds if the word is positive as a signed number. A count of zero says that its object is being freed, and nobody may
    /// revive it; one with the highest bit set says that there are so many that the next may be one too many.
    /// - Returns: What was there; `nil` if it was not positive, and then nothing is ordered or changed.
    func addIfPositive<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) throws(Failure) -> Value?
    /// Clears the bits of `mask` and then sets those of `bits`; returns what was there.
    func update<Value: WordValue>(
        _ word: Word<Value>, clearing mask: Value, setting bits: Value, _ ordering: UpdateOrdering
    ) throws(Failure) -> Value
    func fence(_ ordering: FenceOrdering) throws(Failure)
    /// A load that a compiler might repeat or tear, as in C without `READ_ONCE`. On the host it is one relaxed load.
    func loadPlain<Value: WordValue>(_ word: Word<Value>) throws(Failure) -> Value
    /// Waits until a word satisfies a condition, and returns what it then held, as an acquiring load.
    func wait<Value: WordValue>(
        for word: Word<Value>, until condition: (Value) -> Bool
    ) throws(Failure) -> Value

    // MARK: bytes

    /// Copies whole words into as many bytes, in the order of addresses. Each word is a relaxed load; all of them together are
    /// of no single moment.
    func read(_ range: PhysicalRange, into bytes: inout [UInt8]) throws(Failure)
    /// Copies bytes into as many whole words; each is a relaxed store.
    func write(_ bytes: [UInt8], to range: PhysicalRange) throws(Failure)

    // MARK: objects

    /// Memory becomes an object that may be used. On the host, nothing.
    func beginLife(of range: PhysicalRange, as kind: ObjectKind) throws(Failure)
    /// Memory is no object any more: from here on every access to it is an error. A part of an object may end alone, and begin
    /// again: fragments of a frame. On the host, nothing.
    func endLife(of range: PhysicalRange) throws(Failure)
    /// Fills an object that nobody else can see with copies of a 64-bit pattern; one operation, not a word each.
    func fill(_ range: PhysicalRange, with pattern: UInt64) throws(Failure)
    /// Whether an allocation is to succeed. On the host yes, unless failures are injected.
    func allows(_ allocation: AllocationKind) throws(Failure) -> Bool

    // MARK: processors

    var processor: ProcessorNumber { get }
    /// Begins a section in which this processor takes no interrupt. Sections nest. Use `withInterruptsBlocked`.
    func blockInterrupts() throws(Failure)
    func unblockInterrupts() throws(Failure)
    /// Begins a section that grace periods wait for. Sections nest. Use `withRCUReader`.
    func enterRCU() throws(Failure)
    func leaveRCU() throws(Failure)
    /// Interrupts processors and waits until each has taken the interrupt: until those that blocked interrupts when it was
    /// sent have unblocked them. What they did before is visible to the caller, and what the caller did before to them.
    /// - Precondition: The caller does not block interrupts itself.
    func interrupt(_ processors: ProcessorSet) throws(Failure)
    /// Waits until every section, of either kind, that had begun when it was called has ended.
    /// - Precondition: The caller is in no section.
    func synchronize() throws(Failure)
    /// A name for the grace period that begins now.
    func startGracePeriod() throws(Failure) -> GracePeriod
    /// Whether every section that had begun when a grace period began has ended.
    func isOver(_ period: GracePeriod) throws(Failure) -> Bool

    // MARK: events

    /// Hears that something happened, for statistics. Nothing, unless a memory counts.
    func count(_ event: SpaceEvent)
    /// Hears that an invariant does not hold, just before the program ends of it. Nothing, unless a checker gives up the
    /// execution instead, which is then a counterexample.
    func broke(_ invariant: StaticString) throws(Failure)
}

extension SharedMemory {
    @inlinable
    @inline(__always)
    public func count(_ event: SpaceEvent) {}

    @inlinable
    public func broke(_ invariant: StaticString) throws(Failure) {}
}

/// What happens in a live address space that somebody may want to count.
public enum SpaceEvent: Int, CaseIterable, Sendable {
    /// A fast pin gave up and left the rest of its range to the slow path.
    case retreat
    case tableFreed
    /// A space got another top level.
    case growth
    /// A large leaf became a table.
    case split
    case fault
}

/// What an object is, for whoever watches over lives.
public enum ObjectKind: Hashable, Sendable {
    case frame
    case table
    /// Descriptors and other bookkeeping.
    case bookkeeping
}

/// What may be made to fail.
public enum AllocationKind: Hashable, Sendable {
    case frame
    case table
    /// The queue page of a batch of tables that wait to be freed.
    case batch
}

/// A grace period that was started: see `SharedMemory.startGracePeriod()`.
public struct GracePeriod: Hashable, Sendable {
    public let rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}
