import PageTables
import TableMemory

/// All that the tables of one address space say, from one reading: what is mapped, the tables themselves, and what was
/// odd about them. Dumps, statistics, audits and reverse maps are questions to a survey.
public struct Survey: Sendable {
    /// In the order of addresses; neighbours that could be one range are one.
    public internal(set) var ranges: [MappedRange] = []
    /// Each distinct table once, in the order in which the walk met them; not those of which nothing is in memory.
    public internal(set) var tables: [SurveyedTable] = []
    /// In the order in which the walk met them.
    public internal(set) var oddities: [Oddity] = []
    /// Oddities beyond the limit, which are counted only.
    public internal(set) var furtherOddities = 0

    /// A survey of nothing.
    public init() {}
}

/// A table that a survey has read.
public struct SurveyedTable: Hashable, Sendable {
    public let address: PhysicalAddress
    public let level: Level
    /// The indexes that were visited, from the first to the last.
    public internal(set) var indexes: IndexLimits
    public let entryBytes: Int
    /// The first address that the table was reached by.
    public let base: VirtualAddress
    public internal(set) var leaves: Int
    public internal(set) var tables: Int

    /// The memory that the visited entries take.
    public var physicalRange: PhysicalRange {
        let first = address.rawValue &+ UInt64(truncatingIfNeeded: indexes.first &* entryBytes)
        let last = address.rawValue &+ UInt64(truncatingIfNeeded: (indexes.last &+ 1) &* entryBytes &- 1)
        return PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(max(first, last)))
    }

    public var byteCount: Int { (indexes.last - indexes.first + 1) * entryBytes }
}

/// Something in the tables that is not as it should be, or that the survey did not follow.
public struct Oddity: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// The entry breaks a rule of the format.
        case malformed(Entry, Malformation)
        /// The entry points to a table that the path to it has come through already.
        case loop(to: PhysicalAddress)
        /// The table, or so many entries of it, are not in memory.
        case absent(entries: Int)
        /// What the entry points to was mapped before and is left out here, because repeating it would exceed the limit.
        case repeatLeftOut(table: PhysicalAddress)
    }

    public let kind: Kind
    public let position: EntryPosition
    /// The first address that the entry is for.
    public let address: VirtualAddress
    /// How many entries of the same table have the same oddity in a row.
    public internal(set) var count: Int
}

/// What a survey may spend beyond one look at each distinct table.
public struct SurveyLimits: Sendable {
    /// Ranges that are repeated because a table is reached by several entries. Three hostile tables are enough to ask for
    /// 2^36 of them.
    public var repeatedRanges: Int
    public var oddities: Int

    public init(repeatedRanges: Int = 1 << 20, oddities: Int = 10_000) {
        self.repeatedRanges = repeatedRanges
        self.oddities = oddities
    }
}

extension AddressSpace {
    /// Reads the tables below a range of addresses and says all there is to say about them.
    ///
    /// Each distinct table is read once, however many entries reach it: what it maps is repeated from the first reading.
    /// (Once for each set of rights above it and for each part of it that such an entry or the range leaves; formats
    /// have few.) A table that contains itself is reported and not followed.
    /// - Throws: The memory's failure, but for those that only say that a table is not there.
    /// - Complexity: The distinct tables and the ranges found. Memory: 32 bytes a range, about 100 a table.
    @inlinable
    public func survey<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ range: VirtualRange = .all, in memory: borrowing Memory, limits: SurveyLimits = SurveyLimits()
    ) throws(Memory.Failure) -> Survey {
        var surveyor = Surveyor(format, limits: limits)
        try walk(range, in: memory, visitor: &surveyor)
        return surveyor.finish()
    }
}

/// The visitor that makes a survey.
@usableFromInline
struct Surveyor<Format: PageTableFormat>: PageWalkVisitor {
    /// Tables reached with the same rights above them map the same; with other rights, they do not.
    @usableFromInline
    struct Reach: Hashable {
        let table: PhysicalAddress
        let level: Level
        let limits: IndexLimits
        let rights: Rights
    }

    /// Where the ranges of a table that was read are in the log.
    @usableFromInline
    struct Reading {
        let base: VirtualAddress
        let log: Range<Int>
    }

    struct Place: Hashable {
        let table: PhysicalAddress
        let level: Level
    }

    struct OpenTable {
        let table: PhysicalAddress
        /// Where its entries are counted; `nil` if they were counted before.
        var tableIndex: Int?
        let logStart: Int
    }

    // Ranges in the order found; no range of one table is merged with one of another, so that each table's stay apart.
    @usableFromInline
    var log: [MappedRange] = []
    // The range that is growing, kept out of the log: its parts, and what the next leaf must be to continue it.
    @usableFromInline
    var first: UInt64 = 0
    @usableFromInline
    var physical: UInt64 = 0
    @usableFromInline
    var bytes: UInt64 = 0
    @usableFromInline
    var bits: UInt64 = 0
    @usableFromInline
    var attributes = EntryAttributes(rights: [])
    @usableFromInline
    var pageSize = PageSize(log2Bytes: 0)
    @usableFromInline
    var leaves = 0
    @usableFromInline
    var currentLevel: UInt8 = 0

    let format: Format
    var limits: SurveyLimits
    var survey = Survey()
    var open: [OpenTable] = []
    /// The entry that points to the table that is entered next.
    var pointer: EntryPosition?
    var readings: [Reach: Reading] = [:]
    var tableIndexes: [Place: Int] = [:]

    @usableFromInline
    init(_ format: Format, limits: SurveyLimits) {
        self.format = format
        self.limits = limits
    }

    @usableFromInline
    mutating func enter(_ visit: TableVisit) -> WalkAction {
        flush()
        if open.isEmpty { pointer = nil }
        if open.contains(where: { $0.table == visit.table }) {
            report(.loop(to: visit.table), pointer ?? visit.position(visit.visited.first), visit.base)
            return .skip
        }
        let reach = Reach(table: visit.table, level: visit.level, limits: visit.limits, rights: visit.rights)
        if visit.isWhole, let reading = readings[reach] {
            `repeat`(reading, at: visit)
            return .skip
        }
        let index = note(visit)
        open.append(OpenTable(table: visit.table, tableIndex: index, logStart: log.count))
        leaves = 0
        currentLevel = UInt8(truncatingIfNeeded: visit.level.rawValue)
        return .proceed
    }

    @usableFromInline
    mutating func leave(_ visit: TableVisit) {
        flush()
        guard let closed = open.popLast() else { return }
        if let index = closed.tableIndex { survey.tables[index].leaves += leaves }
        leaves = 0
        if visit.isWhole {
            let reach = Reach(table: visit.table, level: visit.level, limits: visit.limits, rights: visit.rights)
            readings[reach] = Reading(base: visit.base, log: closed.logStart..<log.count)
        }
    }

    @inlinable
    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let place = format.physical(of: entry, at: visit.level, for: first).rawValue
        let entryBits = format.attributeBits(of: entry, at: visit.level)
        let size = last.rawValue &- first.rawValue &+ 1
        leaves &+= 1
        if bytes != 0 && entryBits == bits && first.rawValue == self.first &+ bytes && place == physical &+ bytes {
            bytes &+= size
            return .proceed
        }
        flush()
        self.first = first.rawValue
        physical = place
        bytes = size
        bits = entryBits
        pageSize = format.leafSize(of: entry, at: visit.level)
        currentLevel = UInt8(truncatingIfNeeded: visit.level.rawValue)
        attributes = format.attributes(of: entry, at: visit.level)
        attributes.rights = format.effectiveRights(attributes.rights.intersection(visit.rights))
        return .proceed
    }

    @usableFromInline
    mutating func table(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        flush()
        pointer = visit.position(index)
        if let index = open.last?.tableIndex {
            survey.tables[index].tables += 1
            survey.tables[index].leaves += leaves
        }
        leaves = 0
        return .proceed
    }

    @usableFromInline
    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        let reason = format.malformation(of: entry, at: visit.level) ?? .tableBelowLeafTable
        report(.malformed(entry, reason), visit.position(index), first)
        return .proceed
    }

    @usableFromInline
    mutating func absent(_ indexes: IndexLimits, in visit: borrowing TableVisit) {
        if indexes == visit.visited { forget(visit) }
        let offset = UInt64(truncatingIfNeeded: indexes.first) &<< format.shift(visit.level)
        report(
            .absent(entries: indexes.last &- indexes.first &+ 1), visit.position(indexes.first),
            VirtualAddress(visit.base.rawValue &+ offset))
    }

    /// Closes the range that is growing.
    @inlinable
    @inline(__always)
    mutating func flush() { if bytes != 0 { close() } }

    @inlinable
    mutating func close() {
        log.append(
            MappedRange(
                first: VirtualAddress(first), physical: PhysicalAddress(physical), lastOffset: bytes &- 1,
                attributes: attributes, pageSize: pageSize, level: currentLevel))
        bytes = 0
    }

    /// Remembers a table, or finds the one that was remembered: its two halves, or its readings with other rights.
    /// - Returns: `nil` if the table's entries were counted before.
    private mutating func note(_ visit: TableVisit) -> Int? {
        let place = Place(table: visit.table, level: visit.level)
        let visited = visit.visited
        if let index = tableIndexes[place] {
            let known = survey.tables[index].indexes
            survey.tables[index].indexes = IndexLimits(
                first: min(known.first, visited.first), last: max(known.last, visited.last))
            if visited.first > known.last || visited.last < known.first { return index }
            // Read again because the rights above it differ, or another part of it is wanted: the larger reading counts.
            if visited.last - visited.first <= known.last - known.first { return nil }
            survey.tables[index].leaves = 0
            survey.tables[index].tables = 0
            return index
        }
        tableIndexes[place] = survey.tables.count
        survey.tables.append(
            SurveyedTable(
                address: visit.table, level: visit.level, indexes: visited, entryBytes: Format.entryBytes,
                base: visit.base, leaves: 0, tables: 0))
        return survey.tables.count - 1
    }

    /// Forgets a table that turned out not to be there, unless other entries of it are.
    private mutating func forget(_ visit: borrowing TableVisit) {
        guard let index = open.last?.tableIndex, index == survey.tables.count - 1,
            survey.tables[index].indexes == visit.visited
        else { return }
        survey.tables.removeLast()
        tableIndexes[Place(table: visit.table, level: visit.level)] = nil
        open[open.count - 1].tableIndex = nil
    }

    private mutating func `repeat`(_ reading: Reading, at visit: TableVisit) {
        guard !reading.log.isEmpty else { return }
        guard reading.log.count <= limits.repeatedRanges else {
            report(
                .repeatLeftOut(table: visit.table), pointer ?? visit.position(visit.visited.first), visit.base)
            return
        }
        limits.repeatedRanges -= reading.log.count
        let delta = visit.base.rawValue &- reading.base.rawValue
        for index in reading.log { log.append(log[index].shifted(by: delta)) }
    }

    private mutating func report(_ kind: Oddity.Kind, _ position: EntryPosition, _ address: VirtualAddress) {
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

    /// Merges what tables kept apart.
    @usableFromInline
    consuming func finish() -> Survey {
        flush()
        var result = survey
        var merged: [MappedRange] = []
        func add(_ range: MappedRange) {
            if let last = merged.last, last.continues(into: range) {
                merged[merged.count - 1] = last.extended(by: range)
            } else {
                merged.append(range)
            }
        }
        for range in log {
            if let (below, above) = range.parts {
                add(below)
                add(above)
            } else {
                add(range)
            }
        }
        result.ranges = merged
        return result
    }
}
