import PageTables
import TableMemory

/// An entry as it was when it was loaded, and where: what a second look needs.
@usableFromInline
struct LoadedEntry {
    @usableFromInline
    let value: Entry
    @usableFromInline
    let place: PhysicalAddress

    @inlinable
    init(value: Entry, place: PhysicalAddress) {
        self.value = value
        self.place = place
    }
}

extension LiveSpace {
    /// The second look.
    @inlinable
    @inline(__always)
    func isStill<Memory: TableMemory & ~Copyable>(
        _ entry: LoadedEntry, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool { try memory.load(format, entry.place) == entry.value }
}
