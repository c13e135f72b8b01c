import PageTables

/// Where the words of page tables live: the one seam of the package. Walkers are generic over it and written once.
///
/// - An **image** (`MemoryImages`) answers from a file: a load is a bounds-checked read, and a page that the image does
///   not have is an answer.
/// - **Host memory** is an arena of real words that other threads change: a load is one atomic load.
/// - **Explored memory** makes every load a scheduling point of a checker.
///
/// A conforming type may be noncopyable and nonescapable: a read section that is itself the memory it protects cannot be
/// kept longer than the section, so a walk without protection does not compile.
///
/// A function that conforms must not contain a `throw` statement: call an `@inline(never)` function that throws. A typed
/// throw in place keeps the optimiser from seeing through the witness, and every walker is 3 to 7 times slower.
public protocol TableMemory: ~Copyable, ~Escapable {
    /// What a load can fail with: `Never` where memory is always there.
    associatedtype Failure: Error
    /// A table that was found, so that loading its entries need not search again. A plain value: it is of no use without
    /// the memory.
    associatedtype Table

    /// One load of a 64-bit entry. Addresses need not be aligned.
    func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt64
    /// One load of a 32-bit entry.
    func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt32

    /// Finds `bytes` bytes at `address`.
    func table(at address: PhysicalAddress, bytes: Int) throws(Failure) -> Table
    /// One load of the 64-bit entry `index` of a table.
    /// - Precondition: the entry is in the bytes that `table(at:bytes:)` was asked for.
    func load64(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt64
    /// One load of the 32-bit entry `index` of a table; otherwise as for 64 bits.
    func load32(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt32

    /// Whether every load of these bytes would fail because nothing of them is there: a walk then need not try each entry.
    /// False where that is not known.
    func hasNothing(at address: PhysicalAddress, bytes: Int) -> Bool

    /// Whether a failure only says that there is nothing at an address, so that a walk over many tables may note it and
    /// go on. Other failures end the walk.
    func isAbsence(_ failure: Failure) -> Bool

    /// Whether a safety rule is in force: always, but in a checker that lifts it.
    func enforces(_ rule: SafetyRule) -> Bool
}

extension TableMemory where Self: ~Copyable & ~Escapable {
    @inlinable
    public func isAbsence(_ failure: Failure) -> Bool { true }

    @inlinable
    @inline(__always)
    public func enforces(_ rule: SafetyRule) -> Bool { true }

    @inlinable
    public func hasNothing(at address: PhysicalAddress, bytes: Int) -> Bool { false }

    /// One load of an entry of `format`, which knows its width and byte order; several where the format is accessed in
    /// halves, for a value that the entry had at one moment.
    @inlinable
    public func load<Format: PageTableFormat>(
        _ format: Format, _ address: PhysicalAddress
    ) throws(Failure) -> Entry {
        if Format.isAccessedInHalves {
            return try loadHalves(format, address)
        } else if Format.entryBytes == 8 {
            return Entry(try load64(address, format.byteOrder))
        } else {
            return Entry(UInt64(try load32(address, format.byteOrder)))
        }
    }

    /// One load of the entry `index` of a table that was found before.
    @inlinable
    public func load<Format: PageTableFormat>(
        _ format: Format, _ table: Table, index: Int
    ) throws(Failure) -> Entry {
        if Format.isAccessedInHalves {
            return try loadHalves(format, table, index: index)
        } else if Format.entryBytes == 8 {
            return Entry(try load64(table, index: index, format.byteOrder))
        } else {
            return Entry(UInt64(try load32(table, index: index, format.byteOrder)))
        }
    }
}
