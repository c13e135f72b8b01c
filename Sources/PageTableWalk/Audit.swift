import PageTables

/// Something in an address space that an engineer should look at.
public enum AuditFinding: Hashable, Sendable {
    /// What can be written can also be executed.
    case writableAndExecutable(MappedRange)
    /// Unprivileged code can use addresses that belong to the kernel.
    case userAccessibleKernel(MappedRange)
    /// Unprivileged code can write page tables: the tables in it, at most `Survey.listedTables` of them, and their number.
    case writablePageTables(MappedRange, tables: [PhysicalAddress], count: Int)
    /// The same memory is mapped with different memory types.
    case conflictingMemoryTypes(PhysicalRange, MappedRange, MappedRange)
    /// An entry that is malformed, points outside memory, or makes a loop.
    case oddity(Oddity)
}

extension Survey {
    /// How many tables one finding lists.
    public static var listedTables: Int { 16 }

    /// Looks for mappings that are dangerous or contradictory.
    ///
    /// - Parameters:
    ///   - kernel: The addresses that belong to the kernel, where the format says which they are.
    ///   - format: Names the memory types.
    /// - Complexity: n log n in the ranges and tables of the survey.
    public func audit<Format: PageTableFormat>(of format: Format, kernel: VirtualRange?) -> [AuditFinding] {
        var findings: [AuditFinding] = []
        for range in ranges {
            let rights = range.attributes.rights
            let writesAndExecutes =
                rights.isSuperset(of: [.userWrite, .userExecute])
                || rights.isSuperset(of: [.supervisorWrite, .supervisorExecute])
            if Format.notions.execute && writesAndExecutes { findings.append(.writableAndExecutable(range)) }
            if Format.notions.user, rights.isUser, let kernel, let inside = range.virtual.intersection(kernel) {
                findings.append(.userAccessibleKernel(cut(range, to: inside)))
            }
        }
        if Format.notions.user { findings += writableTables() }
        findings += conflicts(of: format)
        findings += oddities.map(AuditFinding.oddity)
        return findings
    }

    private func cut(_ range: MappedRange, to part: VirtualRange) -> MappedRange {
        let delta = part.first.rawValue &- range.first.rawValue
        return MappedRange(
            first: part.first, physical: PhysicalAddress(range.physical.rawValue &+ delta),
            lastOffset: part.last.rawValue &- part.first.rawValue, attributes: range.attributes,
            pageSize: range.pageSize, level: range.level)
    }

    private func writableTables() -> [AuditFinding] {
        // One place for a table that was read at several levels.
        let places = tables.map(\.physicalRange).sorted { ($0.first, $0.last) < ($1.first, $1.last) }
            .reduce(into: [PhysicalRange]()) { places, place in
                if places.last?.first == place.first { places.removeLast() }
                places.append(place)
            }
        let firsts = places.map(\.first)
        let lasts = places.map(\.last).sorted()
        // Tables may overlap one another in a hostile image; the furthest end so far keeps the search below right.
        var furthest: [PhysicalAddress] = []
        for place in places { furthest.append(max(place.last, furthest.last ?? place.last)) }
        return ranges.compactMap { range in
            guard range.attributes.rights.contains(.userWrite) else { return nil }
            let target = range.physicalRange
            let count =
                partition(firsts) { $0 > target.last } - partition(lasts) { $0 >= target.first }
            guard count > 0 else { return nil }
            let start = partition(furthest) { $0 >= target.first }
            let hit = places[start...].lazy.prefix { $0.first <= target.last }
                .filter { $0.last >= target.first }.prefix(Self.listedTables)
            return .writablePageTables(range, tables: hit.map(\.first), count: count)
        }
    }

    /// The index of the first element of a sorted array for which a condition holds.
    private func partition(_ sorted: [PhysicalAddress], _ holds: (PhysicalAddress) -> Bool) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = low + (high - low) / 2
            if holds(sorted[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Finds memory that is mapped with two memory types: each stretch once, with the two mappings that first differ.
    private func conflicts<Format: PageTableFormat>(of format: Format) -> [AuditFinding] {
        let sorted = ranges.sorted { ($0.physical, $0.first) < ($1.physical, $1.first) }
        var findings: [AuditFinding] = []
        // Of each memory type, the mapping that reaches furthest up among those that start no higher.
        var reaching = [MappedRange?](repeating: nil, count: MemoryType.allCases.count)
        // Everything below is told: mappings that start lower met there.
        var untold = PhysicalAddress(0)
        for range in sorted {
            let type = Int(format.memoryType(range.attributes.memoryTypeIndex).rawValue)
            let last = range.physicalRange.last
            var other: MappedRange?
            for index in reaching.indices where index != type {
                guard let mapping = reaching[index] else { continue }
                if other.map({ $0.physicalRange.last < mapping.physicalRange.last }) ?? true { other = mapping }
            }
            let (first, end) = (max(untold, range.physical), min(last, other?.physicalRange.last ?? untold))
            if let other, first <= end {
                findings.append(.conflictingMemoryTypes(PhysicalRange(first: first, last: end), other, range))
                if end.rawValue == .max { break }
                untold = PhysicalAddress(end.rawValue + 1)
            }
            if let known = reaching[type], known.physicalRange.last >= last { continue }
            reaching[type] = range
        }
        return findings
    }
}
