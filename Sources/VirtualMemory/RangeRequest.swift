import PageTables
import TableMemory

/// What a device wants of one page.
public struct PageDemand: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The page is to be mapped, by a fault if it is not.
    @inlinable
    public static var fault: PageDemand { PageDemand(rawValue: 1) }
    /// With `fault`: so that it can be written. Nothing without it.
    @inlinable
    public static var write: PageDemand { PageDemand(rawValue: 2) }

    /// The access for which there is to be a fault where it is not possible yet.
    var access: PageAccess? { contains(.fault) ? (contains(.write) ? .write : .read) : nil }
}

/// What a device wants of the pages of a range (as `struct hmm_range`, Linux v6.19).
public struct RangeRequest: Hashable, Sendable {
    public let range: VirtualRange
    public let log2PageBytes: UInt8
    /// What is wanted of the pages from the first on; nothing of those behind the last demand.
    public var demands: [PageDemand]
    /// What of the demands counts.
    public var mask: PageDemand
    /// What is wanted of every page beside that.
    public var standard: PageDemand

    /// - Precondition: The range is of whole pages, as many as an `Int` can count.
    public init(
        _ range: VirtualRange, log2PageBytes: UInt8, demands: [PageDemand] = [], mask: PageDemand = [.fault, .write],
        standard: PageDemand = []
    ) {
        precondition(log2PageBytes < 64, "a page of a request has less than 2^64 bytes")
        let bytes: UInt64 = 1 << UInt64(log2PageBytes)
        precondition(
            (range.last.rawValue - range.first.rawValue) >> UInt64(log2PageBytes) < UInt64(Int.max),
            "a request is of less than 2^63 pages")
        precondition((range.first.rawValue | ~range.last.rawValue) & (bytes - 1) == 0, "a request is of whole pages")
        self.range = range
        self.log2PageBytes = log2PageBytes
        self.demands = demands
        self.mask = mask
        self.standard = standard
    }

    public var pageCount: Int {
        Int((range.last.rawValue - range.first.rawValue) >> UInt64(log2PageBytes)) + 1
    }

    /// What is wanted of a page, counted from the range's first: 0 or more.
    public func demand(_ page: Int) -> PageDemand {
        page < demands.count ? demands[page].intersection(mask).union(standard) : standard
    }
}

/// What there is at a page of a range.
public enum RangePage: Hashable, Sendable {
    /// Nothing yet; a fault would map it.
    case unmapped
    /// Nothing that a device can have: no region, no right to read, or memory that is no frame.
    case impossible
    case mapped(MirroredPage)
}

/// A page that a space maps, for a device.
public struct MirroredPage: Hashable, Sendable {
    public let physical: PhysicalAddress
    /// Whether the device may write: the space allows it, and the page is recorded as written.
    public let isWritable: Bool
    /// Of the leaf that the page is in: neighbouring pages of it continue this one.
    public let leafSize: PageSize

    public init(physical: PhysicalAddress, isWritable: Bool, leafSize: PageSize) {
        self.physical = physical
        self.isWritable = isWritable
        self.leafSize = leafSize
    }
}

/// What a range came to: all its pages, or those in front of the one at which it ended.
public struct RangeAnswer: Hashable, Sendable {
    public enum End: Hashable, Sendable {
        /// All pages are there.
        case complete
        /// An invalidation began meanwhile: what was seen is of no use.
        case stale
        /// The page behind the last one was wanted, and cannot be had.
        case refused(Refusal)
    }

    public internal(set) var pages: [RangePage] = []
    public internal(set) var end: End = .complete
}
