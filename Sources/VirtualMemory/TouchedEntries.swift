import PageTables

/// The entries of a table that a range of addresses touches, in order, each with the part of the range that it covers.
@usableFromInline
struct TouchedEntries<Format: WritableFormat> {
    @usableFromInline
    struct Part {
        /// Where the entry is.
        @usableFromInline
        let place: PhysicalAddress
        @usableFromInline
        let first: VirtualAddress
        @usableFromInline
        let last: VirtualAddress
        /// Whether the range has all that the entry covers.
        @usableFromInline
        let isWhole: Bool

        @inlinable
        init(place: PhysicalAddress, first: VirtualAddress, last: VirtualAddress, isWhole: Bool) {
            self.place = place
            self.first = first
            self.last = last
            self.isWhole = isWhole
        }
    }

    @usableFromInline
    let format: Format
    @usableFromInline
    let table: PhysicalAddress
    @usableFromInline
    let level: Level
    /// `nil` behind the last part: the address behind it may not exist.
    @usableFromInline
    var next: VirtualAddress?
    @usableFromInline
    let last: VirtualAddress

    /// - Precondition: One table at `level` covers `first ... last`.
    @inlinable
    init(
        _ format: Format, of table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress
    ) {
        self.format = format
        self.table = table
        self.level = level
        next = first
        self.last = last
    }

    @inlinable
    @inline(__always)
    mutating func nextPart() -> Part? {
        guard let first = next else { return nil }
        let mask = format.offsetMask(level)
        let end = VirtualAddress(min(first.rawValue | mask, last.rawValue))
        next = end == last ? nil : VirtualAddress(end.rawValue &+ 1)
        let offset = UInt64(truncatingIfNeeded: format.index(of: first, at: level) &* Format.entryBytes)
        return Part(
            place: PhysicalAddress(table.rawValue &+ offset), first: first, last: end,
            isWhole: (first.rawValue | ~end.rawValue) & mask == 0)
    }
}
