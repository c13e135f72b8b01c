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

    init() throws {
        machine = try HostMachine(store)
        let space = machine.spaces[0]
        try space.add(
            Region(twoPages, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write])),
            in: machine.memory)
    }

    @Test("refuses the access and the pin, says why once, and works again when it can be read")
    func reading() throws {
        let space = machine.spaces[0]
        store.failures = [Failure(.read, at: 0)]
        #expect(machine.touch(start, for: .read, in: space) == .failure(.unreadable(start)))
        #expect(machine.file.takeReadFailure(in: machine.memory) == Failure(.read, at: 0))
        #expect(machine.file.takeReadFailure(in: machine.memory) == nil)
        #expect(machine.pin(twoPages, for: .read, longTerm: false, in: space) == .failure(.unreadable(start)))
        store.failures = []
        let place = try machine.touch(start, for: .read, in: space).get()
        #expect(machine.bytes(2, at: place) == [7, 7])
        #expect(try machine.lostFrames() == 0)
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
