import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

/// A space with a file of one page, which page 0 shows, and what programs and devices do with it.
///
/// A program's access is made with the space's lock held for reading: real memory forbids it as soon as the entry has changed
/// everywhere, and whoever changes entries here waits for readers. What a processor keeps is a `Program`'s.
final class FileMachine {
    let tables: SpaceMachine<SoundStructure>
    let store = MemoryStore([UInt8](repeating: 0, count: 16))
    let file: CachedFile<MemoryStore>
    /// The space with the page, and further ones in which nothing is shown yet.
    private(set) var spaces: [LiveSpace<MiniatureFormat, SoundStructure>]

    /// - Parameter value: What the program has written to the page; it has only read it if `nil`.
    init(
        _ execution: Execution, _ variation: Variation, _ sharing: FileSharing, written value: UInt64? = nil,
        isMapped: Bool = true, frames: UInt32 = 8, processors: Int = 2, spaces spaceCount: Int = 1
    ) throws {
        tables = try SpaceMachine(
            execution, variation, processors: processors, frames: frames, format: MiniatureFormat(log2FrameBytes: 4),
            spaces: spaceCount, files: 1)
        let tables = tables
        spaces =
            try [tables.space]
            + (1..<spaceCount).map { number in
                try .make(
                    tables.format, topLevel: Level(1), tables.references, words: tables.layout.spaceWords(number),
                    in: tables.memory(0))
            }
        do throws(FileError<Abandoned, MemoryStore.Failure>) {
            file = try .open(store, words: tables.layout.fileWords(), tables.references, in: tables.memory(0))
        } catch { throw Self.abandoned(error) }
        try tables.addRegion(0, 0, .file(FileView(file, sharing)))
        if let value { try write(value, on: 0) } else if isMapped { _ = try tables.fault(0, on: 0) }
    }

    private static func abandoned(_ error: FileError<Abandoned, MemoryStore.Failure>) -> any Error {
        switch error {
        case .memory(let abandoned): abandoned
        case .store(let failure): failure
        }
    }

    /// What a program writes to a word of the page, with a fault if it has to be.
    ///
    /// - Parameters:
    ///   - page: Where the program sees the page.
    ///   - number: In which space.
    func write(
        _ value: UInt64, word: UInt64 = 0, at page: Int = 0, in number: Int = 0, on processor: Int
    ) throws {
        if try !writeUnlessBeyond(value, word: word, at: page, in: number, on: processor) {
            try tables.machine.violate("page \(page) is behind the end of the file")
        }
    }

    /// As `write`.
    ///
    /// - Returns: False if the page is behind the end of the file.
    func writeUnlessBeyond(
        _ value: UInt64, word: UInt64 = 0, at page: Int = 0, in number: Int = 0, on processor: Int
    ) throws -> Bool {
        let (memory, space, address) = (tables.memory(processor), spaces[number], tables.address(page))
        return try memory.withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            do throws(SpaceError<Abandoned>) {
                try space.fault(address, for: .write, lock: lock)
            } catch {
                switch error {
                case .memory(let abandoned): throw abandoned
                case .refused(.beyondEnd): return false
                case .refused(let refusal): try tables.machine.violate("the page cannot be written: \(refusal)")
                }
            }
            guard case .mapped(let found) = try space.view(in: lock).translate(address, in: lock) else {
                try tables.machine.violate("the page is not mapped by its fault")
            }
            try memory.store(value, to: Word(PhysicalAddress(found.physical.rawValue + 8 * word)), .relaxed)
            return true
        }
    }

    /// Shows the page at one more place, which nobody has used yet.
    func show(at page: Int, in number: Int = 0, on processor: Int = 0) throws {
        let region = Region(tables.pages(page), .file(FileView(file, .shared)), tables.writable)
        try spaces[number].add(region, in: tables.memory(processor))
    }

    func unmap(_ page: Int, in number: Int, on processor: Int) throws {
        try spaces[number].unmap(tables.pages(page), in: tables.memory(processor))
    }

    /// Pins the page without a lock.
    func pinFast(for access: PageAccess, longTerm: Bool = false, on processor: Int) throws -> Pin? {
        try tables.memory(processor).withInterruptsBlocked { (section) throws(Abandoned) in
            try tables.space.pinFast(tables.address(0), for: access, longTerm: longTerm, in: section)
        }
    }

    /// Pins the page for long, whatever it takes; `nil` if that is refused because the page is a file's.
    func pinForLong(for access: PageAccess, on processor: Int) throws -> Pin? {
        try pin(for: access, longTerm: true, on: processor)
    }

    /// Pins the page, whatever it takes; for long as `pinForLong`.
    func pin(for access: PageAccess, longTerm: Bool = false, on processor: Int) throws -> Pin? {
        var pins: [Pin] = []
        do throws(SpaceError<Abandoned>) {
            try tables.space.pin(
                tables.pages(0), for: access, longTerm: longTerm, in: tables.memory(processor), into: &pins)
        } catch {
            switch error {
            case .memory(let abandoned): throw abandoned
            case .refused(.notLongTermPinnable): return nil
            case .refused(let refusal): try tables.machine.violate("the page cannot be pinned: \(refusal)")
            }
        }
        return pins.first
    }

    func store(_ value: UInt64, through pin: Pin, on processor: Int) throws {
        try tables.memory(processor).store(value, to: Word(pin.range.first), .relaxed)
    }

    func load(through pin: Pin, on processor: Int) throws -> UInt64 {
        try tables.memory(processor).load(Word(pin.range.first), .relaxed)
    }

    func unpin(_ pin: Pin, dirty: Bool = false, on processor: Int) throws {
        try tables.space.unpin(pin, dirty: dirty, in: tables.memory(processor))
    }

    func writeBack(on processor: Int) throws {
        do throws(FileError<Abandoned, MemoryStore.Failure>) {
            try file.writeBack(in: tables.memory(processor))
        } catch { throw Self.abandoned(error) }
    }

    func resize(to byteCount: UInt64, on processor: Int) throws {
        do throws(FileError<Abandoned, MemoryStore.Failure>) {
            try file.resize(to: byteCount, in: tables.memory(processor))
        } catch { throw Self.abandoned(error) }
    }

    /// A word of what is behind the file.
    func stored(word: Int = 0) -> UInt64 {
        (8 * word..<8 * word + 8).reversed().reduce(0) { $0 << 8 | UInt64(store.bytes[$1]) }
    }

    /// Writes back what is dirty, and looks whether the file has what was written last.
    func requireStored(_ value: UInt64) throws {
        try writeBack(on: 0)
        try tables.require(stored() == value, "\(value) was written to the file, which has \(stored())")
    }

    func close(on processor: Int) throws {
        do throws(FileError<Abandoned, MemoryStore.Failure>) {
            try file.close(in: tables.memory(processor))
        } catch { throw Self.abandoned(error) }
    }

    /// Tears the last space down, and gives its words to somebody else.
    func tearDownLast(on processor: Int) throws {
        let space = spaces.removeLast()
        try space.tearDown(in: tables.memory(processor))
        try tables.memory(processor).endLife(of: space.words.range)
    }

    /// Tears the spaces down and closes the file, and looks whether every frame came back.
    func requireAllFree() throws {
        for space in spaces { try space.tearDown(in: tables.memory(0)) }
        try close(on: 0)
        let free = try tables.references.allocator.freeFrameCount(in: tables.memory(0))
        let lost = UInt64(tables.layout.map.frameCount) - free
        try tables.require(lost == 0, "\(lost) frames are never freed")
    }
}
