import PageTables
import TableMemory

/// By how many leaves the pages of a block are mapped, in all spaces.
///
/// Frames of a large block share one count. What is said of one of its pages is then the average, as Linux has it where it keeps
/// no count for each page either (v6.19, CONFIG_NO_PAGE_MAPCOUNT).
@usableFromInline
struct PageSharing {
    /// Mappings of all pages of the block together.
    @usableFromInline
    let mapCount: UInt32
    @usableFromInline
    let blockPages: UInt32
    @usableFromInline
    let owner: FrameOwner

    @inlinable
    init(mapCount: UInt32, blockPages: UInt32, owner: FrameOwner) {
        self.mapCount = mapCount
        self.blockPages = blockPages
        self.owner = owner
    }

    /// Whether a leaf of so many pages is all that maps the block. Never wrong in saying so.
    @inlinable
    func isExclusive(toLeafOf pages: UInt32) -> Bool { mapCount <= pages }

    /// Whether a page of the block is mapped more than once, on average.
    @inlinable
    var isShared: Bool { mapCount > blockPages }

    /// The share that one mapping has of some bytes of the block, times 2^`SpaceSummary.log2Share`.
    @inlinable
    func share(ofPageBytes bytes: UInt64) -> UInt64 {
        let whole = bytes &<< SpaceSummary.log2Share
        return isShared ? whole &* UInt64(blockPages) / UInt64(mapCount) : whole
    }
}

extension FrameReferences {
    /// How the block of a frame is mapped now.
    ///
    /// Whoever asks without a lock looks at the entry that led to the frame again: the frame may have been freed, and the counts be
    /// another owner's.
    @inlinable
    func sharing<Memory: SharedMemory>(
        of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> PageSharing {
        let block = FrameBlock(rawValue: try memory.load(map.descriptor(of: frame).block, .acquire))
        let head = block.head(of: frame)
        let counts = map.descriptor(of: map.contains(head) ? head : frame)
        return PageSharing(
            mapCount: try memory.load(counts.mapCount, .acquire), blockPages: block.order.frameCount,
            owner: FrameOwner(rawValue: try memory.load(counts.mapping, .acquire)))
    }
}
