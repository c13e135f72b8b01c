import Synchronization

/// What a thread came to.
struct ThreadResult: Sendable {
    var counts = StressCounts()
    /// For each file and half of a page, what the thread wrote last.
    var writes: [[UInt64: FileWrite]] = []
}

/// What each thread came to.
final class ThreadResults: Sendable {
    private let results: Mutex<[ThreadResult]>

    init(_ threads: Int) { results = Mutex([ThreadResult](repeating: ThreadResult(), count: threads)) }

    func set(_ result: ThreadResult, of thread: Int) { results.withLock { $0[thread] = result } }

    var all: [ThreadResult] { results.withLock { $0 } }
}
