import PageTables

/// Pages, as ranges in the order of addresses.
public struct PageRuns: Hashable, Sendable {
    public private(set) var ranges: [VirtualRange] = []

    public init() {}

    public var isEmpty: Bool { ranges.isEmpty }

    /// Adds what lies behind everything else.
    @usableFromInline
    mutating func append(_ range: VirtualRange) {
        if let last = ranges.last, last.last.rawValue &+ 1 == range.first.rawValue {
            ranges[ranges.count - 1] = VirtualRange(first: last.first, last: range.last)
        } else {
            ranges.append(range)
        }
    }

    /// - Complexity: Logarithmic in the ranges.
    public func contains(_ address: VirtualAddress) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(address)
    }

    /// A bit for each page of a range, the first page's being bit 0 of the first word.
    ///
    /// - Parameter log2PageBytes: Of the smallest pages.
    /// - Complexity: The pages of the range, each of which takes a bit.
    public func bitmap(of range: VirtualRange, log2PageBytes: Int) -> [UInt64] {
        let shift = UInt64(log2PageBytes)
        let first = range.first.rawValue >> shift
        var words = [UInt64](repeating: 0, count: Int((range.last.rawValue >> shift - first) / 64) + 1)
        for part in ranges {
            guard let common = part.intersection(range) else { continue }
            for page in common.first.rawValue >> shift - first...common.last.rawValue >> shift - first {
                words[Int(page / 64)] |= 1 << (page % 64)
            }
        }
        return words
    }
}

/// What leaves had recorded of the use of their pages, and do not any more.
public struct TakenRecords: Hashable, Sendable {
    /// A leaf that maps more than a page has one record for all of them.
    public struct LargeLeaf: Hashable, Sendable {
        /// All that the leaf maps, even where it reaches beyond the range that was asked for.
        public let virtual: VirtualRange
        public let flags: EntryFlags

        @inlinable
        public init(_ virtual: VirtualRange, _ flags: EntryFlags) {
            self.virtual = virtual
            self.flags = flags
        }
    }

    /// Pages that were written, or belong to a large leaf through which something was.
    public internal(set) var dirty = PageRuns()
    /// Pages that were used; empty unless that was asked for.
    public internal(set) var accessed = PageRuns()
    /// Those of the above that are more than a page.
    public internal(set) var largeLeaves: [LargeLeaf] = []

    public init() {}

    public var isEmpty: Bool { dirty.isEmpty && accessed.isEmpty }

    @usableFromInline
    mutating func add(_ virtual: VirtualRange, _ flags: EntryFlags, isLarge: Bool) {
        if flags.contains(.dirty) { dirty.append(virtual) }
        if flags.contains(.accessed) { accessed.append(virtual) }
        if isLarge { largeLeaves.append(LargeLeaf(virtual, flags)) }
    }

    /// From the first page of which something was taken to the last.
    @usableFromInline
    var hull: VirtualRange? {
        let runs = [dirty.ranges, accessed.ranges]
        guard let first = runs.compactMap(\.first?.first).min(), let last = runs.compactMap(\.last?.last).max()
        else { return nil }
        return VirtualRange(first: first, last: last)
    }
}
