import HostMemory
import PageTables
import TableMemory
import VirtualMemory

/// A file that threads of a round share, with what should be in it.
struct StressFile<Format: StressFormat>: Sendable {
    let cache: CachedFile<StressStore>
    let store: StressStore
    let model: FileModel
    /// Its number among the files, and that of its first page among all pages.
    let index: Int
    let firstPage: UInt64
    let tags: PageTags<Format>

    var hasStore: Bool { index != StressAreas<Format>.sharedMemory }
    private var format: Format { tags.format }
    private var pageBytes: UInt64 { 1 << UInt64(format.log2FrameBytes) }

    init(
        _ index: Int, _ areas: StressAreas<Format>, _ words: FileWords, _ references: FrameReferences,
        seed: UInt64, _ log: ViolationLog, in memory: HostMemory
    ) {
        self.index = index
        tags = PageTags(areas.format)
        firstPage = areas.fileFirstPages[index]
        // Three quarters of what it can be.
        let halves = areas.filePages + areas.filePages / 2
        model = FileModel(pages: areas.filePages, halves: halves)
        let bytes = Self.content(halves, firstPage, tags)
        store = StressStore(
            bytes, pageBytes: 1 << Int(tags.format.log2FrameBytes),
            failsOneIn: index == StressAreas<Format>.sharedMemory ? 0 : 64, seed: seed, log)
        let kind: PageCache.Kind = index == StressAreas<Format>.sharedMemory ? .sharedMemory : .file
        do throws(FileError<Never, StressStore.Failure>) {
            cache = try .open(store, kind, words: words, references, in: memory)
        } catch { preconditionFailure("a new file was refused") }
    }

    /// What is in a file in the beginning: the tag of its page in every word.
    private static func content(_ halves: UInt64, _ firstPage: UInt64, _ tags: PageTags<Format>) -> [UInt8] {
        let pageBytes = 1 << Int(tags.format.log2FrameBytes)
        var bytes: [UInt8] = []
        for page in 0..<halves / 2 {
            let tag = tags.tag(firstPage + page, PageTags<Format>.faulted)
            let word = withUnsafeBytes(of: tag) { [UInt8]($0) }
            let kilobyte = [[UInt8]](repeating: word, count: 128).flatMap { $0 }
            for _ in 0..<pageBytes / 1024 { bytes += kilobyte }
        }
        return bytes
    }

    // MARK: places

    /// The size in bytes for a number of halves. The end is up to 63 bytes in front of the middle of a page.
    func byteCount(_ halves: UInt64, _ random: inout SplitMix64) -> UInt64 {
        let pages = (halves / 2) << UInt64(format.log2FrameBytes)
        return halves & 1 == 0 ? pages : pages + pageBytes / 2 - random.below(64)
    }

    /// The word of a page that a thread has in the lower or the upper half.
    func ownWord(of thread: Int, isUpper: Bool) -> UInt64 {
        8 + UInt64(thread) + (isUpper ? pageBytes / 16 : 0)
    }

    /// A word of a page that nobody writes, and that no end of a file is in.
    func originalWord(isUpper: Bool, _ random: inout SplitMix64) -> UInt64 {
        isUpper ? pageBytes / 16 + 64 + random.below(pageBytes / 16 - 64) : 2 + random.below(6 as UInt64)
    }

    // MARK: values

    /// What a thread writes to a word of its own.
    ///
    /// - Parameter isPrivate: Whether it is written to a private region: then it must never be in the file.
    func value(_ page: UInt64, of thread: Int, number: UInt64, isPrivate: Bool) -> UInt64 {
        let limit = (tags.generationLimit - 2) / 64
        let generation = 1 + (number % limit * 32 + UInt64(thread)) * 2 + (isPrivate ? 1 : 0)
        return tags.tag(page, generation)
    }

    /// Whether a word can be in a page: zero, or what was or will be written to the page of the file, or to a private copy.
    func isPossible(_ word: UInt64, in page: UInt64, of thread: Int?, inPrivate: Bool) -> Bool {
        if word == 0 { return true }
        guard let (found, generation) = tags.content(of: word), found == page else { return false }
        if generation == PageTags<Format>.faulted { return true }
        guard let thread else { return false }
        let (payload, isPrivate) = ((generation - 1) / 2, (generation - 1) & 1 == 1)
        return payload % 32 == UInt64(thread) && (inPrivate || !isPrivate)
    }
}
