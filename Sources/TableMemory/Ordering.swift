// Orderings are values of the seam's own and not those of a compiler: a strategy that is chosen statically can weaken one,
// and a checker can look at it. On the host each folds to one instruction.

/// How a load is ordered with what follows it.
public enum LoadOrdering: Sendable {
    case relaxed
    /// What follows in program order does not happen before it.
    case acquire
}

/// How a store is ordered with what precedes it.
public enum StoreOrdering: Sendable {
    case relaxed
    /// What precedes in program order does not happen after it.
    case release
}

/// How a read-modify-write is ordered.
public enum UpdateOrdering: Sendable {
    case relaxed
    case acquire
    case release
    case acquireRelease
    /// A full barrier before and after, as Linux's value-returning atomics have. A sequentially consistent update of C11 is
    /// weaker: other accesses may be reordered around it.
    case full
}

/// A fence of its own.
public enum FenceOrdering: Sendable {
    /// Earlier loads before later loads and stores.
    case acquire
    /// Earlier loads and stores before later stores.
    case release
    /// Everything before everything.
    case full
}
