import PageTables

/// What a page can be asked for, with the numbers of Linux's PAGEMAP_SCAN (v6.19, include/uapi/linux/fs.h).
///
/// Writes to pages are not reported to user space here, no page is in swap, none is the zero page, and there are no guards: those
/// categories no page has.
public struct PageCategories: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Writes to the page can be reported to user space.
    @inlinable
    public static var writesReportable: PageCategories { PageCategories(rawValue: 1) }
    /// Written since the record of that was last taken (`LiveSpace.takeDirty`); every page that is mapped, where entries do
    /// not record it.
    @inlinable
    public static var written: PageCategories { PageCategories(rawValue: 2) }
    /// A file's page, or one of memory that spaces share.
    @inlinable
    public static var file: PageCategories { PageCategories(rawValue: 4) }
    @inlinable
    public static var present: PageCategories { PageCategories(rawValue: 8) }
    @inlinable
    public static var swapped: PageCategories { PageCategories(rawValue: 16) }
    @inlinable
    public static var zeroPage: PageCategories { PageCategories(rawValue: 32) }
    /// Mapped by a leaf larger than a page.
    @inlinable
    public static var huge: PageCategories { PageCategories(rawValue: 64) }
    @inlinable
    public static var softDirty: PageCategories { PageCategories(rawValue: 128) }
    @inlinable
    public static var guardPage: PageCategories { PageCategories(rawValue: 256) }
}

/// Which pages are wanted. Pages where nothing is mapped are in no category, and can be asked for by inverting some.
public struct PageQuery: Sendable {
    /// Categories that count as if a page had them where it has not, and the other way round.
    public var inverted: PageCategories
    /// A page has all of these.
    public var all: PageCategories
    /// A page has one of these at least, unless it is empty.
    public var any: PageCategories
    /// The categories that are told: neighbouring pages that agree in them are one range.
    public var told: PageCategories

    public init(
        all: PageCategories = [], any: PageCategories = [], inverted: PageCategories = [],
        told: PageCategories = PageCategories(rawValue: .max)
    ) {
        self.inverted = inverted
        self.all = all
        self.any = any
        self.told = told
    }

    @usableFromInline
    func matches(_ categories: PageCategories) -> Bool {
        let categories = categories.symmetricDifference(inverted)
        return categories.isSuperset(of: all) && (any.isEmpty || !categories.isDisjoint(with: any))
    }
}

/// What a scan has found.
public struct PageScan: Hashable, Sendable {
    /// Consecutive pages in the same categories, as far as those are told.
    public struct Found: Hashable, Sendable {
        public internal(set) var virtual: VirtualRange
        public let categories: PageCategories

        public init(_ virtual: VirtualRange, _ categories: PageCategories) {
            self.virtual = virtual
            self.categories = categories
        }
    }

    /// In the order of addresses.
    public internal(set) var ranges: [Found] = []
    /// Where to go on; `nil` if the range was scanned to its end.
    public internal(set) var walkEnd: VirtualAddress?
    /// Pages that were found.
    public internal(set) var pageCount: UInt64 = 0

    public init() {}
}

/// A scan on its way: takes what it is told in the order of addresses, until it has enough.
@usableFromInline
struct PageScanner {
    @usableFromInline
    let query: PageQuery
    private let log2PageBytes: UInt64
    private let mostRanges: Int
    private var pagesLeft: UInt64
    @usableFromInline
    var scan = PageScan()

    @usableFromInline
    init(_ query: PageQuery, log2PageBytes: UInt64, mostPages: UInt64, mostRanges: Int) {
        self.query = query
        self.log2PageBytes = log2PageBytes
        self.mostRanges = mostRanges
        pagesLeft = mostPages
    }

    @usableFromInline
    var isFull: Bool { scan.walkEnd != nil }

    /// Takes pages of equal categories.
    @usableFromInline
    mutating func add(_ first: VirtualAddress, _ last: VirtualAddress, _ categories: PageCategories) {
        guard !isFull, query.matches(categories) else { return }
        let told = categories.intersection(query.told)
        var isNext = false
        if let previous = scan.ranges.last {
            isNext = previous.categories == told && previous.virtual.last.rawValue &+ 1 == first.rawValue
        }
        guard pagesLeft > 0, isNext || scan.ranges.count < mostRanges else {
            scan.walkEnd = first
            return
        }
        // At most 2^52 pages: of none, the number of the last is one less.
        let lastPage = (last.rawValue &- first.rawValue) &>> log2PageBytes
        let taken = min(lastPage, pagesLeft &- 1)
        let end = VirtualAddress(first.rawValue &+ (taken &<< log2PageBytes | (1 &<< log2PageBytes &- 1)))
        if isNext {
            let start = scan.ranges[scan.ranges.count - 1].virtual.first
            scan.ranges[scan.ranges.count - 1].virtual = VirtualRange(first: start, last: end)
        } else {
            scan.ranges.append(PageScan.Found(VirtualRange(first: first, last: end), told))
        }
        pagesLeft &-= taken &+ 1
        scan.pageCount &+= taken &+ 1
        if taken < lastPage { scan.walkEnd = VirtualAddress(end.rawValue &+ 1) }
    }
}
