import PageTableWalk
import PageTables

/// A visitor that writes down a line for each callback, and answers as it was told.
struct WalkJournal<Format: PageTableFormat>: PageWalkVisitor {
    private(set) var lines: [String] = []
    /// The values that leaves, tables and malformed entries were handed on with.
    private(set) var entries: [Entry] = []
    private(set) var rights: [Rights] = []
    /// What to answer when a line comes up, each answer once; then the walk goes on.
    var answers: [String: [WalkAction]] = [:]

    private mutating func write(_ line: String) -> WalkAction {
        lines.append(line)
        guard let answer = answers[line]?.first else { return .proceed }
        answers[line]?.removeFirst()
        return answer
    }

    mutating func enter(_ visit: TableVisit) -> WalkAction {
        rights.append(visit.rights)
        return write("enter \(visit.table) level \(visit.level)")
    }

    mutating func leave(_ visit: TableVisit) { _ = write("leave \(visit.table)") }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        entries.append(entry)
        return write("leaf \(VirtualRange(first: first, last: last))")
    }

    mutating func table(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        entries.append(entry)
        return write("table \(VirtualRange(first: first, last: last))")
    }

    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        entries.append(entry)
        return write("malformed \(first)")
    }

    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction {
        write("hole \(VirtualRange(first: first, last: last)) level \(visit.level)")
    }

    mutating func absent(_ indexes: IndexLimits, in visit: borrowing TableVisit) {
        _ = write("absent \(indexes.first)...\(indexes.last)")
    }
}
