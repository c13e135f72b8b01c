import PageTables
import TableMemory

// Dirty pages and their way to the store. Nothing that was written through a mapping or a pin is lost:
//
//   writing: 1. A fault for writing marks the page dirty, and then makes the entry writable, all of it with the space's lock
//               held for reading.                                                        [markDirtyBeforeWritable]
//            2. Who has written through a pin marks the page dirty before it gives the pin up.  [markDirtyBeforeUnpin]
//
//   writeback, with the change lock held, so that it does not return before another one has written what that one found
//   dirty:                                                                                         [oneChangeAtATime]
//            1. With the file's lock held: clean the pages that are dirty, take a reference to each, and note the spaces.
//               Reclaim takes no change lock, and would find them clean.                        [keepPageDuringWriteback]
//            2. In each space, with its lock held for writing, take the right to write from the entries of those pages, and from
//               those who keep it. A fault that marked a page before it was cleaned holds the lock for reading until its entry is
//               writable, so its entry is found here; one that comes later marks the page dirty again. The other way round, a
//               page could be marked, cleaned, copied, and then become writable.
//                                           [protectBeforeCopying, invalidateBeforeStoring, cleanBeforeProtecting]
//            3. With the file's lock held for some pages that follow each other: copy them, as far as the file goes, and write
//               them to the store with one call. Where that fails, go on page by page; where a page fails, it and those that
//               were to follow are dirty again. Give the references back.
//
// Linux (v6.19, clear_page_dirty_for_io) protects first and cleans then; there the page's lock, which a fault for writing holds
// over both of its steps, forbids what the order forbids here.
//
//   resizing, with the change lock held:                                                          [oneChangeAtATime]
//            1. With the file's lock held: resize the store, change the size, note the spaces. Faults refuse what is beyond.
//            2. In each space, with its lock held for writing, unmap what is beyond, also for those who keep translations: a
//               fault that has seen the old size is over then.        [unmapBeforeTruncating, invalidateBeforeTruncating]
//            3. With the file's lock held: take what is beyond out of the cache, clear its mapping words, drop its references.
//
// In step 1 the rest of a page that the file has in part is zeroed. It may be written through mappings afterwards, and is zeroed
// again when the file grows over it.                                                              [zeroBehindEnd]
//
// Without the change lock a writeback would store what a truncation has cut off, after the file has grown again, and a truncation
// give up pages that are the file's again.

extension SafetyRule {
    public static var oneChangeAtATime: SafetyRule {
        SafetyRule(
            name: "oneChangeAtATime",
            demand: "Writeback, resizing and closing of one file do not overlap.",
            history: "A page is clean while it is on its way to the store; who takes that for done waits for nothing.")
    }

    public static var protectBeforeCopying: SafetyRule {
        SafetyRule(
            name: "protectBeforeCopying",
            demand:
                "While a page is copied to the store, no entry lets anybody write to it who does not mark it dirty.",
            history: "What is written after the page was copied is not known to be there, and never reaches the file.")
    }

    public static var invalidateBeforeStoring: SafetyRule {
        SafetyRule(
            name: "invalidateBeforeStoring",
            demand: "Who keeps the right to write to a page has lost it before the page is copied to the store.",
            history: "What a processor wrote by a kept translation, after the page was copied, never reached the file.")
    }

    public static var cleanBeforeProtecting: SafetyRule {
        SafetyRule(
            name: "cleanBeforeProtecting",
            demand: "A page is cleaned before its entries lose the right to write, not after.",
            history: "A fault that marks the page between the two leaves a writable entry to a page that is clean.")
    }

    public static var keepPageDuringWriteback: SafetyRule {
        SafetyRule(
            name: "keepPageDuringWriteback",
            demand: "A page that was cleaned for the store is not given up before it is there.",
            history:
                "Reclaim freed a page on its way to the store, which got what its frame's next owner wrote (found by stress)."
        )
    }

    public static var unmapBeforeTruncating: SafetyRule {
        SafetyRule(
            name: "unmapBeforeTruncating",
            demand: "No entry maps a page that its file gives up.",
            history:
                "A page behind the end of a file stayed mapped, and what was written there was lost (Linux 2.6.20).")
    }

    public static var zeroBehindEnd: SafetyRule {
        SafetyRule(
            name: "zeroBehindEnd",
            demand: "Where a file becomes shorter or longer inside a page, what is behind the end is zero.",
            history:
                "What was written behind the end through a mapping was in the file when it grew (Linux, many times).")
    }

    public static var invalidateBeforeTruncating: SafetyRule {
        SafetyRule(
            name: "invalidateBeforeTruncating",
            demand: "Who keeps a translation to a page has lost it before the page's file gives the page up.",
            history: "A page that its file gave up was freed, and written to by what a processor kept of its entry.")
    }
}

/// A file of which pages are in memory, with what is behind it.
public final class CachedFile<Store: BackingStore>: PageCache, @unchecked Sendable {
    // Unchecked as its superclass is.

    public let store: Store
    private var readFailures = ReadFailures<Store.Failure>()

    private init(
        _ store: Store, _ kind: Kind, _ words: FileWords, number: UInt64, _ references: FrameReferences,
        byteCount: UInt64
    ) {
        self.store = store
        super.init(
            kind, isWritable: store.isWritable, words, number: number, references, byteCount: byteCount)
    }

    /// A file with no page in memory yet.
    ///
    /// - Parameter words: `FileWords.byteCount` bytes of bookkeeping, zero.
    public static func open<Memory: SharedMemory>(
        _ store: Store, _ kind: Kind = .file, words: FileWords, _ references: FrameReferences,
        in memory: borrowing Memory
    ) throws(FileError<Memory.Failure, Store.Failure>) -> CachedFile {
        let byteCount: UInt64
        do throws(Store.Failure) { byteCount = try store.byteCount() } catch { throw .store(error) }
        do throws(Memory.Failure) {
            let number = try references.allocator.newFileNumber(in: memory)
            return CachedFile(store, kind, words, number: number, references, byteCount: byteCount)
        } catch { throw .memory(error) }
    }

    override func readPage(at offset: UInt64, into bytes: inout [UInt8]) -> Bool {
        do throws(Store.Failure) {
            try store.read(at: offset, into: &bytes)
            readFailures.forget(offset >> log2PageBytes)
            return true
        } catch {
            readFailures.note(error, ofPage: offset >> log2PageBytes)
            return false
        }
    }

    /// Why the page of an offset could last not be read: for who was refused with `.unreadable(address)`, of which
    /// `Region.fileOffset(of:)` tells the offset. The answer stays for all who were refused the same page.
    ///
    /// - Returns: `nil` if the page was read since, if it is gone, or if so many other pages failed since (64) that this one was
    ///   forgotten: the access is to be tried again then, and succeeds or says anew why not.
    public func readFailure<Memory: SharedMemory>(
        at offset: UInt64, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Store.Failure? {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in readFailures[offset >> log2PageBytes] }
    }

    // MARK: changes

    /// Writes all dirty pages to the store. When they outlive a failure of the system, `synchronize` says.
    ///
    /// - Throws: The store's failure; what was not written is dirty still.
    /// - Precondition: The caller is in no section and holds no lock.
    /// - Complexity: The pages in memory, and the entries of those that are dirty.
    public func writeBack<Memory: SharedMemory>(
        in memory: borrowing Memory
    ) throws(FileError<Memory.Failure, Store.Failure>) {
        try change(in: memory) { (memory) throws(Memory.Failure) in try self.writeDirtyPages(memory) }
    }

    /// Writes all dirty pages to the store, and returns when it has them where they outlive a failure of the system.
    ///
    /// - Throws: The store's failure. What was not written is dirty still. If the store finds out only now that it lost something,
    ///   it does not say what: all pages in memory are dirty again. Of pages that were reclaimed since they were written, it is
    ///   the only word.
    /// - Precondition: As for `writeBack`. Faults go on meanwhile.
    /// - Complexity: As `writeBack`, and what the store takes.
    public func synchronize<Memory: SharedMemory>(
        in memory: borrowing Memory
    ) throws(FileError<Memory.Failure, Store.Failure>) {
        try change(in: memory) { (memory) throws(Memory.Failure) in
            guard self.kind == .file else { return nil }
            if let failure = try self.writeDirtyPages(memory) { return failure }
            do throws(Store.Failure) {
                try self.store.synchronize()
                return nil
            } catch {
                try self.markAllDirty(memory)
                return error
            }
        }
    }

    /// Makes the file shorter, or longer with zeros. What is beyond its end is mapped nowhere afterwards, and is written to
    /// the store no more.
    ///
    /// - Throws: The store's failure; nothing has changed then.
    /// - Precondition: As for `writeBack`.
    public func resize<Memory: SharedMemory>(
        to byteCount: UInt64, in memory: borrowing Memory
    ) throws(FileError<Memory.Failure, Store.Failure>) {
        try change(in: memory) { (memory) throws(Memory.Failure) in try self.resizeLocked(byteCount, memory) }
    }

    /// Writes all dirty pages to the store, and gives up all pages. The store stays open; what it knows of failures only later, it
    /// tells who calls `synchronize` before.
    ///
    /// - Throws: The store's failure; the pages stay then.
    /// - Precondition: No region shows the file, and nobody has a page of it pinned.
    public func close<Memory: SharedMemory>(
        in memory: borrowing Memory
    ) throws(FileError<Memory.Failure, Store.Failure>) {
        try change(in: memory) { (memory) throws(Memory.Failure) in
            if let failure = try self.writeDirtyPages(memory) { return failure }
            try memory.withLock(self.words.lock) { (_) throws(Memory.Failure) in
                precondition(self.spaces.isEmpty, "a file is closed that a region shows")
                try self.giveUpPages(from: 0, memory)
            }
            return nil
        }
    }

    private func change<Memory: SharedMemory>(
        in memory: borrowing Memory, _ body: (Memory) throws(Memory.Failure) -> Store.Failure?
    ) throws(FileError<Memory.Failure, Store.Failure>) {
        let memory = copy memory
        let failure: Store.Failure?
        do throws(Memory.Failure) {
            failure = try memory.withLock(words.changeLock, holds: memory.enforces(.oneChangeAtATime)) {
                () throws(Memory.Failure) in try body(memory)
            }
        } catch { throw .memory(error) }
        if let failure { throw .store(failure) }
    }

    // MARK: writeback

    private func writeDirtyPages<Memory: SharedMemory>(_ memory: Memory) throws(Memory.Failure) -> Store.Failure? {
        guard kind == .file else { return nil }
        var isClean = false
        let (dirty, spaces) = try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            let dirty = try dirtyPages(memory)
            if memory.enforces(.keepPageDuringWriteback) {
                for page in dirty { _ = try references.take(on: page.frame, in: memory) }
            }
            if memory.enforces(.cleanBeforeProtecting) {
                try clean(dirty, memory)
                isClean = true
            }
            return (dirty, try dirty.isEmpty ? [] : noteSpaces(in: memory))
        }
        if dirty.isEmpty { return nil }
        let indices = dirty.map(\.index)
        try visit(spaces, in: memory) { (space, memory) throws(Memory.Failure) in
            if memory.enforces(.protectBeforeCopying) { try space.protectPages(indices, of: self, in: memory) }
        }
        if !isClean { try clean(dirty, memory) }
        let failure = try write(dirty, memory)
        if memory.enforces(.keepPageDuringWriteback) {
            for page in dirty { try references.drop(on: page.frame, in: memory) }
        }
        return failure
    }

    /// How many pages the store gets with one call: 64 KiB, during which nobody else gets a page of the file.
    private var mostPagesAtOnce: Int { max(1, Int(65_536 >> log2PageBytes)) }

    /// Step 3.
    private func write<Memory: SharedMemory>(
        _ dirty: [CachedPage], _ memory: Memory
    ) throws(Memory.Failure) -> Store.Failure? {
        var rest = dirty[...]
        var mostPages = mostPagesAtOnce
        while let first = rest.first {
            let run = rest.prefix(mostPages).enumerated().prefix { $1.index == first.index + UInt64($0) }.map(\.element)
            if let failure = try write(run, from: first.index, memory) {
                if run.count == 1 {
                    for page in rest { try references.markDirty(page.frame, in: memory) }
                    return failure
                }
                // Which page failed, and that those before it did not, is known of one page at a time only.
                mostPages = 1
            } else {
                rest = rest.dropFirst(run.count)
            }
        }
        return nil
    }

    private func markAllDirty<Memory: SharedMemory>(_ memory: Memory) throws(Memory.Failure) {
        guard acceptsWrites else { return }
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            for index in pages.keys.sorted() {
                if let frame = pages[index] { try references.markDirty(frame, in: memory) }
            }
        }
    }

    /// The dirty pages in the order of the file.
    private func dirtyPages<Memory: SharedMemory>(_ memory: Memory) throws(Memory.Failure) -> [CachedPage] {
        var dirty: [CachedPage] = []
        for (index, frame) in pages.sorted(by: { $0.key < $1.key }) {
            let owner = try references.owner(of: frame, in: memory)
            if owner.isDirty { dirty.append(CachedPage(index: index, frame: frame)) }
        }
        return dirty
    }

    private func clean<Memory: SharedMemory>(_ pages: [CachedPage], _ memory: Memory) throws(Memory.Failure) {
        for page in pages {
            _ = try memory.update(owner(of: page.frame), clearing: FrameOwner.dirty, setting: 0, .full)
        }
    }

    /// Copies pages that follow each other, and writes them.
    private func write<Memory: SharedMemory>(
        _ run: [CachedPage], from index: UInt64, _ memory: Memory
    ) throws(Memory.Failure) -> Store.Failure? {
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            var page = [UInt8](repeating: 0, count: Int(pageBytes))
            var bytes: [UInt8] = []
            bytes.reserveCapacity(run.count * page.count)
            for cached in run {
                try memory.read(range(of: cached.frame), into: &page)
                bytes += page
            }
            let start = index << log2PageBytes
            bytes.removeLast(bytes.count - Int(min(UInt64(bytes.count), byteCount - start)))
            do throws(Store.Failure) {
                try store.write(bytes, at: start)
                return nil
            } catch { return error }
        }
    }

    // MARK: resizing

    private func resizeLocked<Memory: SharedMemory>(
        _ newCount: UInt64, _ memory: Memory
    ) throws(Memory.Failure) -> Store.Failure? {
        var failure: Store.Failure?
        let (oldCount, spaces) = try memory.withLock(words.lock) { (_) throws(Memory.Failure) in
            let oldCount = byteCount
            do throws(Store.Failure) { try store.resize(to: newCount) } catch { failure = error }
            if failure == nil {
                if memory.enforces(.zeroBehindEnd) { try clearRest(behind: min(oldCount, newCount), memory) }
                byteCount = newCount
            }
            let isShorter = failure == nil && newCount < oldCount
            return (oldCount, try isShorter ? noteSpaces(in: memory) : [])
        }
        if let failure { return failure }
        guard newCount < oldCount else { return nil }
        let firstGone = pageCount(newCount)
        try visit(spaces, in: memory) { (space, memory) throws(Memory.Failure) in
            if memory.enforces(.unmapBeforeTruncating) { try space.unmapPages(from: firstGone, of: self, in: memory) }
        }
        try memory.withLock(words.lock) { (_) throws(Memory.Failure) in try giveUpPages(from: firstGone, memory) }
        return nil
    }

    /// Zeros the part of a page that is behind the end of the file. What is in front of it may be written meanwhile.
    private func clearRest<Memory: SharedMemory>(behind end: UInt64, _ memory: Memory) throws(Memory.Failure) {
        guard end & (pageBytes - 1) != 0, let frame = pages[end >> log2PageBytes] else { return }
        let range = range(of: frame)
        var place = range.first.rawValue + end & (pageBytes - 1)
        while place <= range.last.rawValue {
            try memory.clearWord(from: PhysicalAddress(place))
            place = (place | 7) + 1
        }
    }

    /// Takes pages out of the cache. Whoever has one pinned keeps its frame.
    private func giveUpPages<Memory: SharedMemory>(
        from index: UInt64, _ memory: Memory
    ) throws(Memory.Failure) {
        readFailures.forget(from: index)
        for index in pages.keys.filter({ $0 >= index }).sorted() {
            guard let frame = pages.removeValue(forKey: index) else { continue }
            try memory.store(0, to: owner(of: frame), .release)
            try references.drop(on: frame, in: memory)
        }
    }
}

/// A page of a file in a frame.
private struct CachedPage {
    let index: UInt64
    let frame: Frame
}

extension FrameReferences {
    /// Notes that a page may hold what its file's store does not.
    @inlinable
    func markDirty<Memory: SharedMemory>(_ head: Frame, in memory: borrowing Memory) throws(Memory.Failure) {
        _ = try memory.update(map.descriptor(of: head).mapping, clearing: 0, setting: FrameOwner.dirty, .full)
    }
}

/// Why an operation on a file did not happen.
public enum FileError<MemoryFailure: Error, StoreFailure: Error>: Error {
    /// The memory itself failed: never on the host.
    case memory(MemoryFailure)
    /// What is behind the file failed, in its own words.
    case store(StoreFailure)
}

extension FileError: Equatable where MemoryFailure: Equatable, StoreFailure: Equatable {}
