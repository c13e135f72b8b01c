import PageTables
import TableMemory

// Where everything is in a memory that is used for live address spaces:
//
// | from                | what                                                           |
// |---------------------|----------------------------------------------------------------|
// | 0                   | nothing, so that no table has address 0                        |
// | 64                  | the lock of the frame allocator                                |
// | 128                 | the words of up to `spaceCount` spaces                         |
// | 128 + spaces        | the words of up to `fileCount` files                           |
// | 128 + spaces + files| the words of up to `mirrorCount` device mirrors                |
// | behind them         | frame descriptors                                              |
// | the next frame      | frames, for tables and pages                                   |

/// How a memory is divided into bookkeeping and frames.
public struct PhysicalLayout: Sendable {
    public let map: FrameMap
    public let spaceCount: Int
    public let fileCount: Int
    public let mirrorCount: Int

    /// Bytes in front of the frames.
    private static func bookkeeping(
        _ words: UInt64, _ frameCount: UInt64, _ log2FrameBytes: UInt8
    ) -> UInt64 {
        let descriptors = frameCount << FrameDescriptor.log2Bytes(log2FrameBytes: log2FrameBytes)
        return words + descriptors
    }

    /// Bytes in front of the descriptors.
    private static func words(_ spaceCount: Int, _ fileCount: Int, _ mirrorCount: Int) -> UInt64 {
        let files = 128 + UInt64(spaceCount) * SpaceWords.byteCount
        return files + UInt64(fileCount) * FileWords.byteCount + UInt64(mirrorCount) * MirrorWords.byteCount
    }

    /// - Parameters:
    ///   - frameCount: At least 1; the memory needs `byteCount` bytes then.
    ///   - spaceCount: How many spaces can live in the memory at once.
    ///   - fileCount: How many files can have pages in the memory at once.
    ///   - mirrorCount: How many devices can mirror spaces at once.
    public init(
        log2FrameBytes: UInt8, frameCount: UInt32, spaceCount: Int = 1, fileCount: Int = 0, mirrorCount: Int = 0
    ) {
        precondition(
            frameCount > 0 && spaceCount > 0 && fileCount >= 0 && mirrorCount >= 0,
            "a layout has at least one frame and one space")
        let words = Self.words(spaceCount, fileCount, mirrorCount)
        let bytes = Self.bookkeeping(words, UInt64(frameCount), log2FrameBytes)
        let first = (bytes + (1 << UInt64(log2FrameBytes)) - 1) >> UInt64(log2FrameBytes)
        precondition(first + UInt64(frameCount) < UInt64(UInt32.max), "frame numbers have 32 bits")
        self.spaceCount = spaceCount
        self.fileCount = fileCount
        self.mirrorCount = mirrorCount
        map = FrameMap(
            log2FrameBytes: log2FrameBytes, first: Frame(UInt32(first)), frameCount: frameCount,
            descriptors: PhysicalAddress(words))
    }

    /// As many frames as fit.
    /// - Returns: `nil` if not even one does.
    public init?(
        log2FrameBytes: UInt8, byteCount: UInt64, spaceCount: Int = 1, fileCount: Int = 0, mirrorCount: Int = 0
    ) {
        let words = Self.words(spaceCount, fileCount, mirrorCount)
        var count = min(byteCount >> UInt64(log2FrameBytes), UInt64(UInt32.max) / 2)
        func bytes(_ count: UInt64) -> UInt64 {
            let frame: UInt64 = 1 << UInt64(log2FrameBytes)
            let bookkeeping = Self.bookkeeping(words, count, log2FrameBytes)
            return (bookkeeping + frame - 1) / frame * frame + count * frame
        }
        while count > 0, bytes(count) > byteCount {
            // Every frame that goes frees its descriptor as well; a few rounds suffice.
            count -= max((bytes(count) - byteCount) >> UInt64(log2FrameBytes + 1), 1)
        }
        guard count > 0 else { return nil }
        self.init(
            log2FrameBytes: log2FrameBytes, frameCount: UInt32(count), spaceCount: spaceCount, fileCount: fileCount,
            mirrorCount: mirrorCount)
    }

    /// Bytes of memory that the layout takes.
    public var byteCount: UInt64 { (UInt64(map.first.number) + UInt64(map.frameCount)) << UInt64(map.log2FrameBytes) }

    /// Words and descriptors, which live as long as the memory.
    public var bookkeeping: PhysicalRange {
        let last = map.address(of: map.first).rawValue - 1
        return PhysicalRange(first: PhysicalAddress(64), last: PhysicalAddress(last))
    }

    public var allocatorLock: PhysicalAddress { PhysicalAddress(64) }

    /// - Precondition: `index` is below `spaceCount`.
    public func spaceWords(_ index: Int = 0) -> SpaceWords {
        precondition(index >= 0 && index < spaceCount, "the layout has no such space")
        return SpaceWords(at: PhysicalAddress(128 + UInt64(index) * SpaceWords.byteCount))
    }

    /// - Precondition: `index` is below `fileCount`.
    public func fileWords(_ index: Int = 0) -> FileWords {
        precondition(index >= 0 && index < fileCount, "the layout has no such file")
        let start = 128 + UInt64(spaceCount) * SpaceWords.byteCount
        return FileWords(at: PhysicalAddress(start + UInt64(index) * FileWords.byteCount))
    }

    /// - Precondition: `index` is below `mirrorCount`.
    public func mirrorWords(_ index: Int = 0) -> MirrorWords {
        precondition(index >= 0 && index < mirrorCount, "the layout has no such mirror")
        let start = Self.words(spaceCount, fileCount, 0)
        return MirrorWords(at: PhysicalAddress(start + UInt64(index) * MirrorWords.byteCount))
    }

    /// The frames of the layout, all free.
    public func makeReferences() -> FrameReferences { FrameReferences(FrameAllocator(map, lock: allocatorLock)) }
}
