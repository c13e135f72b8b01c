import PageTables

/// The visitor that makes a survey.
///
/// What happens for each entry is here, compiled for the format. What happens for each table is in `SurveyBook`, which
/// knows no format: a generic function of another module would run unspecialised.
@usableFromInline
struct Surveyor<Format: PageTableFormat>: PageWalkVisitor {
    @usableFromInline
    var book: SurveyBook
    @usableFromInline
    var leaves = 0

    @usableFromInline
    let format: Format
    @usableFromInline
    let keepsHoles: Bool

    @inlinable
    init(_ format: Format, limits: SurveyLimits, keepsHoles: Bool) {
        self.format = format
        self.keepsHoles = keepsHoles
        book = SurveyBook(limits: limits)
    }

    @inlinable
    static var joinsLeaves: Bool { true }

    @inlinable
    mutating func enter(_ visit: TableVisit) -> WalkAction {
        book.enter(visit, entryBytes: Format.entryBytes) ? .proceed : .skip
    }

    @inlinable
    mutating func leave(_ visit: TableVisit) {
        book.leave(visit, leaves: leaves)
        leaves = 0
    }

    @inlinable
    mutating func leaves(
        _ entry: Entry, _ format: Format, at indexes: IndexLimits, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        leaves &+= indexes.last &- indexes.first &+ 1
        var attributes = format.attributes(of: entry, at: visit.level)
        attributes.rights = format.effectiveRights(attributes.rights.intersection(visit.rights))
        book.log.append(
            MappedRange(
                first: first, physical: format.physical(of: entry, at: visit.level, for: first),
                lastOffset: last.rawValue &- first.rawValue, attributes: attributes,
                pageSize: format.leafSize(of: entry, at: visit.level),
                level: UInt8(truncatingIfNeeded: visit.level.rawValue)))
        return .proceed
    }

    @inlinable
    mutating func table(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        book.countTable(visit.position(index), leaves: leaves)
        leaves = 0
        return .proceed
    }

    @inlinable
    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        let reason = format.malformation(of: entry, at: visit.level) ?? .tableBelowLeafTable
        book.report(.malformed(entry, reason), visit.position(index), first)
        return .proceed
    }

    @inlinable
    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction {
        if keepsHoles { book.holes.append(Hole(VirtualRange(first: first, last: last), level: visit.level)) }
        return .proceed
    }

    @inlinable
    mutating func absent(_ indexes: IndexLimits, in visit: borrowing TableVisit) {
        let offset = UInt64(truncatingIfNeeded: indexes.first) &<< format.shift(visit.level)
        book.absent(indexes, in: visit, at: VirtualAddress(visit.base.rawValue &+ offset))
    }
}
