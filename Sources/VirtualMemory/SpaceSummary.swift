import PageTableWalk
import PageTables
import TableMemory

/// What is mapped in a range, counted.
public struct SpaceSummary: Hashable, Sendable {
    /// Bytes that are mapped, by the level of the leaf.
    public var bytesByLevel: [UInt64] = [0, 0, 0, 0, 0]
    public var writableBytes: UInt64 = 0
    public var accessedBytes: UInt64 = 0
    public var dirtyBytes: UInt64 = 0
    /// Tables that were looked at.
    public var tableCount = 0

    public var mappedBytes: UInt64 { bytesByLevel.reduce(0, &+) }

    public init() {}
}

extension LiveSpace {
    /// Counts what is mapped in a range, while other threads map, unmap and free tables.
    ///
    /// The section is all that is needed: no lock is taken. The counts are of no single moment: what was mapped or unmapped
    /// meanwhile may be in them or not.
    /// - Complexity: The entries of the tables below the range.
    public func summary<Section: ReadWitness & ~Copyable>(
        of range: VirtualRange, in section: borrowing Section
    ) throws(Section.Failure) -> SpaceSummary {
        var visitor = SummaryVisitor<Format>()
        try view(in: section).walk(range, in: section, visitor: &visitor)
        return visitor.summary
    }
}

private struct SummaryVisitor<Format: PageTableFormat>: PageWalkVisitor {
    var summary = SpaceSummary()

    mutating func enter(_ visit: TableVisit) -> WalkAction {
        summary.tableCount += 1
        return .proceed
    }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let bytes = last.rawValue &- first.rawValue &+ 1
        summary.bytesByLevel[min(max(visit.level.rawValue, 0), 4)] &+= bytes
        let attributes = format.attributes(of: entry, at: visit.level)
        if format.effectiveRights(visit.rights.intersection(attributes.rights)).canWrite {
            summary.writableBytes &+= bytes
        }
        if attributes.flags.contains(.accessed) { summary.accessedBytes &+= bytes }
        if attributes.flags.contains(.dirty) { summary.dirtyBytes &+= bytes }
        return .proceed
    }
}
