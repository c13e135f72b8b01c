import PageTables

// How a table that several entries reach is read once: the ranges that its first reading found stay together in a log, and
// whoever reaches the table again copies them from there, moved to where it is reached. Ranges are merged across tables
// only at the end, so that each table's stay apart until then. What a table maps depends on the rights above it, so readings
// under other rights are readings of their own.

/// Where the ranges of a reading are in the log.
private struct TableReading {
    let rights: Rights
    let limits: IndexLimits
    let base: VirtualAddress
    let log: Range<Int>
}

private struct TablePlace: Hashable {
    let table: PhysicalAddress
    let level: Level
}

private struct OpenTable {
    let table: PhysicalAddress
    let tableIndex: Int
    let logStart: Int
}

/// What a survey keeps for each table, and the log of ranges.
@usableFromInline
struct SurveyBook {
    @usableFromInline
    var log: [MappedRange] = []
    private var limits: SurveyLimits
    private var survey = Survey()
    private var open: [OpenTable] = []
    private var indexes: [TablePlace: Int] = [:]
    /// Of each table of the survey, complete readings only.
    private var readings: [[TableReading]] = []

    @usableFromInline
    init(limits: SurveyLimits) { self.limits = limits }

    /// - Returns: False if the table is not to be read: it is being read already, or was before.
    @usableFromInline
    mutating func enter(_ visit: TableVisit, entryBytes: Int) -> Bool {
        if open.contains(where: { $0.table == visit.table }) {
            report(.loop(to: visit.table), visit.position(visit.visited.first), visit.base)
            return false
        }
        let index = note(visit, entryBytes)
        if visit.isWhole,
            let reading = readings[index].first(where: { $0.rights == visit.rights && $0.limits == visit.limits })
        {
            `repeat`(reading, at: visit)
            return false
        }
        if !readings[index].isEmpty {
            // Read again because the rights above it differ: its entries are counted once.
            survey.tables[index].leaves = 0
            survey.tables[index].tables = 0
        }
        open.append(OpenTable(table: visit.table, tableIndex: index, logStart: log.count))
        return true
    }

    @usableFromInline
    mutating func leave(_ visit: TableVisit, leaves: Int) {
        guard let closed = open.popLast() else { return }
        survey.tables[closed.tableIndex].leaves += leaves
        if visit.isWhole {
            readings[closed.tableIndex].append(
                TableReading(
                    rights: visit.rights, limits: visit.limits, base: visit.base, log: closed.logStart..<log.count))
        }
    }

    /// Counts an entry of the open table that points to another, and the leaves before it.
    @usableFromInline
    mutating func countTable(leaves: Int) {
        guard let open = open.last else { return }
        survey.tables[open.tableIndex].tables += 1
        survey.tables[open.tableIndex].leaves += leaves
    }

    /// Remembers a table, or finds it: its two halves, or its readings under other rights.
    private mutating func note(_ visit: TableVisit, _ entryBytes: Int) -> Int {
        let place = TablePlace(table: visit.table, level: visit.level)
        if let index = indexes[place] {
            let known = survey.tables[index].indexes
            survey.tables[index].indexes = IndexLimits(
                first: min(known.first, visit.visited.first), last: max(known.last, visit.visited.last))
            return index
        }
        indexes[place] = survey.tables.count
        survey.tables.append(
            SurveyedTable(
                address: visit.table, level: visit.level, indexes: visit.visited, entryBytes: entryBytes,
                base: visit.base, leaves: 0, tables: 0))
        readings.append([])
        return survey.tables.count - 1
    }

    private mutating func `repeat`(_ reading: TableReading, at visit: TableVisit) {
        guard !reading.log.isEmpty else { return }
        guard reading.log.count <= limits.repeatedRanges else {
            report(.repeatLeftOut(table: visit.table), visit.position(visit.visited.first), visit.base)
            return
        }
        limits.repeatedRanges -= reading.log.count
        let delta = visit.base.rawValue &- reading.base.rawValue
        for index in reading.log { log.append(log[index].shifted(by: delta)) }
    }

    @usableFromInline
    mutating func report(_ kind: Oddity.Kind, _ position: EntryPosition, _ address: VirtualAddress) {
        if let last = survey.oddities.last, last.kind == kind, last.position.table == position.table,
            last.position.index + last.count == position.index
        {
            survey.oddities[survey.oddities.count - 1].count += 1
        } else if survey.oddities.count < limits.oddities {
            survey.oddities.append(Oddity(kind: kind, position: position, address: address, count: 1))
        } else {
            survey.furtherOddities += 1
        }
    }

    /// Merges what tables kept apart, in place.
    @usableFromInline
    mutating func finish() -> Survey {
        var ranges: [MappedRange] = []
        swap(&ranges, &log)
        var kept = 0
        for index in ranges.indices.dropFirst() {
            if ranges[kept].continues(into: ranges[index]) {
                ranges[kept] = ranges[kept].extended(by: ranges[index])
            } else {
                kept += 1
                if kept != index { ranges[kept] = ranges[index] }
            }
        }
        if kept + 1 < ranges.count { ranges.removeLast(ranges.count - kept - 1) }
        survey.ranges = ranges
        return survey
    }
}
