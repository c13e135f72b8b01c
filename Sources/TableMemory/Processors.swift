/// One of the at most 64 processors that share a memory: on the host, a thread that attached itself.
public struct ProcessorNumber: Hashable, Sendable {
    public let rawValue: UInt8

    /// - Precondition: `rawValue` is less than 64.
    @inlinable
    public init(_ rawValue: Int) {
        precondition(rawValue >= 0 && rawValue < 64, "a memory has at most 64 processors")
        self.rawValue = UInt8(truncatingIfNeeded: rawValue)
    }
}

/// A set of processors in one word, so that a space can keep who has used it where lock-free readers see it.
public struct ProcessorSet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable
    public init(_ processor: ProcessorNumber) { rawValue = 1 &<< UInt64(processor.rawValue) }

    @inlinable
    public static var all: ProcessorSet { ProcessorSet(rawValue: .max) }

    @inlinable
    public func contains(_ processor: ProcessorNumber) -> Bool {
        rawValue &>> UInt64(processor.rawValue) & 1 != 0
    }
}
