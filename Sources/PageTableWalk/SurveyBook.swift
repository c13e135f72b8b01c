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
    let holes: Range<Int>
}

private struct TablePlace: Hashable {
    let table: PhysicalAddress
    let level: Level
}

private struct OpenTable {
    let table: PhysicalAddress
    let tableIndex: Int
    /// Whether its entries are counted; they are not if they were before.
    var counts: Bool
    let logStart: Int
    let holeStart: Int
}

/// What a survey keeps for each table, and the logs of ranges and of holes.
@usableFromInline
struct SurveyBook {
    @usableFromInline
    var log: [MappedRange] = []
    @usableFromInline
    var holes: [Hole] = []
    private var limits: SurveyLimits
    private var survey = Survey()
    private var open: [OpenTable] = []
    /// The entry that points to the table that is entered next.
    private var pointer: EntryPosition?
    private var indexes: [TablePlace: Int] = [:]
    /// Of each table of the survey, complete readings only.
    private var readings: [[TableReading]] = []

    @usableFromInline
    init(limits: SurveyLimits) { self.limits = limits }

    /// - Returns: False if the table is not to be read: it is being read already, or was before.
    @usableFromInline
    mutating func enter(_ visit: TableVisit, entryBytes: Int) -> Bool {
        if open.isEmpty { pointer = nil }
        if open.contains(where: { $0.table == visit.table }) {
            report(.loop(to: visit.table), pointer ?? visit.position(visit.visited.first), visit.base)
            return false
        }
        let place = TablePlace(table: visit.table, level: visit.level)
        if visit.isWhole, let index = indexes[place],
            let reading = readings[index].first(where: { $0.rights == visit.rights && $0.limits == visit.limits })
        {
            `repeat`(reading, at: visit)
            return false
        }
        let (index, counts) = note(visit, place, entryBytes)
        open.append(
            OpenTable(
                table: visit.table, tableIndex: index, counts: counts, logStart: log.count, holeStart: holes.count))
        return true
    }

    @usableFromInline
    mutating func leave(_ visit: TableVisit, leaves: Int) {
        guard let closed = open.popLast(), closed.tableIndex < survey.tables.count else { return }
        if closed.counts { survey.tables[closed.tableIndex].leaves += leaves }
        if visit.isWhole {
            readings[closed.tableIndex].append(
                TableReading(
                    rights: visit.rights, limits: visit.limits, base: visit.base, log: closed.logStart..<log.count,
                    holes: closed.holeStart..<holes.count))
        }
    }

    /// Counts an entry of the open table that points to another, and the leaves before it.
    @usableFromInline
    mutating func countTable(_ position: EntryPosition, leaves: Int) {
        pointer = position
        guard let open = open.last, open.counts else { return }
        survey.tables[open.tableIndex].tables += 1
        survey.tables[open.tableIndex].leaves += leaves
    }

    @usableFromInline
    mutating func absent(_ entries: IndexLimits, in visit: borrowing TableVisit, at address: VirtualAddress) {
        if entries == visit.visited { forget(visit) }
        report(.absent(entries: entries.last &- entries.first &+ 1), visit.position(entries.first), address)
    }

    /// Remembers a table, or finds it: its two halves, or its readings under other rights.
    /// - Returns: Its index, and whether its entries are to be counted.
    private mutating func note(_ visit: TableVisit, _ place: TablePlace, _ entryBytes: Int) -> (Int, counts: Bool) {
        let visited = visit.visited
        if let index = indexes[place] {
            let known = survey.tables[index].indexes
            survey.tables[index].indexes = IndexLimits(
                first: min(known.first, visited.first), last: max(known.last, visited.last))
            if visited.first > known.last || visited.last < known.first { return (index, true) }
            // Read again because the rights above it differ, or another part of it is wanted: the larger reading counts.
            if visited.last - visited.first <= known.last - known.first { return (index, false) }
            survey.tables[index].leaves = 0
            survey.tables[index].tables = 0
            return (index, true)
        }
        indexes[place] = survey.tables.count
        survey.tables.append(
            SurveyedTable(
                address: visit.table, level: visit.level, indexes: visited, entryBytes: entryBytes, base: visit.base,
                leaves: 0, tables: 0))
        readings.append([])
        return (survey.tables.count - 1, true)
    }

    /// Forgets a table that turned out not to be there, unless other entries of it are.
    private mutating func forget(_ visit: borrowing TableVisit) {
        guard let last = open.last, last.counts, last.tableIndex == survey.tables.count - 1,
            survey.tables[last.tableIndex].indexes == visit.visited
        else { return }
        survey.tables.removeLast()
        readings.removeLast()
        indexes[TablePlace(table: visit.table, level: visit.level)] = nil
        open[open.count - 1].counts = false
    }

    private mutating func `repeat`(_ reading: TableReading, at visit: TableVisit) {
        let count = reading.log.count + reading.holes.count
        guard count <= limits.repeatedRanges else {
            report(
                .repeatLeftOut(table: visit.table), pointer ?? visit.position(visit.visited.first), visit.base)
            return
        }
        limits.repeatedRanges -= count
        let delta = visit.base.rawValue &- reading.base.rawValue
        for index in reading.log { log.append(log[index].shifted(by: delta)) }
        for index in reading.holes { holes.append(holes[index].shifted(by: delta)) }
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
        // A range whose memory wraps around at 2^64 is two; that takes hostile entries, and room for more.
        if ranges.contains(where: { $0.parts != nil }) {
            ranges = ranges.flatMap { range in range.parts.map { [$0.0, $0.1] } ?? [range] }
        }
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
        survey.holes = mergedHoles()
        return survey
    }

    private func mergedHoles() -> [Hole] {
        var merged: [Hole] = []
        for hole in holes {
            if let last = merged.last, last.continues(into: hole) {
                merged[merged.count - 1] = last.extended(by: hole)
            } else {
                merged.append(hole)
            }
        }
        return merged
    }
}

extension Hole {
    fileprivate func continues(into next: Hole) -> Bool {
        level == next.level && next.virtual.first.rawValue &- 1 == virtual.last.rawValue
    }

    fileprivate func extended(by next: Hole) -> Hole {
        Hole(VirtualRange(first: virtual.first, last: next.virtual.last), level: level)
    }

    fileprivate func shifted(by delta: UInt64) -> Hole {
        let first = VirtualAddress(virtual.first.rawValue &+ delta)
        return Hole(VirtualRange(first: first, last: VirtualAddress(virtual.last.rawValue &+ delta)), level: level)
    }
}
