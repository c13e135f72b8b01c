import Synchronization

/// What each thread came to.
final class ThreadResults: Sendable {
    private let counts: Mutex<[StressCounts]>

    init(_ threads: Int) { counts = Mutex([StressCounts](repeating: StressCounts(), count: threads)) }

    func set(_ result: StressCounts, of thread: Int) { counts.withLock { $0[thread] = result } }

    var all: [StressCounts] { counts.withLock { $0 } }
}
