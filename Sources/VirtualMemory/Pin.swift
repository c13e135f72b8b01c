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

extension SafetyRule {
    @inlinable
    public static var markDirtyBeforeUnpin: SafetyRule {
        SafetyRule(
            name: "markDirtyBeforeUnpin",
            demand: "Who has written to a page through a pin marks it dirty before it gives the pin up.",
            history: "A device wrote after the page was written back, and nobody knew (Linux, set_page_dirty_lock).")
    }
}

extension LiveSpace {
    /// Gives up a pin. Whoever gives up the last reference frees the block.
    ///
    /// - Parameter dirty: Whether the pages may have been written through the pin. The page of a file would lose that if it was
    ///   written back meanwhile.
    @inlinable
    public func unpin<Memory: SharedMemory>(
        _ pin: Pin, dirty: Bool = false, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        if dirty, memory.enforces(.markDirtyBeforeUnpin) { try references.markDirty(pin.head, in: memory) }
        try references.unpin(pin.pages, on: pin.head, in: memory)
    }
}
