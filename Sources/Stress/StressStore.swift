import Synchronization
import TableMemory

/// What is behind a file of a stress: bytes, whose reading and writing fails now and then, and which notices two calls at once.
final class StressStore: BackingStore, @unchecked Sendable {
    // Unchecked: whoever caches the file calls with the file's lock held. That is what `isBusy` verifies.

    struct Failure: Error {}

    private(set) var bytes: [UInt8]
    private var random: SplitMix64
    /// One in so many calls fails; 0 for none.
    private let failsOneIn: UInt64
    private let pageBytes: Int
    private(set) var pagesWritten: UInt64 = 0
    private let isBusy = Atomic(false)
    private let log: ViolationLog
    private let neverFails = Atomic(false)

    init(_ bytes: [UInt8], pageBytes: Int, failsOneIn: UInt64, seed: UInt64, _ log: ViolationLog) {
        self.bytes = bytes
        self.pageBytes = pageBytes
        self.failsOneIn = failsOneIn
        random = SplitMix64(seed: seed)
        self.log = log
    }

    /// From here on nothing fails.
    func stopFailing() { neverFails.store(true, ordering: .relaxed) }

    @inline(never)
    private func begin(canFail: Bool) throws(Failure) {
        if isBusy.exchange(true, ordering: .relaxed) { log.add("a store is called by two threads at once") }
        guard canFail, failsOneIn > 0, !neverFails.load(ordering: .relaxed), random.once(in: failsOneIn) else { return }
        end()
        throw Failure()
    }

    private func end() { isBusy.store(false, ordering: .relaxed) }

    var isWritable: Bool { true }

    func byteCount() throws(Failure) -> UInt64 { UInt64(bytes.count) }

    func read(at offset: UInt64, into target: inout [UInt8]) throws(Failure) {
        try begin(canFail: true)
        let start = min(Int(offset), bytes.count)
        let end = min(start + target.count, bytes.count)
        target.replaceSubrange(0..<end - start, with: bytes[start..<end])
        for index in end - start..<target.count { target[index] = 0 }
        self.end()
    }

    func write(_ source: [UInt8], at offset: UInt64) throws(Failure) {
        try begin(canFail: true)
        let end = Int(offset) + source.count
        if end > bytes.count {
            log.add("bytes up to \(end) are written to a store of \(bytes.count)")
        } else {
            bytes.replaceSubrange(Int(offset)..<end, with: source)
        }
        pagesWritten += UInt64((source.count + pageBytes - 1) / pageBytes)
        self.end()
    }

    func resize(to byteCount: UInt64) throws(Failure) {
        try begin(canFail: true)
        let count = Int(byteCount)
        if count > bytes.count {
            bytes += [UInt8](repeating: 0, count: count - bytes.count)
        } else {
            bytes.removeLast(bytes.count - count)
        }
        end()
    }

    /// Bytes in memory are as lasting as they get.
    func synchronize() {}
}
