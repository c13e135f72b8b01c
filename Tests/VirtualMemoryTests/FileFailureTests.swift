import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

private let start = VirtualAddress(0x40_0000)
private let twoPages = VirtualRange(first: start, last: VirtualAddress(0x40_1fff))
private typealias Failure = MemoryStore.Failure

@Suite("A file whose store fails")
struct FileFailureTests {
    private let store = MemoryStore([UInt8](repeating: 7, count: 8192))
    private let machine: HostMachine<MemoryStore>
    private let region: Region

    init() throws {
        machine = try HostMachine(store)
        let space = machine.spaces[0]
        region = Region(
            twoPages, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write]))
        try space.add(region, in: machine.memory)
    }

    /// Why an address of the region was refused.
    private func reason(_ address: VirtualAddress) throws -> Failure? {
        machine.file.readFailure(at: try #require(region.fileOffset(of: address)), in: machine.memory)
    }

    @Test("refuses the access and the pin, says why, and works again when it can be read")
    func reading() throws {
        let space = machine.spaces[0]
        store.failures = [Failure(.read, at: 0)]
        #expect(machine.touch(start, for: .read, in: space) == .failure(.unreadable(start)))
        #expect(try reason(start) == Failure(.read, at: 0))
        #expect(machine.pin(twoPages, for: .read, longTerm: false, in: space) == .failure(.unreadable(start)))
        store.failures = []
        let place = try machine.touch(start, for: .read, in: space).get()
        #expect(machine.bytes(2, at: place) == [7, 7])
        #expect(try reason(start) == nil)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("says why of each page, to everybody who was refused it")
    func readingTwoPages() throws {
        let space = machine.spaces[0]
        store.failures = [Failure(.read, at: 0), Failure(.read, at: 4096)]
        let second = VirtualAddress(0x40_1008)
        #expect(machine.touch(start, for: .read, in: space) == .failure(.unreadable(start)))
        #expect(machine.touch(second, for: .write, in: space) == .failure(.unreadable(second)))
        for _ in 0..<2 {
            #expect(try reason(start) == Failure(.read, at: 0))
            #expect(try reason(second) == Failure(.read, at: 4096))
        }
        store.failures = [Failure(.read, at: 4096)]
        _ = try machine.touch(start, for: .read, in: space).get()
        #expect(try reason(start) == nil)
        #expect(try reason(second) == Failure(.read, at: 4096))
        try machine.file.resize(to: 4096, in: machine.memory)
        #expect(try reason(second) == nil)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("remembers the newest failures of reading, however many pages fail")
    func manyFailures() {
        var failures = ReadFailures<Failure>()
        for page in 0..<1000 as Range<UInt64> { failures.note(Failure(.read, at: page), ofPage: page) }
        failures.note(Failure(.read, at: 1), ofPage: 999)
        let known = (0..<1000 as Range<UInt64>).filter { failures[$0] != nil }
        #expect(known == Array(936...999))
        #expect(failures[998] == Failure(.read, at: 998) && failures[999] == Failure(.read, at: 1))
        failures.forget(from: 940)
        failures.forget(937)
        #expect((0..<1000 as Range<UInt64>).filter { failures[$0] != nil } == [936, 938, 939])
    }

    @Test("is at offsets that a region of it tells")
    func offsets() throws {
        let view = FileView(machine.file, offset: 4096, .private)
        let shown = Region(twoPages, .file(view), EntryAttributes(rights: []))
        #expect(shown.fileOffset(of: VirtualAddress(0x40_1008)) == 8200)
        #expect(shown.fileOffset(of: VirtualAddress(0x40_2000)) == nil)
        #expect(Region(twoPages, .anonymous, EntryAttributes(rights: [])).fileOffset(of: start) == nil)
    }

    @Test("throws the store's own error from writeback, and writes everything the next time")
    func writing() throws {
        for page in 0..<2 as Range<UInt64> {
            let place = try machine.touch(
                VirtualAddress(start.rawValue + page * 4096), for: .write, in: machine.spaces[0]
            ).get()
            machine.write([UInt8(page + 1)], at: place)
        }
        store.failures = [Failure(.write, at: 0)]
        #expect(throws: FileError<Never, Failure>.store(Failure(.write, at: 0))) {
            try machine.file.writeBack(in: machine.memory)
        }
        #expect(throws: FileError<Never, Failure>.self) { try machine.file.writeBack(in: machine.memory) }
        #expect(store.bytes[0] == 7)
        store.failures = []
        try machine.file.writeBack(in: machine.memory)
        #expect(store.bytes[0] == 1 && store.bytes[4096] == 2 && store.bytes[1] == 7)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("changes nothing where it cannot be resized")
    func resizing() throws {
        let place = try machine.touch(start, for: .write, in: machine.spaces[0]).get()
        machine.write([1], at: place)
        store.failures = [Failure(.resize, at: 10)]
        #expect(throws: FileError<Never, Failure>.store(Failure(.resize, at: 10))) {
            try machine.file.resize(to: 10, in: machine.memory)
        }
        #expect(machine.file.size(in: machine.memory) == 8192)
        #expect(machine.touch(start, for: .write, in: machine.spaces[0]) == .success(place))
        #expect(try machine.lostFrames() == 0)
        #expect(store.bytes[0] == 1)
    }

    @Test("keeps a page that could not be written, and gives it up when it was")
    func reclaim() throws {
        machine.write([1], at: try machine.touch(start, for: .write, in: machine.spaces[0]).get())
        try machine.spaces[0].unmap(twoPages, in: machine.memory)
        store.failures = [Failure(.write, at: 0)]
        #expect(throws: FileError<Never, Failure>.self) { try machine.file.writeBack(in: machine.memory) }
        #expect(machine.file.reclaim(in: machine.memory) == 0)
        store.failures = []
        try machine.file.writeBack(in: machine.memory)
        #expect(machine.file.reclaim(in: machine.memory) == 1)
        #expect(store.bytes[0] == 1)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("has all pages dirty again when its store finds out late that it lost something")
    func synchronizing() throws {
        machine.write([1], at: try machine.touch(start, for: .write, in: machine.spaces[0]).get())
        store.failures = [Failure(.synchronize, at: 0)]
        #expect(throws: FileError<Never, Failure>.store(Failure(.synchronize, at: 0))) {
            try machine.file.synchronize(in: machine.memory)
        }
        #expect(store.bytes[0] == 1)
        try store.write([7], at: 0)
        try machine.spaces[0].unmap(twoPages, in: machine.memory)
        #expect(machine.file.reclaim(in: machine.memory) == 0)
        store.failures = [Failure(.write, at: 0)]
        #expect(throws: FileError<Never, Failure>.store(Failure(.write, at: 0))) {
            try machine.file.synchronize(in: machine.memory)
        }
        store.failures = []
        try machine.file.synchronize(in: machine.memory)
        #expect(store.bytes[0] == 1)
        #expect(machine.file.reclaim(in: machine.memory) == 1)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("leaves what is in front of the end mapped when it is truncated inside a large leaf")
    func largeLeaf() throws {
        let space = machine.spaces[1]
        let large = VirtualRange(first: VirtualAddress(0x40_0000), last: VirtualAddress(0x5f_ffff))
        try space.add(
            Region(large, .file(FileView(machine.file, .private)), space.format.attributes(.read)), in: machine.memory)
        let device = PhysicalAddress(1 << 32)
        try space.map(large, to: device, space.format.attributes(.read), in: machine.memory)
        try machine.file.resize(to: 4096, in: machine.memory)
        #expect(machine.touch(start, for: .read, in: space) == .success(device))
        let second = VirtualAddress(0x40_1000)
        #expect(machine.touch(second, for: .read, in: space) == .failure(.beyondEnd(second)))
        #expect(try machine.lostFrames() == 0)
    }

    @Test("needs a view that begins at a page and does not wrap")
    func views() {
        let space = machine.spaces[1]
        for offset in [1, UInt64.max - 4095] {
            let region = Region(
                twoPages, .file(FileView(machine.file, offset: offset, .shared)), space.format.attributes(.read))
            #expect(throws: SpaceError<Never>.self) { try space.add(region, in: machine.memory) }
        }
    }

    @Test("is told of no page where there is no memory for one, and maps it when there is")
    func memory() throws {
        var taken: [Frame] = []
        // The tables are there already.
        _ = machine.touch(VirtualAddress(start.rawValue + 4096), for: .read, in: machine.spaces[0])
        while let frame = machine.references.allocator.allocate(in: machine.memory) { taken.append(frame) }
        #expect(machine.touch(start, for: .read, in: machine.spaces[0]) == .failure(.outOfMemory))
        for frame in taken { machine.references.drop(on: frame, in: machine.memory) }
        _ = try machine.touch(start, for: .read, in: machine.spaces[0]).get()
        #expect(try machine.lostFrames() == 0)
    }
}
