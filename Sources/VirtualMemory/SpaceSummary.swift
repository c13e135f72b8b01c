import PageTableWalk
import PageTables
import TableMemory

// Counting what is mapped while other threads map, unmap and free: nothing is held but a section.
//
// What frames are counted as is in their descriptors, which are always there, but a frame may change hands at any moment:
//   1. Load the entry, and test it.
//   2. Load the counts and the owner of the frame.
//   3. Load the entry again; if it has changed, start again with what it is now.            [recheckEntryAfterCounting]
//      Whoever unmaps a page clears the entry first and drops the page's counts then: if the entry is still there, so was the
//      page. (Or it was unmapped, used by somebody else, and mapped here again in between: then it is counted as either.)

extension SafetyRule {
    @inlinable
    public static var recheckEntryAfterCounting: SafetyRule {
        SafetyRule(
            name: "recheckEntryAfterCounting",
            demand: "After the counts of a page were loaded without a lock, its entry still is what it was.",
            history: "Statistics without a lock divided by the mappings of a page that had none any more, or others.")
    }
}

/// What is mapped in a range, counted.
public struct SpaceSummary: Hashable, Sendable {
    /// Bytes that are mapped, by the level of the leaf.
    public var bytesByLevel: [UInt64] = [0, 0, 0, 0, 0]
    public var writableBytes: UInt64 = 0
    public var accessedBytes: UInt64 = 0
    public var dirtyBytes: UInt64 = 0
    /// Tables that were looked at.
    public var tableCount = 0
    /// What of it is in frames; `nil` unless that was asked for.
    public var frames: FrameUse?

    public var mappedBytes: UInt64 { bytesByLevel.reduce(0, &+) }

    /// Shares of bytes have so many bits behind the point.
    @inlinable
    public static var log2Share: UInt64 { 12 }

    public init() {}
}

/// A region and what is mapped of it.
public struct RegionSummary: Hashable, Sendable {
    public let region: Region
    public let summary: SpaceSummary

    public init(_ region: Region, _ summary: SpaceSummary) {
        self.region = region
        self.summary = summary
    }
}

extension LiveSpace {
    /// Counts what is mapped in a range, while other threads map, unmap and free tables.
    ///
    /// The section is all that is needed: no lock is taken. The counts are of no single moment: what was mapped or unmapped
    /// meanwhile may be in them or not.
    /// - Parameter countingFrames: Whether to look at the descriptor of each frame as well.
    /// - Complexity: The entries of the tables below the range.
    public func summary<Section: ReadWitness & ~Copyable>(
        of range: VirtualRange, countingFrames: Bool = false, in section: borrowing Section
    ) throws(Section.Failure) -> SpaceSummary {
        var visitor = SummaryVisitor<Format, Section.Shared>(countingFrames ? references : nil, section.memory)
        try view(in: section).walk(range, in: section, visitor: &visitor)
        if let failure = visitor.failure { throw failure }
        return visitor.summary
    }

    /// The regions of a range, in the order of addresses, each cut to it.
    public func regions<Memory: SharedMemory>(
        in range: VirtualRange = .all, lock: borrowing ReadLockHeld<Memory>
    ) -> [Region] { regions.regions.compactMap { $0.clipped(to: range) } }

    /// What is mapped of each region, frames counted: what Linux's /proc/PID/smaps tells.
    ///
    /// The lock is held for reading while the regions are copied, and not while their pages are counted, each region in a section
    /// of its own: what is in a region that has gone meanwhile may be counted with it.
    /// - Precondition: The caller is in no section and holds no lock. Under `ReclaimPolicy.direct` its processor uses the space.
    /// - Complexity: The entries of the tables below the regions; tables that are freed wait for a whole region.
    public func regionSummaries<Memory: SharedMemory>(
        of range: VirtualRange = .all, in memory: borrowing Memory
    ) throws(Memory.Failure) -> [RegionSummary] {
        let memory = copy memory
        let regions = try memory.withReadLock(words.lock) { (lock) throws(Memory.Failure) in
            self.regions(in: range, lock: lock)
        }
        var summaries: [RegionSummary] = []
        for region in regions {
            let summary: SpaceSummary
            switch policy {
            case .rcu:
                summary = try memory.withRCUReader { (section) throws(Memory.Failure) in
                    try self.summary(of: region.range, countingFrames: true, in: section)
                }
            case .direct, .interrupt:
                summary = try memory.withInterruptsBlocked { (section) throws(Memory.Failure) in
                    try self.summary(of: region.range, countingFrames: true, in: section)
                }
            }
            summaries.append(RegionSummary(region, summary))
        }
        return summaries
    }
}

private struct SummaryVisitor<Format: WritableFormat, Memory: SharedMemory>: PageWalkVisitor {
    var summary = SpaceSummary()
    var failure: Memory.Failure?
    /// `nil` unless frames are counted.
    private let references: FrameReferences?
    private let memory: Memory

    init(_ references: FrameReferences?, _ memory: Memory) {
        self.references = references
        self.memory = memory
        if references != nil { summary.frames = FrameUse() }
    }

    mutating func enter(_ visit: TableVisit) -> WalkAction {
        summary.tableCount += 1
        return .proceed
    }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let bytes = last.rawValue &- first.rawValue &+ 1
        let attributes = format.attributes(of: entry, at: visit.level)
        if let references {
            let physical = format.physical(of: entry, at: visit.level, for: first)
            let offset = UInt64(truncatingIfNeeded: index &* Format.entryBytes)
            let place = PhysicalAddress(visit.table.rawValue &+ offset)
            do throws(Memory.Failure) {
                guard let page = try sharing(of: physical, references, entry, format, at: place) else { return .again }
                if case .frame(let sharing) = page {
                    summary.frames?.add(
                        bytes, pageBytes: format.pageBytes, sharing,
                        (
                            attributes.flags.contains(.accessed), attributes.flags.contains(.dirty),
                            visit.level > .leafTable
                        ))
                }
            } catch {
                failure = error
                return .stop
            }
        }
        summary.bytesByLevel[min(max(visit.level.rawValue, 0), 4)] &+= bytes
        if format.effectiveRights(visit.rights.intersection(attributes.rights)).canWrite {
            summary.writableBytes &+= bytes
        }
        if attributes.flags.contains(.accessed) { summary.accessedBytes &+= bytes }
        if attributes.flags.contains(.dirty) { summary.dirtyBytes &+= bytes }
        return .proceed
    }

    private enum MappedPage {
        case frame(PageSharing)
        case device
    }

    /// Steps 2 and 3.
    ///
    /// - Returns: `nil` if the entry has changed.
    private func sharing(
        of physical: PhysicalAddress, _ references: FrameReferences, _ entry: Entry, _ format: Format,
        at place: PhysicalAddress
    ) throws(Memory.Failure) -> MappedPage? {
        guard let frame = references.map.frame(of: physical) else { return .device }
        let sharing = try references.sharing(of: frame, in: memory)
        if memory.enforces(.recheckEntryAfterCounting), try memory.load(format, place) != entry { return nil }
        return .frame(sharing)
    }
}
