import PageTables

extension Survey {
    /// All virtual ranges that map any of some physical addresses, each cut to them.
    /// - Complexity: The ranges of the survey.
    public func mappings(of physical: PhysicalRange) -> [MappedRange] {
        ranges.compactMap { range in
            guard let shared = range.physicalRange.intersection(physical) else { return nil }
            let delta = shared.first.rawValue - range.physical.rawValue
            return MappedRange(
                first: VirtualAddress(range.first.rawValue &+ delta), physical: shared.first,
                lastOffset: shared.last.rawValue - shared.first.rawValue, attributes: range.attributes,
                pageSize: range.pageSize, level: range.level)
        }
    }

    /// The range that maps an address.
    /// - Complexity: Logarithmic in the ranges of the survey.
    public func range(mapping address: VirtualAddress) -> MappedRange? {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = low + (high - low) / 2
            if ranges[middle].last < address { low = middle + 1 } else { high = middle }
        }
        guard low < ranges.count, ranges[low].first <= address else { return nil }
        return ranges[low]
    }

    /// The gaps between the ranges of the survey, within `bounds`.
    /// - Complexity: The ranges of the survey.
    public func holes(in bounds: VirtualRange) -> [VirtualRange] {
        var holes: [VirtualRange] = []
        var next = bounds.first
        for range in ranges {
            guard let inside = range.virtual.intersection(bounds) else { continue }
            if next < inside.first {
                holes.append(VirtualRange(first: next, last: VirtualAddress(inside.first.rawValue - 1)))
            }
            if inside.last == bounds.last { return holes }
            next = VirtualAddress(inside.last.rawValue + 1)
        }
        holes.append(VirtualRange(first: next, last: bounds.last))
        return holes
    }
}
