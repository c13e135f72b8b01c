/// When a store of one thread becomes visible to the others.
public enum MemoryModel: String, CaseIterable, Hashable, Sendable, CustomStringConvertible {
    /// At once: a word has one value, and every access works on it.
    case sequential = "sc"
    /// As on x86 and SPARC: each thread has a buffer of stores, which are performed in the thread's order, each at some later
    /// time. The thread itself sees its own stores at once.
    ///
    /// S. Owens, S. Sarkar, P. Sewell: A better x86 memory model: x86-TSO, TPHOLs 2009, without a bound on the buffers.
    case totalStoreOrder = "tso"

    public var description: String {
        switch self {
        case .sequential: "sequentially consistent"
        case .totalStoreOrder: "total store order"
        }
    }
}
