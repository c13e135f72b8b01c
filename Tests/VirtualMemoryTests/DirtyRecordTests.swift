import HostMemory
import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

/// A format in which pages of a file are written, cleaned and protected.
struct DirtyRecordCase: Sendable, CustomTestStringConvertible {
    let name: String
    let play: @Sendable (_ run: Int) throws -> Void

    init<F: WritableFormat>(_ name: String, _ format: F) {
        self.name = name
        play = { run in
            var game = try DirtyRecordGame(format, name, run)
            for _ in 0..<200 { try game.step() }
            try game.end()
        }
    }

    var testDescription: String { name }

    static let all: [DirtyRecordCase] = [
        DirtyRecordCase("small", SmallFormat<UInt64>()),
        DirtyRecordCase("small, 32-bit", SmallFormat<UInt32>()),
        DirtyRecordCase("x86-64", X86_64()),
        DirtyRecordCase("x86 PAE, in halves", AccessedInHalves(X86PAE())),
        DirtyRecordCase("arm64, 4 KiB", Arm64<Granule4K>()),
        DirtyRecordCase("arm64, 4 KiB, writes recorded", Arm64<Granule4K>(hardwareDirty: true)),
        DirtyRecordCase("riscv Sv39", RISCVSv39()),
        DirtyRecordCase("ppc64 radix, 64 KiB", PPC64Radix64K()),
        DirtyRecordCase("s390x, where no entry says that a page was written", S390x()),
    ]
}

@Suite("The record of what was written to a file")
struct DirtyRecordTests {
    @Test("is what the model says, whoever writes, looks and protects", arguments: DirtyRecordCase.all, 0..<3)
    func play(_ format: DirtyRecordCase, _ run: Int) throws { try format.play(run) }

    @Test("has what hardware could have written, where hardware does not record it", arguments: [false, true])
    func hardwareWithoutRecords(_ isWrittenByProcessor: Bool) throws {
        let format = Arm64<Granule4K>()
        let layout = PhysicalLayout(log2FrameBytes: 12, frameCount: 100, fileCount: 1)
        let hostProcessors = HostProcessors(arena: try HostArena(byteCount: (Int(layout.byteCount) + 0xfff) & ~0xfff))
        let memory = hostProcessors.attach()
        defer { memory.detach() }
        let references = layout.makeReferences()
        let space = try VirtualMemory.Space.make(format, references, words: layout.spaceWords(), in: memory)
        let store = MemoryStore([UInt8](repeating: 0, count: 4096))
        let file = try CachedFile.open(store, words: layout.fileWords(), references, in: memory)
        let page = VirtualRange(first: VirtualAddress(0x1000), last: VirtualAddress(0x1fff))
        let region = Region(page, .file(FileView(file, .shared)), format.attributes([.read, .write]))
        try space.add(region, in: memory)
        for _ in 0..<2 {
            // The fault that makes the entry writable is all that hardware needs; a processor of ours says that it wrote.
            if isWrittenByProcessor {
                var processor = VirtualProcessor(space, in: memory)
                try processor.access(page.first, for: .write) { _ throws(Never) in }
                processor.leave()
            } else {
                let refusal = memory.withReadLock(space.words.lock) {
                    space.fault(page.first, .access(.write), $0)
                }
                #expect(refusal == nil)
            }
            var written = PageBitmap(0...0)
            #expect(file.cleanAndRecord(0...0, into: &written, in: memory) == 1 && written.contains(0))
            let canWrite = memory.withRCUReader { section -> Bool in
                guard case .mapped(let found) = space.view(in: section).translate(page.first, in: section) else {
                    return true
                }
                return found.rights.canWrite
            }
            #expect(!canWrite, "nobody notices what is written next")
            var none = PageBitmap(0...0)
            #expect(file.cleanAndRecord(0...0, into: &none, in: memory) == 0 && none.isEmpty)
        }
        space.tearDown(in: memory)
        try file.close(in: memory)
        #expect(references.allocator.freeFrameCount(in: memory) == 100)
    }

    @Test("is a set of pages")
    func bitmap() {
        var bitmap = PageBitmap(5...200)
        #expect(bitmap.isEmpty && bitmap.bounds == nil && bitmap.count == 0)
        for page: UInt64 in [70, 5, 200, 70] { bitmap.insert(page) }
        #expect(bitmap.bounds == 5...200 && bitmap.count == 3)
        #expect((0...300).filter(bitmap.contains) == [5, 70, 200])
    }
}

/// The file has so many pages.
private let pageCount: UInt64 = 8

/// A region of the file: which space shows which pages.
private struct Shown {
    let space: Int
    let pages: ClosedRange<UInt64>
    let sharing: FileSharing
    /// The number of the page of the space where it begins.
    let start: UInt64
}

/// Those of space 0 cross from one leaf table of x86-64 to the next.
private let regions = [
    Shown(space: 0, pages: 0...7, sharing: .shared, start: 0x1fc),
    Shown(space: 1, pages: 2...6, sharing: .shared, start: 0x10),
    Shown(space: 0, pages: 0...3, sharing: .private, start: 0x10),
]

/// What the entry for a page of the file in a region is.
private struct PlainEntry: Equatable {
    var isMapped = false
    var canWrite = false
    var isDirty = false
}

private final class Processor<Format: WritableFormat> {
    private var processor: VirtualProcessor<Format, SoundStructure, HostMemory>

    init(_ space: VirtualMemory.Space<Format>, _ memory: HostMemory) {
        let mode: ProcessorMode = Format.notions.user ? .user : .supervisor
        processor = VirtualProcessor(space, mode: mode, log2Pages: 3, log2Tables: 1, in: memory)
    }

    func access(
        _ address: VirtualAddress, for access: ProcessorAccess, _ body: (PhysicalAddress) -> UInt64
    ) throws -> UInt64 { try processor.access(address, for: access) { physical throws(Never) in body(physical) } }
}

/// Random writes and looks, and arrays that say what comes of them.
private struct DirtyRecordGame<Format: WritableFormat> {
    private let format: Format
    private let memory: HostMemory
    private let hostProcessors: HostProcessors
    private let layout: PhysicalLayout
    private let references: FrameReferences
    private let spaces: [VirtualMemory.Space<Format>]
    /// One for each space; none where entries are accessed in halves.
    private var processors: [Processor<Format>] = []
    private let store: MemoryStore
    private let file: CachedFile<MemoryStore>
    private let replay: Comment
    private var random: SeededRandom
    private let mirror: DeviceMirror<PlainDevice>

    private var entries: [[PlainEntry]]
    /// The first word of each page of the file, and of the copies of the private region.
    private var content = [UInt64](repeating: 0, count: Int(pageCount))
    private var copies: [UInt64: UInt64] = [:]
    private var isDirty = [Bool](repeating: false, count: Int(pageCount))
    /// Whether an entry that lets nobody write can say that its page was written.
    private let keepsRecord: Bool

    init(_ format: Format, _ name: String, _ run: Int) throws {
        let format = format.ofLiveSpaces
        self.format = format
        replay = "\(name), run \(run); \(SeededRandom.replay("DirtyRecordTests"))"
        random = SeededRandom(for: "dirty \(name) \(run)")
        layout = PhysicalLayout(
            log2FrameBytes: format.log2FrameBytes, frameCount: 100, spaceCount: 2, fileCount: 1, mirrorCount: 1)
        hostProcessors = HostProcessors(arena: try HostArena(byteCount: Int(layout.byteCount + 0xfff) & ~0xfff))
        let memory = hostProcessors.attach()
        self.memory = memory
        let (layout, references) = (layout, layout.makeReferences())
        self.references = references
        let spaces: [VirtualMemory.Space<Format>] = try (0...1).map {
            try .make(format, references, words: layout.spaceWords($0), in: memory)
        }
        self.spaces = spaces
        store = MemoryStore([UInt8](repeating: 0, count: Int(pageCount << UInt64(format.log2FrameBytes))))
        file = try .open(store, words: layout.fileWords(), references, in: memory)
        entries = regions.map { [PlainEntry](repeating: PlainEntry(), count: $0.pages.count) }
        var leaf = format.decode(
            try format.leaf(
                PhysicalAddress(0), PageSize(log2Bytes: Int(format.log2FrameBytes)),
                format.attributes([.read, .write]),
                at: .leafTable), at: .leafTable)
        leaf.attributes.flags.formUnion(EntryFlags.dirty.intersection(Format.notions.flags))
        leaf.attributes.rights.subtract(.writes)
        keepsRecord = format.attributes(of: format.encode(leaf, at: .leafTable), at: .leafTable).flags.contains(.dirty)
        mirror = DeviceMirror(
            VirtualRange(first: VirtualAddress(0), last: VirtualAddress(0x400 << UInt64(format.log2FrameBytes) - 1)),
            of: PlainDevice(log2PageBytes: format.log2FrameBytes), words: layout.mirrorWords())
        // A device in space 0 only, so that the other has nobody but its processor.
        spaces[0].add(mirror, in: memory)
        if !Format.isAccessedInHalves { processors = spaces.map { Processor($0, memory) } }
        for shown in regions {
            let view = FileView(file, offset: shown.pages.lowerBound << UInt64(format.log2FrameBytes), shown.sharing)
            try spaces[shown.space].add(
                Region(range(shown, shown.pages), .file(view), format.attributes([.read, .write])), in: memory)
        }
    }

    private func address(_ shown: Shown, _ page: UInt64) -> VirtualAddress {
        VirtualAddress((shown.start + page - shown.pages.lowerBound) << UInt64(format.log2FrameBytes))
    }

    private func range(_ shown: Shown, _ pages: ClosedRange<UInt64>) -> VirtualRange {
        let last = address(shown, pages.upperBound).rawValue | format.offsetMask(.leafTable)
        return VirtualRange(first: address(shown, pages.lowerBound), last: VirtualAddress(last))
    }

    private func require(_ condition: Bool, _ what: @autoclosure () -> String) {
        if !condition { Issue.record("\(what()); \(replay)") }
    }

    private mutating func anyPages() -> ClosedRange<UInt64> {
        let first = UInt64.random(in: 0..<pageCount, using: &random)
        return first...UInt64.random(in: first..<pageCount, using: &random)
    }

    // MARK: steps

    mutating func step() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<35: try access(.write)
        case 35..<45: try access(.read)
        case 45..<50: try faultOnly()
        case 50..<60: try mirrorPage()
        case 60..<75: takeWrites(.record)
        case 75..<90: takeWrites(.right)
        case 90..<94: try writeBack()
        default: takeWritesFromSpace(Bool.random(using: &random) ? .record : .right)
        }
        compare()
    }

    private func word(_ address: VirtualAddress, _ access: ProcessorAccess, _ value: UInt64, in space: Int) throws
        -> UInt64
    {
        let body = { (physical: PhysicalAddress) -> UInt64 in
            if access == .write { memory.store(value, to: Word(physical), .relaxed) }
            return memory.load(Word<UInt64>(physical), .relaxed)
        }
        if !processors.isEmpty { return try processors[space].access(address, for: access, body) }
        return try memory.withReadLock(spaces[space].words.lock) { (lock) -> Result<UInt64, Refusal> in
            do throws(SpaceError<Never>) {
                try spaces[space].fault(address, for: access == .write ? .write : .read, lock: lock)
            } catch {
                if case .refused(let refusal) = error { return .failure(refusal) }
            }
            guard case .mapped(let found) = spaces[space].view(in: lock).translate(address, in: lock) else {
                return .failure(.notMapped(address))
            }
            return .success(body(found.physical))
        }.get()
    }

    private mutating func access(_ access: ProcessorAccess) throws {
        let number = Int.random(in: regions.indices, using: &random)
        let shown = regions[number]
        let page = UInt64.random(in: shown.pages, using: &random)
        let value = random.next()
        let found = try word(address(shown, page), access, value, in: shown.space)
        let index = Int(page - shown.pages.lowerBound)
        entries[number][index].isMapped = true
        if access == .write {
            if shown.sharing == .shared { content[Int(page)] = value } else { copies[page] = value }
            noteWrite(number, page)
        }
        let expected = shown.sharing == .private ? copies[page] ?? content[Int(page)] : content[Int(page)]
        require(found == expected, "page \(page) of region \(number) has \(found), not \(expected)")
    }

    /// A fault for writing after which nobody writes: what the entry said it says still.
    private mutating func faultOnly() throws {
        let number = Int.random(in: regions.indices, using: &random)
        let shown = regions[number]
        let page = UInt64.random(in: shown.pages, using: &random)
        let refusal = memory.withReadLock(spaces[shown.space].words.lock) { (lock) -> Refusal? in
            do throws(SpaceError<Never>) {
                try spaces[shown.space].fault(address(shown, page), for: .write, lock: lock)
            } catch {
                if case .refused(let refusal) = error { return refusal }
            }
            return nil
        }
        require(refusal == nil, "page \(page) cannot be written")
        let index = Int(page - shown.pages.lowerBound)
        entries[number][index].isMapped = true
        entries[number][index].canWrite = true
        switch shown.sharing {
        case .shared: isDirty[Int(page)] = true
        case .private: copies[page] = copies[page] ?? content[Int(page)]
        }
    }

    /// An entry lets somebody write, and says that somebody does.
    private mutating func noteWrite(_ number: Int, _ page: UInt64) {
        let index = Int(page - regions[number].pages.lowerBound)
        entries[number][index] = PlainEntry(isMapped: true, canWrite: true, isDirty: Format.leavesSayWritten)
        if regions[number].sharing == .shared { isDirty[Int(page)] = true }
    }

    /// A device writes to a page of space 0, and is found to have forgotten it as soon as that is looked for.
    private mutating func mirrorPage() throws {
        let page = UInt64.random(in: regions[0].pages, using: &random)
        let request = RangeRequest(
            range(regions[0], page...page), log2PageBytes: format.log2FrameBytes, standard: [.fault, .write])
        try spaces[0].program(mirror, request, in: memory)
        noteWrite(0, page)
        let value = random.next()
        let isWritten: Bool? = mirror.device.use(address(regions[0], page)) { found in
            if found.isWritable { memory.store(value, to: Word(found.physical), .relaxed) }
            return found.isWritable
        }
        require(isWritten == true, "the device cannot write to page \(page)")
        content[Int(page)] = value
    }

    private mutating func writeBack() throws {
        try file.writeBack(in: memory)
        for page in 0..<pageCount where isDirty[Int(page)] {
            for (number, shown) in regions.enumerated() where shown.sharing == .shared && shown.pages.contains(page) {
                protect(number, page)
            }
            isDirty[Int(page)] = false
        }
        for page in 0..<Int(pageCount) {
            let start = page << Int(format.log2FrameBytes)
            let stored = store.bytes[start..<start + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            require(stored == UInt64(littleEndian: content[page]), "page \(page) of the file has \(stored)")
        }
    }

    // MARK: looks

    private mutating func protect(_ number: Int, _ page: UInt64) {
        let index = Int(page - regions[number].pages.lowerBound)
        entries[number][index].canWrite = false
        if !keepsRecord { entries[number][index].isDirty = false }
    }

    /// What taking something from the entries of a page comes to.
    ///
    /// - Returns: Whether there is anything to be taken, and whether the page is then said to have been written.
    private mutating func expect(_ taken: TakenWrites, _ number: Int, _ page: UInt64) -> (changes: Bool, says: Bool) {
        let index = Int(page - regions[number].pages.lowerBound)
        let entry = entries[number][index]
        switch taken {
        case .right:
            guard entry.canWrite else { return (false, false) }
            protect(number, page)
            return (true, entry.isDirty && !keepsRecord)
        case .record:
            guard format.leavesSayAllWrites ? entry.isDirty : entry.canWrite else { return (false, false) }
            if format.leavesSayAllWrites { entries[number][index].isDirty = false } else { protect(number, page) }
            return (true, true)
        }
    }

    private mutating func takeWrites(_ taken: TakenWrites) {
        let pages = anyPages()
        var written = PageBitmap(pages)
        let count =
            taken == .right
            ? file.writeProtect(pages, into: &written, in: memory)
            : file.cleanAndRecord(pages, into: &written, in: memory)
        var expected: (count: Int, pages: Set<UInt64>) = (0, [])
        for page in pages {
            for (number, shown) in regions.enumerated() where shown.sharing == .shared && shown.pages.contains(page) {
                let outcome = expect(taken, number, page)
                if outcome.changes { expected.count += 1 }
                if outcome.says { expected.pages.insert(page) }
            }
        }
        require(count == expected.count, "\(count) entries are changed, not \(expected.count)")
        require(Set(pages.filter(written.contains)) == expected.pages, "pages \(expected.pages) were written")
    }

    /// As `takeWrites`, from what one space has in a range: all its regions may be in it.
    private mutating func takeWritesFromSpace(_ taken: TakenWrites) {
        let space = Int.random(in: 0...1, using: &random)
        let first = UInt64.random(in: 0..<0x210, using: &random)
        let numbers = first...UInt64.random(in: first..<0x210, using: &random)
        let range = VirtualRange(
            first: VirtualAddress(first << UInt64(format.log2FrameBytes)),
            last: VirtualAddress((numbers.upperBound + 1) << UInt64(format.log2FrameBytes) - 1))
        var written = PageBitmap(numbers)
        let count = memory.withReadLock(spaces[space].words.lock) {
            taken == .right
                ? spaces[space].writeProtect(range, into: &written, lock: $0)
                : spaces[space].cleanAndRecord(range, into: &written, lock: $0)
        }
        var expected: (count: Int, pages: Set<UInt64>) = (0, [])
        for (number, shown) in regions.enumerated() where shown.sharing == .shared && shown.space == space {
            for page in shown.pages where numbers.contains(shown.start + page - shown.pages.lowerBound) {
                let outcome = expect(taken, number, page)
                if outcome.changes { expected.count += 1 }
                if outcome.says { expected.pages.insert(shown.start + page - shown.pages.lowerBound) }
            }
        }
        require(count == expected.count, "\(count) entries of a space are changed, not \(expected.count)")
        require(Set(numbers.filter(written.contains)) == expected.pages, "pages \(expected.pages) were written")
    }

    // MARK: comparison

    private func compare() {
        for (number, shown) in regions.enumerated() {
            for (index, page) in shown.pages.enumerated() {
                let found = memory.withRCUReader { section in
                    spaces[shown.space].view(in: section).translate(address(shown, page), in: section)
                }
                var entry = PlainEntry()
                if case .mapped(let mapping) = found {
                    entry.isMapped = true
                    entry.canWrite = mapping.rights.canWrite
                    entry.isDirty =
                        Format.leavesSayWritten
                        && format.attributes(of: mapping.leaf, at: mapping.level).flags.contains(.dirty)
                }
                require(
                    entry == entries[number][index],
                    "page \(page) of region \(number) is \(entry), not \(entries[number][index])")
            }
        }
        // What the device may write to says so: somebody will find it.
        for (address, found) in mirror.device.table where found.isWritable {
            let number = address.rawValue >> UInt64(format.log2FrameBytes) - regions[0].start
            let entry = entries[0][Int(number)]
            require(
                entry.canWrite && (entry.isDirty || !Format.leavesSayWritten), "the device writes to page \(number)")
        }
        for space in spaces {
            require(memory.load(space.words.flushesBegun, .relaxed) == 0, "a flush is never over")
        }
    }

    func end() throws {
        spaces[0].remove(mirror, in: memory)
        for space in spaces { space.tearDown(in: memory) }
        try file.close(in: memory)
        let lost = UInt64(layout.map.frameCount) - references.allocator.freeFrameCount(in: memory)
        require(lost == 0, "\(lost) frames are never freed")
        memory.detach()
    }
}
