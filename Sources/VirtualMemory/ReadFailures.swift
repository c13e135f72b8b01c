/// Which pages of a file could last not be read, and why: the newest failures, each page once.
struct ReadFailures<Failure: Error> {
    /// Whoever was refused asks soon; a store that fails everywhere fills no memory with it.
    static var limit: Int { 64 }

    /// The oldest first.
    private var failures: [(page: UInt64, failure: Failure)] = []

    /// Complexity: the limit, as of all that follows.
    subscript(page: UInt64) -> Failure? { failures.last { $0.page == page }?.failure }

    mutating func note(_ failure: Failure, ofPage page: UInt64) {
        forget(page)
        if failures.count == Self.limit { failures.removeFirst() }
        failures.append((page, failure))
    }

    mutating func forget(_ page: UInt64) { forget { $0 == page } }
    mutating func forget(from page: UInt64) { forget { $0 >= page } }

    private mutating func forget(_ isMeant: (UInt64) -> Bool) {
        if !failures.isEmpty { failures.removeAll { isMeant($0.page) } }
    }
}
