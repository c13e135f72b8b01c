import PageTables

/// What fits into one shared word.
public protocol WordValue: FixedWidthInteger, UnsignedInteger, Sendable {}

extension WordValue {
    /// Whether the word is positive as a signed number: neither zero nor with its highest bit set.
    @inlinable
    public var isPositive: Bool { self != 0 && leadingZeroBitCount != 0 }
}

extension UInt32: WordValue {}
extension UInt64: WordValue {}

/// The place of a word that several threads may look at: a table entry, a part of a frame descriptor, a root, a counter, a
/// lock. Aligned to its size.
///
/// A place and nothing more: all access goes through a `SharedMemory`.
public struct Word<Value: WordValue>: Hashable, Sendable {
    public let address: PhysicalAddress

    /// - Precondition: `address` is a multiple of the word's size.
    @inlinable
    public init(_ address: PhysicalAddress) {
        precondition(
            address.rawValue % UInt64(MemoryLayout<Value>.size) == 0, "a shared word is aligned to its size")
        self.address = address
    }

    /// A word of which it is known that it is aligned: part of a record that is. Debug builds check it.
    @inlinable
    public init(aligned address: PhysicalAddress) {
        assert(address.rawValue % UInt64(MemoryLayout<Value>.size) == 0, "a shared word is aligned to its size")
        self.address = address
    }
}

/// The outcome of a compare-exchange.
public struct Exchange<Value: WordValue>: Hashable, Sendable {
    public let isExchanged: Bool
    /// What the word held before.
    public let original: Value

    @inlinable
    public init(isExchanged: Bool, original: Value) {
        self.isExchanged = isExchanged
        self.original = original
    }
}
