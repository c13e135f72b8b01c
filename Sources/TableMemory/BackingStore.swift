/// What is behind a file: bytes that outlive the memory they are cached in.
///
/// Whoever caches a file makes all calls with the file's lock held, but for `synchronize`: beside that one only `read` is called, so
/// that nobody who wants a page waits for a disk. Otherwise a store need not be safe for several threads.
public protocol BackingStore: Sendable {
    /// What reading and writing can fail with.
    associatedtype Failure: Error

    /// Whether it can be written and resized at all; always the same.
    var isWritable: Bool { get }
    /// How many bytes the store has.
    func byteCount() throws(Failure) -> UInt64
    /// Fills `bytes` from an offset on. What is behind the end is zero.
    func read(at offset: UInt64, into bytes: inout [UInt8]) throws(Failure)
    /// Writes all of `bytes` from an offset on; the store grows if it has to.
    func write(_ bytes: [UInt8], at offset: UInt64) throws(Failure)
    /// Makes the store shorter, or longer with zeros.
    func resize(to byteCount: UInt64) throws(Failure)
    /// Returns when all that was written is where it outlives a failure of the system.
    ///
    /// - Throws: Also what became of earlier writes and is known only now; nobody is told that twice.
    func synchronize() throws(Failure)
}
