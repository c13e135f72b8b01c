import PageTables
import TableMemory

/// All that the tables of one address space say, from one reading: what is mapped, the tables themselves, and what was
/// odd about them. Dumps, statistics, audits and reverse maps are questions to a survey.
public struct Survey: Sendable {
    /// In the order of addresses; neighbours that could be one range are one.
    public internal(set) var ranges: [MappedRange] = []
    /// What maps nothing, in the order of addresses, if it was asked for: not what tables say that are malformed, not in
    /// memory, or not followed.
    public internal(set) var holes: [Hole] = []
    /// Each distinct table once, in the order in which the walk met them; not those of which nothing is in memory.
    public internal(set) var tables: [SurveyedTable] = []
    /// In the order in which the walk met them.
    public internal(set) var oddities: [Oddity] = []
    /// Oddities beyond the limit, which are counted only.
    public internal(set) var furtherOddities = 0

    /// A survey of nothing.
    public init() {}
}

/// Consecutive addresses that map nothing, because entries of one level do not.
public struct Hole: Hashable, Sendable {
    public let virtual: VirtualRange
    /// The level of the tables whose entries map nothing: how far a walk comes.
    public let level: Level

    public init(_ virtual: VirtualRange, level: Level) {
        self.virtual = virtual
        self.level = level
    }
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
    /// Ranges and holes that are repeated because a table is reached by several entries. Three hostile tables are enough to ask for
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
    /// - Parameter holes: Whether what maps nothing is wanted as well.
    /// - Throws: The memory's failure, but for those that only say that a table is not there.
    /// - Complexity: The distinct tables and the ranges found. Memory: 32 bytes a range or hole, about 100 a table.
    @inlinable
    public func survey<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ range: VirtualRange = .all, in memory: borrowing Memory, limits: SurveyLimits = SurveyLimits(),
        holes: Bool = false
    ) throws(Memory.Failure) -> Survey {
        var surveyor = Surveyor(format, limits: limits, keepsHoles: holes)
        try walk(range, in: memory, visitor: &surveyor)
        return surveyor.book.finish()
    }
}
