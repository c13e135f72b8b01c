import PageTables
import VirtualMemory

/// A window of virtual addresses that threads fight for.
///
/// Every address has an identity: the number of its page, whose tags its frame holds, and its device, whoever maps it and however
/// often. What moves goes to a window of the same group, where the identities are the same. So what a walk without a lock finds
/// can be judged without knowing more than the address.
struct StressArea: Sendable {
    enum Content: Equatable, Sendable {
        /// Frames, devices and anonymous regions.
        case frames
        /// As `frames`, but too wide for frames.
        case devices
        /// Regions of a file, and nothing else.
        case file(Int, FileSharing)
    }

    let content: Content
    let first: UInt64
    let pageCount: UInt64
    /// The number of its first page among the pages of all areas; `nil` if it is too wide for frames.
    let firstPage: UInt64?
    /// Where a device is at the first address.
    let device: UInt64
    /// What is in one area of a group can move to another.
    let group: Int

    /// Above all frames.
    static var deviceBase: UInt64 { 1 << 45 }

    var file: (index: Int, sharing: FileSharing)? {
        if case .file(let index, let sharing) = content { (index, sharing) } else { nil }
    }
    var hasFrames: Bool { content == .frames }
}

/// The areas of a format: side by side, across the borders of tables, at the ends of what spaces of each depth translate; windows
/// that are aligned alike, and one that is not, for what moves; and windows of files.
struct StressAreas<Format: StressFormat>: Sendable {
    let format: Format
    /// In the order of addresses.
    let all: [StressArea]
    /// How many of them, the lowest, a space of the least depth has.
    let initialCount: Int
    /// How many pages a file has at most, and the number of the first page of each.
    let filePages: UInt64
    let fileFirstPages: [UInt64]
    /// Areas of which two or more are in one group.
    let movable: [[StressArea]]

    static var fileCount: Int { 2 }
    /// Which of the files is memory that spaces share, with no store to write to.
    static var sharedMemory: Int { 1 }

    /// log2 of the frames of the largest blocks that are mapped: a leaf one level above pages, if the memory has such blocks.
    let largeOrder: Int

    init(_ format: Format) {
        self.format = format
        let log2Page = UInt64(format.log2FrameBytes)
        let log2Pages = format.shift(Level(1)) - log2Page
        largeOrder = log2Pages > 11 ? 6 : Int(log2Pages)
        let entries: UInt64 = 1 << log2Pages
        var plan = AreaPlan(format)
        plan.addPlaces()
        plan.addMovable()
        // A leaf table's, so that private copies of them can become a large leaf.
        let filePages = entries > 512 ? 64 : entries + 32
        fileFirstPages = (0..<Self.fileCount).map { plan.addFile($0, pages: filePages) }
        self.filePages = filePages
        plan.addWide()
        precondition(plan.nextPage <= PageTags<Format>.pageLimit, "tags cannot name all pages")
        let all = plan.areas.sorted { $0.first < $1.first }
        self.all = all
        let ranges = all.map { plan.range(of: $0) }
        initialCount = ranges.prefix { format.covers($0, topLevel: format.topLevels.lowerBound) }.count
        movable = Dictionary(grouping: all, by: \.group).values.filter { $0.count > 1 }.sorted {
            $0[0].first < $1[0].first
        }
    }

    /// What a device mirrors: some of the areas, among them windows of files, and parts of others.
    var mirrored: VirtualRange {
        VirtualRange(first: VirtualAddress(0), last: VirtualAddress(64 << format.shift(Level(1)) - 1))
    }

    func area(_ address: UInt64) -> StressArea? {
        all.first { address >= $0.first && address - $0.first < $0.pageCount << UInt64(format.log2FrameBytes) }
    }

    /// The device at an address.
    func device(_ address: UInt64) -> UInt64? { area(address).map { $0.device + (address - $0.first) } }

    /// The number of the page of an address among those that can have frames.
    func page(_ address: UInt64) -> UInt64? {
        guard let area = area(address), let first = area.firstPage else { return nil }
        return first + (address - area.first) >> UInt64(format.log2FrameBytes)
    }
}

/// Areas on their way to being placed.
private struct AreaPlan<Format: StressFormat> {
    let format: Format
    let log2Page: UInt64
    let large: UInt64
    let huge: UInt64
    private(set) var areas: [StressArea] = []
    private(set) var nextPage: UInt64 = 0
    private var nextGroup = 0

    init(_ format: Format) {
        self.format = format
        log2Page = UInt64(format.log2FrameBytes)
        large = 1 << format.shift(Level(1))
        huge = 1 << format.shift(Level(2))
    }

    func range(of area: StressArea) -> VirtualRange { range(area.first, area.pageCount) }

    private func range(_ first: UInt64, _ pages: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first &+ (pages << log2Page - 1)))
    }

    private func isFree(_ first: UInt64, _ pages: UInt64) -> Bool {
        guard first &+ (pages << log2Page - 1) > first else { return false }
        let range = range(first, pages)
        guard format.covers(range, topLevel: format.topLevels.upperBound) else { return false }
        return areas.allSatisfy { self.range(of: $0).intersection(range) == nil }
    }

    /// Areas of one group, those of them that the format has.
    private mutating func add(
        _ starts: [UInt64], _ pages: UInt64, _ content: StressArea.Content = .frames, firstPage: UInt64?
    ) {
        let device = StressArea.deviceBase + UInt64(nextGroup) << 40 + starts[0] & (huge - 1)
        for start in starts where isFree(start, pages) {
            areas.append(
                StressArea(
                    content: content, first: start, pageCount: pages, firstPage: firstPage, device: device,
                    group: nextGroup))
        }
        nextGroup += 1
    }

    private mutating func takePages(_ count: UInt64) -> UInt64 {
        defer { nextPage += count }
        return nextPage
    }

    /// Side by side, across borders and at ends.
    mutating func addPlaces() {
        let (bytes, half) = (4 * large, 2 * large)
        var starts: [UInt64] = [8 * large, 8 * large + bytes, huge - half, 0 &- bytes]
        for level in 3...4 { starts.append(1 << format.shift(Level(level)) &- half) }
        for number in format.topLevels.lowerBound.rawValue...format.topLevels.upperBound.rawValue {
            let space = format.addressSpace(root: PhysicalAddress(0), topLevel: Level(number))
            for tree in space.trees { starts.append(tree.range.last.rawValue &+ 1 &- bytes) }
        }
        let pages = bytes >> log2Page
        for start in Set(starts).sorted() where isFree(start, pages) {
            add([start], pages, firstPage: takePages(pages))
        }
    }

    /// Windows that are aligned alike for leaf tables, one that is not aligned, and two that are alone in what an entry two levels
    /// above pages covers, so that whole subtrees move.
    mutating func addMovable() {
        let pages = 2 * large >> log2Page
        let shifted = 32 * large + 5 << log2Page
        add(
            [24 * large, 28 * large, shifted, 6 * huge + 24 * large, 8 * huge + 24 * large], pages,
            firstPage: takePages(pages))
    }

    /// Two windows for shared regions of a file, and two for private ones.
    ///
    /// - Returns: The number of the first page.
    mutating func addFile(_ index: Int, pages: UInt64) -> UInt64 {
        let first = takePages(pages)
        let start = (40 + 16 * UInt64(index)) * large
        add([start, start + 4 * large], pages, .file(index, .shared), firstPage: first)
        add([start + 8 * large, start + 12 * large + 3 << log2Page], pages, .file(index, .private), firstPage: first)
        return first
    }

    /// Space for the largest leaves, of devices only.
    mutating func addWide() {
        nextGroup = 31
        var start = max(1 << 38, 16 * huge)
        let pages = 4 * huge >> log2Page
        while start > 10 * huge, !isFree(start, pages) { start >>= 1 }
        add([start], pages, .devices, firstPage: nil)
    }
}
