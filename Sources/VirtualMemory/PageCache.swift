import PageTables
import TableMemory

// The pages of a file in frames, for all spaces that show them.
//
// Lock order: change lock of the file, space, growth, table, fragments, lock of the file, frames. A fault has its space's lock
// for reading when it asks for a page, so whoever has the file's lock waits for no space: writeback, truncation and who looks
// what was written note the spaces under the file's lock, release it, and then visit them: they take the spaces' locks one by one.
// The change lock, which is first of all, keeps writeback, truncation and closing apart; no fault takes it.
//
// A space that was noted may leave the file, and be torn down, before it is visited. Its regions say then that there is nothing to
// do, but its lock is needed to look at them. So a visit is counted in the words of the space when the space is noted, and who tears
// the space down waits for those that are not over, when nobody can note it any more.      [waitForVisits]
//
// References: the cache has one for each page, each mapping one more. A page is looked up and its mapping counted with the
// file's lock held, so the cache's reference is still there.
//
// The mapping word (`FrameOwner`) is set before the page is in the cache. Truncation clears it, after no entry maps the page
// any more and before the cache gives up its reference; whoever has a pin then still has the frame.

/// The pages of a file that are in memory: what regions show.
///
/// `CachedFile` adds what is behind the file.
public class PageCache: @unchecked Sendable {
    // Unchecked: size, pages and spaces are guarded by the file's lock, which is a word of the shared memory and unknown to
    // the compiler. No access to them stays open across a call of the seam.

    public enum Kind: Hashable, Sendable {
        /// What is written is to reach the store, so the first write to a page is a fault.
        case file
        /// Memory that spaces share, and that nothing is behind but what it held in the beginning.
        case sharedMemory
    }

    public let kind: Kind
    /// Whether shared regions may let somebody write: not of a file whose store cannot be written.
    public let acceptsWrites: Bool
    public let words: FileWords
    /// In the mapping words of its pages.
    public let number: UInt64
    let references: FrameReferences
    var byteCount: UInt64
    var pages: [UInt64: Frame] = [:]
    /// The reverse map: the spaces with regions of the file. Where in a space those are, its regions say.
    var spaces: [any FileSpace] = []

    init(
        _ kind: Kind, isWritable: Bool, _ words: FileWords, number: UInt64, _ references: FrameReferences,
        byteCount: UInt64
    ) {
        self.kind = kind
        acceptsWrites = kind == .sharedMemory || isWritable
        self.words = words
        self.number = number
        self.references = references
        self.byteCount = byteCount
    }

    /// Reads what is behind a page, with the file's lock held.
    ///
    /// - Returns: False if that failed.
    func readPage(at offset: UInt64, into bytes: inout [UInt8]) -> Bool { false }

    var map: FrameMap { references.map }
    var log2PageBytes: UInt64 { UInt64(map.log2FrameBytes) }
    var pageBytes: UInt64 { 1 << log2PageBytes }
    var owner: FrameOwner { FrameOwner(kind == .file ? .file : .sharedMemory, number: number) }

    /// How many pages a file of some size has, a last one in part included.
    func pageCount(_ byteCount: UInt64) -> UInt64 {
        byteCount >> log2PageBytes + (byteCount & (pageBytes - 1) == 0 ? 0 : 1)
    }

    func range(of frame: Frame) -> PhysicalRange { map.range(of: frame, .single) }
    func owner(of frame: Frame) -> Word<UInt64> { map.descriptor(of: frame).mapping }

    /// The size of the file in bytes.
    public func size<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> UInt64 {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in byteCount }
    }

    /// How many pages are in memory.
    public func cachedPageCount<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> Int {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in pages.count }
    }

    // MARK: pages

    /// The frame of a page, read from the store if it has to be, with a mapping more.
    func mapPage<Memory: SharedMemory>(
        _ index: UInt64, in memory: Memory
    ) throws(Memory.Failure) -> PageOfFile {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            guard index < pageCount(byteCount) else { return .beyondEnd }
            let found: Frame
            if let cached = pages[index] {
                found = cached
            } else {
                guard let frame = try references.allocator.allocate(in: memory) else { return .outOfMemory }
                var bytes = [UInt8](repeating: 0, count: Int(pageBytes))
                guard readPage(at: index << log2PageBytes, into: &bytes) else {
                    try references.drop(on: frame, in: memory)
                    return .unreadable
                }
                try memory.write(bytes, to: range(of: frame))
                try memory.store(owner.rawValue, to: owner(of: frame), .release)
                // The allocation's reference becomes the cache's.
                pages[index] = frame
                found = frame
            }
            try references.addMappings(1, of: found, in: memory)
            return .frame(found)
        }
    }

    // MARK: spaces

    /// A space has a region of the file. With the space's lock held for writing.
    func attach<Memory: SharedMemory>(
        _ space: any FileSpace, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            if !spaces.contains(where: { $0 === space }) { spaces.append(space) }
        }
    }

    /// A space has no region of the file any more, and no entry maps a page of it.
    func detach<Memory: SharedMemory>(
        _ space: any FileSpace, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in spaces.removeAll { $0 === space } }
    }
}

extension SafetyRule {
    @inlinable
    public static var waitForVisits: SafetyRule {
        SafetyRule(
            name: "waitForVisits",
            demand: "The words of a space are its own until all are done with it who came from a file.",
            history: "What a reverse map has led to was freed before it was locked (Linux, anon_vma, many times).")
    }
}

extension PageCache {
    /// With the file's lock held: the spaces that show the file, each to be visited.
    ///
    /// In memory of its own: the array is changed in place while this one is read.
    func noteSpaces<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> [any FileSpace] {
        for space in spaces { _ = try memory.add(1, to: space.words.visits, .relaxed) }
        return spaces.map { $0 }
    }

    /// Without the file's lock: calls `body` with spaces that were noted, none of which is used afterwards.
    func visit<Memory: SharedMemory>(
        _ noted: [any FileSpace], in memory: borrowing Memory,
        _ body: (any FileSpace, borrowing Memory) throws(Memory.Failure) -> Void
    ) throws(Memory.Failure) {
        for space in noted {
            try body(space, memory)
            _ = try memory.add(0 &- 1, to: space.words.visits, .release)
        }
    }
}

extension PageCache: Hashable {
    /// Files are told apart by which they are, not by what is in them.
    public static func == (left: PageCache, right: PageCache) -> Bool { left === right }

    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// What became of asking for a page of a file.
enum PageOfFile {
    case frame(Frame)
    case beyondEnd
    case unreadable
    case outOfMemory
}

/// A space as a file knows it: where its pages can be mapped.
protocol FileSpace: AnyObject, Sendable {
    var words: SpaceWords { get }
    /// Takes the right to write from all entries of shared regions that map certain pages of a file.
    func protectPages<Memory: SharedMemory>(
        _ indices: [UInt64], of file: PageCache, in memory: borrowing Memory
    ) throws(Memory.Failure)
    /// Unmaps all pages of a file from one on, private copies as well.
    func unmapPages<Memory: SharedMemory>(
        from index: UInt64, of file: PageCache, in memory: borrowing Memory
    ) throws(Memory.Failure)
    /// Takes something from all entries of shared regions that map certain pages of a file: see `PageCache.writeProtect` and
    /// `PageCache.cleanAndRecord`.
    func takeWrites<Memory: SharedMemory>(
        _ taken: TakenWrites, _ pages: ClosedRange<UInt64>, of file: PageCache, _ written: inout PageBitmap,
        in memory: borrowing Memory
    ) throws(Memory.Failure) -> Int
}
