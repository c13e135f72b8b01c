import PageTables
import TableMemory

/// Pages that stay where they are until they are unpinned, whatever happens to the mapping they were found by.
public struct Pin: Hashable, Sendable {
    /// Where the pages are.
    public let range: PhysicalRange
    /// The block that holds the pins.
    public let head: Frame
    public let pages: UInt32

    @inlinable
    init(range: PhysicalRange, head: Frame, pages: UInt32) {
        self.range = range
        self.head = head
        self.pages = pages
    }
}

extension LiveSpace {
    /// Gives up a pin. Whoever gives up the last reference frees the block.
    @inlinable
    public func unpin<Memory: SharedMemory>(_ pin: Pin, in memory: borrowing Memory) throws(Memory.Failure) {
        try references.unpin(pin.pages, on: pin.head, in: memory)
    }
}
