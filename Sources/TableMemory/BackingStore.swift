/// What is behind a file: bytes that outlive the memory they are cached in.
///
/// Whoever caches a file makes all calls with the file's lock held: a store need not be safe for several threads.
public protocol BackingStore: Sendable {
    /// What reading and writing can fail with.
    associatedtype Failure: Error

    /// How many bytes the store has.
    func byteCount() throws(Failure) -> UInt64
    /// Fills `bytes` from an offset on. What is behind the end is zero.
    func read(at offset: UInt64, into bytes: inout [UInt8]) throws(Failure)
    /// Writes all of `bytes` from an offset on; the store grows if it has to.
    func write(_ bytes: [UInt8], at offset: UInt64) throws(Failure)
    /// Makes the store shorter, or longer with zeros.
    func resize(to byteCount: UInt64) throws(Failure)
}
