import PageTables
import TableMemory

/// The root of a live address space: its top table and that table's level, which is its depth.
///
/// Both are published in one word, because a walker must never combine the table of one moment with the depth of another
/// (AMD's IOMMU driver kept them in two, and a walker used a new root with the old level count). The level is in the
/// lowest bits, which are zero in the address of a table.
public struct SpaceRoot: Hashable, Sendable {
    public let table: PhysicalAddress
    public let topLevel: Level

    @inlinable
    public init(table: PhysicalAddress, topLevel: Level) {
        self.table = table
        self.topLevel = topLevel
    }

    @inlinable
    public init(word: UInt64) {
        table = PhysicalAddress(word & ~7)
        topLevel = Level(Int(truncatingIfNeeded: word & 7))
    }

    @inlinable
    public var word: UInt64 { table.rawValue | UInt64(truncatingIfNeeded: topLevel.rawValue) & 7 }
}
