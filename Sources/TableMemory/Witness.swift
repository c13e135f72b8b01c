import PageTables

// Who may look at tables without a lock.
//
// Tables are freed while others walk them, so a walker must hold something that the freeing side waits for. That something
// is a witness: a value that exists only inside the section that it stands for. It cannot be copied or kept, and it *is* the
// memory that a walk loads from, so a walk without one, or with one that is over, does not compile.
//
// - `InterruptsBlocked` is waited for by interrupts and by grace periods: it is enough under every policy of freeing, as far as
//   the freeing side interrupts this processor at all.
// - `RCUReader` is waited for by grace periods only: it is not enough where tables are freed after interrupts.
//
// A witness has a `deinit`, though there is nothing to do in it. Without one it would be trivial to destroy, and the optimiser
// of Swift 6.3 ends with a failed assertion where a trivial noncopyable value is lent to a function that is not inlined.

/// A section inside which tables that can be reached are not freed, if they are freed after grace periods.
public protocol ReadWitness: TableMemory, ~Copyable {
    associatedtype Shared: SharedMemory where Shared.Failure == Failure
    var memory: Shared { get }
}

/// A section that the freeing side's interrupts wait for as well.
public protocol InterruptWitness: ReadWitness, ~Copyable {}

/// This processor takes no interrupt.
public struct InterruptsBlocked<Memory: SharedMemory>: ~Copyable, InterruptWitness {
    public typealias Failure = Memory.Failure
    public typealias Table = Memory.Table
    public let memory: Memory

    @inlinable
    init(memory: Memory) { self.memory = memory }

    @inlinable
    deinit {}
}

/// Grace periods wait for this reader.
public struct RCUReader<Memory: SharedMemory>: ~Copyable, ReadWitness {
    public typealias Failure = Memory.Failure
    public typealias Table = Memory.Table
    public let memory: Memory

    @inlinable
    init(memory: Memory) { self.memory = memory }

    @inlinable
    deinit {}
}

extension ReadWitness where Self: ~Copyable, Table == Shared.Table {
    @inlinable
    public func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt64 {
        try memory.load64(address, order)
    }
    @inlinable
    public func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt32 {
        try memory.load32(address, order)
    }
    @inlinable
    public func table(at address: PhysicalAddress, bytes: Int) throws(Failure) -> Table {
        try memory.table(at: address, bytes: bytes)
    }
    @inlinable
    public func load64(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt64 {
        try memory.load64(table, index: index, order)
    }
    @inlinable
    public func load32(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt32 {
        try memory.load32(table, index: index, order)
    }
    @inlinable
    public func isAbsence(_ failure: Failure) -> Bool { memory.isAbsence(failure) }
    @inlinable
    @inline(__always)
    public func enforces(_ rule: SafetyRule) -> Bool { memory.enforces(rule) }
}

extension SafetyRule {
    /// See `SharedMemory.withInterruptsBlocked`.
    @inlinable
    public static var blockTableFreeing: SafetyRule {
        SafetyRule(
            name: "blockTableFreeing",
            demand: "A walker that holds no lock is inside a section that the freeing of tables waits for.",
            history: "Walkers that were not saw tables that had been freed and used again for something else.")
    }
}

extension SharedMemory {
    /// Runs `body` with interrupts blocked.
    ///
    /// - Throws: The memory's failure, and nothing else can leave `body`: a memory that fails has given up the processor with
    ///   all its sections.
    @inlinable
    public func withInterruptsBlocked<Result>(
        _ body: (borrowing InterruptsBlocked<Self>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if enforces(.blockTableFreeing) { try blockInterrupts() }
        let result = try body(InterruptsBlocked(memory: self))
        if enforces(.blockTableFreeing) { try unblockInterrupts() }
        return result
    }

    /// Runs `body` as a reader that grace periods wait for.
    @inlinable
    public func withRCUReader<Result>(
        _ body: (borrowing RCUReader<Self>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if enforces(.blockTableFreeing) { try enterRCU() }
        let result = try body(RCUReader(memory: self))
        if enforces(.blockTableFreeing) { try leaveRCU() }
        return result
    }
}
