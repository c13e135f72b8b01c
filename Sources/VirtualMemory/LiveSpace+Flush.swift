import PageTables
import TableMemory

extension LiveSpace {
    /// Makes processors forget what they keep of a range's old entries, tables included. Called after entries were cleared,
    /// before anything takes their place or their memory is given to somebody else.
    ///
    /// Nothing is to be done: processors keep no translations of the spaces here.
    @inlinable
    @inline(__always)
    func flush<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {}
}
