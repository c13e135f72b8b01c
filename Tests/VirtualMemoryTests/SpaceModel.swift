import PageTables
import TableMemory
import VirtualMemory

/// What an address is mapped to.
struct ModelPage: Advancing {
    var physical: UInt64
    var attributes: EntryAttributes

    func advanced(by bytes: UInt64) -> ModelPage {
        ModelPage(physical: physical &+ bytes, attributes: attributes)
    }
}

/// What a region says of an address.
struct ModelRegion: Advancing {
    /// `nil` for anonymous memory.
    var physical: UInt64?
    var attributes: EntryAttributes
    var largestLeaf: PageSize

    func advanced(by bytes: UInt64) -> ModelRegion {
        ModelRegion(physical: physical.map { $0 &+ bytes }, attributes: attributes, largestLeaf: largestLeaf)
    }
}

/// A block of frames that is in use.
struct ModelBlock {
    let physical: PhysicalRange
    let order: FrameOrder
    /// Whether the test itself has a reference.
    var isHeld: Bool
    /// Pages that are pinned, each as often as it is.
    var pinnedPages: UInt64 = 0
    /// The first word of some of its pages, by their addresses.
    var tags: [UInt64: UInt64] = [:]
}

/// What a live space has to be: which page is where, and nothing of tables and leaves.
struct SpaceModel<Format: WritableFormat> {
    let format: Format
    var topLevel: Level
    var mappings = IntervalMap<ModelPage>()
    var regions = IntervalMap<ModelRegion>()
    var blocks: [Frame: ModelBlock] = [:]

    init(_ format: Format, topLevel: Level) {
        self.format = format
        self.topLevel = topLevel
    }

    // MARK: Ranges

    var pageBytes: UInt64 { 1 << UInt64(format.log2FrameBytes) }

    func isOfWholePages(_ range: VirtualRange) -> Bool {
        range.first.rawValue % pageBytes == 0 && range.last.rawValue % pageBytes == pageBytes - 1
    }

    private func trees(_ topLevel: Level) -> [TableTree] {
        format.addressSpace(root: PhysicalAddress(0), topLevel: topLevel).trees
    }

    func isTranslated(_ range: VirtualRange, topLevel: Level) -> Bool {
        trees(topLevel).contains { $0.range.contains(range.first) && $0.range.contains(range.last) }
    }

    /// The top level that a space has after it was made to cover a range.
    func topLevel(for range: VirtualRange) -> Level? {
        var level = topLevel
        while !isTranslated(range, topLevel: level) {
            level = Level(level.rawValue + 1)
            if !format.topLevels.contains(level) { return nil }
        }
        return level
    }

    /// Why a range is refused before anything is looked at.
    func refusal(of range: VirtualRange) -> Refusal? {
        isOfWholePages(range) && isTranslated(range, topLevel: format.topLevels.upperBound)
            ? nil : .invalidRange(range)
    }

    // MARK: Predictions

    func refusalToMap(_ range: VirtualRange, to physical: UInt64) -> Refusal? {
        let overflows = physical.addingReportingOverflow(range.last.rawValue - range.first.rawValue).overflow
        if let refusal = refusal(of: range) { return refusal }
        if physical % pageBytes != 0 || overflows { return .invalidRange(range) }
        return mappings.parts(range.first.rawValue, range.last.rawValue).first.map {
            .alreadyMapped(VirtualAddress($0.first))
        }
    }

    func refusalToAdd(_ region: Region) -> Refusal? {
        let range = region.range
        guard isOfWholePages(range) else { return .invalidRange(range) }
        if let overlap = regions.parts(range.first.rawValue, range.last.rawValue).first {
            return .alreadyMapped(VirtualAddress(overlap.first))
        }
        return refusal(of: range)
    }

    /// What a fault says; `nil` if the page is mapped afterwards, which it may have been before.
    func refusalOfFault(_ address: VirtualAddress, _ access: PageAccess) -> Refusal? {
        let page = mappings.value(at: address.rawValue)
        guard let region = regions.value(at: address.rawValue) else {
            guard let page else { return .notMapped(address) }
            return access.isAllowed(by: page.attributes.rights) ? nil : .accessDenied(address)
        }
        if !access.isAllowed(by: region.attributes.rights) { return .accessDenied(address) }
        return page.map { access.isAllowed(by: $0.attributes.rights) } ?? true ? nil : .accessDenied(address)
    }

    /// Whether a fast pin takes a page.
    func canBePinned(_ address: VirtualAddress, _ access: PageAccess) -> Bool {
        guard let page = mappings.value(at: address.rawValue) else { return false }
        return access.isAllowed(by: page.attributes.rights) && block(of: page.physical) != nil
    }

    // MARK: Frames

    func block(of physical: UInt64) -> Frame? {
        blocks.first { $0.value.physical.contains(PhysicalAddress(physical)) }?.key
    }

    /// Mappings of the pages of a block.
    func mappedPages(of block: ModelBlock) -> UInt64 {
        mappings.intervals.reduce(0) { count, interval in
            let last = interval.value.physical &+ (interval.last - interval.first)
            guard last >= interval.value.physical else { return count }
            let range = PhysicalRange(first: PhysicalAddress(interval.value.physical), last: PhysicalAddress(last))
            guard let common = range.intersection(block.physical) else { return count }
            return count + (common.last.rawValue - common.first.rawValue) / pageBytes + 1
        }
    }

    /// Forgets blocks that nothing refers to any more.
    mutating func dropUnused() {
        for (head, block) in blocks where !block.isHeld && block.pinnedPages == 0 && mappedPages(of: block) == 0 {
            blocks[head] = nil
        }
    }

    // MARK: Sums

    func summary(of range: VirtualRange) -> (mapped: UInt64, writable: UInt64, accessed: UInt64, dirty: UInt64) {
        mappings.parts(range.first.rawValue, range.last.rawValue).reduce(into: (0, 0, 0, 0)) { sums, part in
            let bytes = part.last - part.first + 1
            sums.0 += bytes
            if part.value.attributes.rights.canWrite { sums.1 += bytes }
            if part.value.attributes.flags.contains(.accessed) { sums.2 += bytes }
            if part.value.attributes.flags.contains(.dirty) { sums.3 += bytes }
        }
    }
}
