import PageTables

/// What is to be where nothing is mapped yet: an access to it is a fault, and the fault maps it.
public struct Region: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        /// Frames of the space's own, zero at first, one by one.
        case anonymous
        /// Memory that is there already and is no frame: a device. `start` is where the region's first address is.
        case device(start: PhysicalAddress)
        /// Pages of a file, or private copies of them.
        case file(FileView)
    }

    public let range: VirtualRange
    public let content: Content
    public let attributes: EntryAttributes
    /// Faults map with the largest leaf that is not larger than this.
    public let largestLeaf: PageSize

    /// - Parameter largestLeaf: Of no meaning for anonymous memory and files.
    public init(
        _ range: VirtualRange, _ content: Content, _ attributes: EntryAttributes,
        largestLeaf: PageSize = PageSize(log2Bytes: 63)
    ) {
        self.range = range
        self.content = content
        self.attributes = attributes
        self.largestLeaf = largestLeaf
    }

    /// Where in its file an address is; `nil` if the region shows no file, or not there.
    public func fileOffset(of address: VirtualAddress) -> UInt64? {
        guard case .file(let view) = content, range.contains(address) else { return nil }
        return view.offset &+ (address.rawValue &- range.first.rawValue)
    }

    /// The part of the region in a range; `nil` if there is none.
    func clipped(to part: VirtualRange, attributes: EntryAttributes? = nil) -> Region? {
        guard let common = range.intersection(part) else { return nil }
        var content = content
        let offset = common.first.rawValue &- range.first.rawValue
        switch content {
        case .anonymous: break
        case .device(let start): content = .device(start: PhysicalAddress(start.rawValue &+ offset))
        case .file(let view): content = .file(view.advanced(by: offset))
        }
        return Region(common, content, attributes ?? self.attributes, largestLeaf: largestLeaf)
    }

    /// Whether `next` goes on where this region ends, so that the two are one.
    func isContinued(by next: Region) -> Bool {
        guard range.last.rawValue != .max, next.range.first.rawValue == range.last.rawValue &+ 1,
            attributes == next.attributes, largestLeaf == next.largestLeaf
        else { return false }
        let bytes = next.range.first.rawValue &- range.first.rawValue
        switch (content, next.content) {
        case (.anonymous, .anonymous): return true
        case (.device(let start), .device(let nextStart)): return start.rawValue &+ bytes == nextStart.rawValue
        case (.file(let view), .file(let nextView)): return view.advanced(by: bytes) == nextView
        default: return false
        }
    }
}

/// The regions of a space, in the order of their addresses, none overlapping: an ordinary value, changed under the writer's
/// lock and read under the reader's.
struct RegionMap {
    private(set) var regions: [Region] = []

    /// The index of the first region that ends at or behind an address. Complexity: logarithmic.
    private func firstIndex(endingFrom address: VirtualAddress) -> Int {
        var (low, high) = (0, regions.count)
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].range.last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func region(at address: VirtualAddress) -> Region? {
        let index = firstIndex(endingFrom: address)
        return index < regions.count && regions[index].range.contains(address) ? regions[index] : nil
    }

    /// The lowest address of a range that a region has.
    func firstOverlap(_ range: VirtualRange) -> VirtualAddress? {
        let index = firstIndex(endingFrom: range.first)
        guard index < regions.count else { return nil }
        return regions[index].range.intersection(range)?.first
    }

    /// The lowest address of a range with a region that may not have certain rights. Complexity: the regions in the range.
    func firstRefusal(of rights: Rights, in range: VirtualRange) -> VirtualAddress? {
        // Only rights to write are ever refused.
        if rights.isDisjoint(with: .writes) { return nil }
        for region in regions[firstIndex(endingFrom: range.first)...] {
            guard let part = region.range.intersection(range) else { return nil }
            if case .file(let view) = region.content, view.refuses(rights) { return part.first }
        }
        return nil
    }

    /// Whether a fault in a range may use a leaf of that size.
    func mayUseLeaves(_ size: PageSize, in range: VirtualRange) -> Bool {
        let start = firstIndex(endingFrom: range.first)
        for region in regions[start...] {
            guard let part = region.range.intersection(range) else { return false }
            if case .device = region.content, region.largestLeaf >= size, part.hasPage(of: size) {
                return true
            }
        }
        return false
    }

    /// Whether a region shows a file.
    func shows(_ file: PageCache) -> Bool { regions.contains { $0.file == file } }

    /// - Precondition: Nothing overlaps it.
    mutating func insert(_ region: Region) {
        var region = region
        var index = firstIndex(endingFrom: region.range.first)
        if index > 0, regions[index - 1].isContinued(by: region) {
            index -= 1
            region = regions[index].joined(with: region)
            regions.remove(at: index)
        }
        if index < regions.count, region.isContinued(by: regions[index]) {
            region = region.joined(with: regions[index])
            regions.remove(at: index)
        }
        regions.insert(region, at: index)
    }

    /// Cuts a range out, and returns what was there.
    @discardableResult
    mutating func remove(_ range: VirtualRange) -> [Region] {
        let start = firstIndex(endingFrom: range.first)
        var end = start
        var kept: [Region] = []
        var removed: [Region] = []
        while end < regions.count, let inside = regions[end].clipped(to: range) {
            let region = regions[end]
            removed.append(inside)
            if region.range.first < range.first {
                let before = VirtualAddress(range.first.rawValue - 1)
                kept += [region.clipped(to: VirtualRange(first: region.range.first, last: before))].compactMap(\.self)
            }
            if region.range.last > range.last {
                let behind = VirtualAddress(range.last.rawValue + 1)
                kept += [region.clipped(to: VirtualRange(first: behind, last: region.range.last))].compactMap(\.self)
            }
            end += 1
        }
        if !removed.isEmpty { regions.replaceSubrange(start..<end, with: kept) }
        return removed
    }

    /// Moves what is in a range to other addresses.
    ///
    /// - Precondition: Nothing is there.
    mutating func move(_ range: VirtualRange, by delta: UInt64) {
        for region in remove(range) { insert(region.moved(by: delta)) }
    }

    /// Gives what is in a range other attributes.
    mutating func change(_ range: VirtualRange, _ attributes: (EntryAttributes) -> EntryAttributes) {
        for region in remove(range) {
            if let changed = region.clipped(to: range, attributes: attributes(region.attributes)) { insert(changed) }
        }
    }
}

extension Region {
    fileprivate func moved(by delta: UInt64) -> Region {
        let first = VirtualAddress(range.first.rawValue &+ delta)
        let last = VirtualAddress(range.last.rawValue &+ delta)
        return Region(VirtualRange(first: first, last: last), content, attributes, largestLeaf: largestLeaf)
    }

    /// The file that the region shows.
    var file: PageCache? { if case .file(let view) = content { view.file } else { nil } }

    fileprivate func joined(with next: Region) -> Region {
        Region(
            VirtualRange(first: range.first, last: next.range.last), content, attributes, largestLeaf: largestLeaf)
    }
}
