import TableMemory

/// A backing store in memory: for what is to be gone with the process, for tests and for exploration.
///
/// It can be told to fail, since what is behind a real file does.
public final class MemoryStore: BackingStore, @unchecked Sendable {
    // Unchecked: whoever caches the file calls with the file's lock held.

    /// A call was to fail.
    public struct Failure: Error, Hashable, Sendable {
        public enum Call: Hashable, Sendable {
            case read
            case write
            case resize
            case synchronize
        }

        public let call: Call
        /// Where; of `resize`, the size; of `synchronize`, 0.
        public let offset: UInt64

        public init(_ call: Call, at offset: UInt64) {
            self.call = call
            self.offset = offset
        }
    }

    public private(set) var bytes: [UInt8]
    public let isWritable: Bool
    /// How many bytes it can have.
    public let limit: UInt64
    /// The calls that fail, and change nothing. A call to write fails if it would write at the offset.
    public var failures: Set<Failure> = []

    /// - Parameters:
    ///   - isWritable: Whether it can be written and resized; else both fail.
    ///   - limit: How many bytes it can have: what would be more fails.
    public init(_ bytes: [UInt8], isWritable: Bool = true, limit: UInt64 = 1 << 32) {
        self.bytes = bytes
        self.isWritable = isWritable
        self.limit = max(min(limit, UInt64(Int.max)), UInt64(bytes.count))
    }

    private func require(_ call: Failure.Call, _ offset: UInt64) throws(Failure) {
        let failure = Failure(call, at: offset)
        if failures.contains(failure) || offset > limit { throw failure }
    }

    public func byteCount() -> UInt64 { UInt64(bytes.count) }

    public func read(at offset: UInt64, into target: inout [UInt8]) throws(Failure) {
        try require(.read, offset)
        for index in target.indices {
            let place = offset + UInt64(index)
            target[index] = place < UInt64(bytes.count) ? bytes[Int(place)] : 0
        }
    }

    public func write(_ source: [UInt8], at offset: UInt64) throws(Failure) {
        try require(.write, offset)
        let count = UInt64(source.count)
        let failure = failures.filter { $0.call == .write && $0.offset >= offset && $0.offset - offset < count }
        if let first = failure.min(by: { $0.offset < $1.offset }) { throw first }
        guard isWritable, count <= limit - offset else { throw Failure(.write, at: offset) }
        let end = Int(offset) + source.count
        if end > bytes.count { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
        bytes.replaceSubrange(Int(offset)..<end, with: source)
    }

    public func resize(to byteCount: UInt64) throws(Failure) {
        try require(.resize, byteCount)
        guard isWritable else { throw Failure(.resize, at: byteCount) }
        let count = Int(byteCount)
        if count > bytes.count {
            bytes += [UInt8](repeating: 0, count: count - bytes.count)
        } else {
            bytes.removeLast(bytes.count - count)
        }
    }

    public func synchronize() throws(Failure) { try require(.synchronize, 0) }
}
