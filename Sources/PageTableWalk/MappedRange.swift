import PageTables

/// Consecutive addresses that are mapped to consecutive physical addresses with the same attributes and page size.
public struct MappedRange: Hashable, Sendable {
    public let first: VirtualAddress
    public let physical: PhysicalAddress
    /// Bytes but one, so that even 2^64 of them can be counted.
    public let lastOffset: UInt64
    public let attributes: EntryAttributes
    /// The size of the pages, or of the runs of pages, that the range is made of.
    public let pageSize: PageSize
    /// The level of the tables whose leaves map the range.
    public let level: UInt8

    @inlinable
    public init(
        first: VirtualAddress, physical: PhysicalAddress, lastOffset: UInt64, attributes: EntryAttributes,
        pageSize: PageSize, level: UInt8
    ) {
        self.first = first
        self.physical = physical
        self.lastOffset = lastOffset
        self.attributes = attributes
        self.pageSize = pageSize
        self.level = level
    }

    @inlinable
    public var last: VirtualAddress { VirtualAddress(first.rawValue &+ lastOffset) }

    public var virtual: VirtualRange { VirtualRange(first: first, last: last) }

    /// The physical addresses, cut at the top of what 64 bits can name.
    public var physicalRange: PhysicalRange {
        let (end, overflow) = physical.rawValue.addingReportingOverflow(lastOffset)
        return PhysicalRange(first: physical, last: PhysicalAddress(overflow ? .max : end))
    }

    /// Bytes of the range; all 2^64 of them count as one less.
    @inlinable
    public var byteCount: UInt64 { lastOffset == .max ? .max : lastOffset &+ 1 }

    /// Whether `next` starts where this ends, in both address spaces, and is the same otherwise.
    @inlinable
    func continues(into next: MappedRange) -> Bool {
        next.first.rawValue &- first.rawValue &- 1 == lastOffset
            && next.physical.rawValue &- physical.rawValue &- 1 == lastOffset
            && next.physical.rawValue != 0 && next.attributes == attributes && next.pageSize == pageSize
            && lastOffset &+ next.lastOffset &+ 1 > lastOffset
    }

    @inlinable
    func extended(by next: MappedRange) -> MappedRange {
        MappedRange(
            first: first, physical: physical, lastOffset: lastOffset &+ next.lastOffset &+ 1, attributes: attributes,
            pageSize: pageSize, level: level)
    }

    /// The range in two parts, where its physical addresses pass the top of what 64 bits can name and go on at 0.
    var parts: (MappedRange, MappedRange)? {
        let below = 0 &- physical.rawValue
        guard below != 0, below <= lastOffset else { return nil }
        return (
            MappedRange(
                first: first, physical: physical, lastOffset: below &- 1, attributes: attributes, pageSize: pageSize,
                level: level),
            MappedRange(
                first: VirtualAddress(first.rawValue &+ below), physical: PhysicalAddress(0),
                lastOffset: lastOffset &- below, attributes: attributes, pageSize: pageSize, level: level)
        )
    }

    /// The same mapping `delta` bytes further up.
    @inlinable
    func shifted(by delta: UInt64) -> MappedRange {
        MappedRange(
            first: VirtualAddress(first.rawValue &+ delta), physical: physical, lastOffset: lastOffset,
            attributes: attributes, pageSize: pageSize, level: level)
    }
}
