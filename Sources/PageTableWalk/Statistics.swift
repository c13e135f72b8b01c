import PageTables

/// Counts over one survey.
public struct SurveyStatistics: Sendable {
    public struct LevelCount: Sendable {
        public let level: Level
        /// Distinct tables.
        public internal(set) var tables = 0
        public internal(set) var tableBytes = 0
        /// Slots of those tables, and those of them that hold a leaf or point to a table.
        public internal(set) var slots = 0
        public internal(set) var used = 0
        public internal(set) var leaves = 0

        /// Used slots of all slots, 0 ... 1.
        public var occupancy: Double { slots == 0 ? 0 : Double(used) / Double(slots) }
    }

    public struct SizeCount: Sendable {
        public let pageSize: PageSize
        public internal(set) var pages: UInt64 = 0
        public internal(set) var bytes: UInt64 = 0
    }

    /// From the top level down.
    public let levels: [LevelCount]
    /// From the smallest size up. Pages that are mapped several times count several times.
    public let sizes: [SizeCount]
    public let rangeCount: Int

    public var tableCount: Int { levels.reduce(0) { $0 + $1.tables } }
    public var tableBytes: Int { levels.reduce(0) { $0 + $1.tableBytes } }
    public var mappedBytes: UInt64 { sizes.reduce(0) { $0 &+ $1.bytes } }

    /// The part of the mapped bytes that pages larger than the smallest map, 0 ... 1.
    public var largePageCoverage: Double {
        let all = sizes.reduce(0.0) { $0 + Double($1.bytes) }
        guard all > 0, let base = sizes.first(where: { $0.pageSize == basePageSize }) else { return all > 0 ? 1 : 0 }
        return 1 - Double(base.bytes) / all
    }

    /// The size of a page that one leaf of a leaf table maps.
    public let basePageSize: PageSize
}

extension Survey {
    /// Counts tables and pages.
    /// - Complexity: The tables and ranges of the survey.
    public func statistics<Format: PageTableFormat>(of format: Format) -> SurveyStatistics {
        var levels: [Int: SurveyStatistics.LevelCount] = [:]
        for table in tables {
            var count = levels[table.level.rawValue] ?? SurveyStatistics.LevelCount(level: table.level)
            count.tables += 1
            count.tableBytes += table.byteCount
            count.slots += table.indexes.last - table.indexes.first + 1
            count.used += table.leaves + table.tables
            count.leaves += table.leaves
            levels[table.level.rawValue] = count
        }
        var sizes: [PageSize: SurveyStatistics.SizeCount] = [:]
        for range in ranges {
            var count = sizes[range.pageSize] ?? SurveyStatistics.SizeCount(pageSize: range.pageSize)
            count.bytes &+= range.byteCount
            count.pages &+= range.byteCount >> UInt64(range.pageSize.log2Bytes)
            sizes[range.pageSize] = count
        }
        return SurveyStatistics(
            levels: levels.values.sorted { $0.level > $1.level },
            sizes: sizes.values.sorted { $0.pageSize < $1.pageSize }, rangeCount: ranges.count,
            basePageSize: PageSize(log2Bytes: Int(format.shift(.leafTable))))
    }
}
