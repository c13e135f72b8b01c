import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

private struct StoreWrite: Equatable {
    let page: UInt64
    let byteCount: Int
}

/// A store in memory that remembers how it was written.
private final class RecordingStore: BackingStore, @unchecked Sendable {
    // Unchecked as the store behind it is.

    typealias Failure = MemoryStore.Failure

    let store: MemoryStore
    var writes: [StoreWrite] = []
    /// Calls of more bytes fail.
    var mostBytes = Int.max

    init(_ store: MemoryStore) { self.store = store }

    var isWritable: Bool { store.isWritable }
    func byteCount() -> UInt64 { store.byteCount() }
    func resize(to byteCount: UInt64) throws(MemoryStore.Failure) { try store.resize(to: byteCount) }
    func synchronize() throws(MemoryStore.Failure) { try store.synchronize() }
    func read(at offset: UInt64, into bytes: inout [UInt8]) throws(MemoryStore.Failure) {
        try store.read(at: offset, into: &bytes)
    }

    func write(_ bytes: [UInt8], at offset: UInt64) throws(MemoryStore.Failure) {
        if bytes.count > mostBytes { throw MemoryStore.Failure(.write, at: offset) }
        try store.write(bytes, at: offset)
        writes.append(StoreWrite(page: offset / 4096, byteCount: bytes.count))
    }
}

@Suite("Pages that follow each other")
struct WritebackRunTests {
    private typealias Failure = MemoryStore.Failure
    private let store = RecordingStore(MemoryStore([UInt8](repeating: 7, count: 40 * 4096 - 100)))
    private let machine: HostMachine<RecordingStore>
    private let shown = VirtualRange(first: VirtualAddress(0x40_0000), last: VirtualAddress(0x42_7fff))

    init() throws {
        machine = try HostMachine(store)
        let space = machine.spaces[0]
        try space.add(
            Region(shown, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write])),
            in: machine.memory)
    }

    /// Writes to each page its number.
    private func write(_ pages: some Sequence<UInt64>) throws {
        for page in pages {
            let address = VirtualAddress(shown.first.rawValue + page * 4096)
            machine.write([UInt8(page)], at: try machine.touch(address, for: .write, in: machine.spaces[0]).get())
        }
    }

    /// What the store has in the first byte of each page.
    private func firstBytes(_ pages: Range<Int>) -> [UInt8] { pages.map { store.store.bytes[$0 * 4096] } }

    @Test("are written with one call, of 64 KiB at most, and as far as the file goes")
    func runs() throws {
        try write(1..<40)
        try machine.file.writeBack(in: machine.memory)
        let end = StoreWrite(page: 33, byteCount: 28_572)
        let expected = [StoreWrite(page: 1, byteCount: 65_536), StoreWrite(page: 17, byteCount: 65_536), end]
        #expect(store.writes == expected)
        #expect(firstBytes(1..<40) == Array(1...39))
        let size = 163_740
        #expect(store.store.bytes.count == size)
        #expect(store.store.bytes.filter { $0 == 7 }.count == size - 38)
        store.writes = []
        try write([2, 3, 5, 7, 8, 9])
        try machine.file.writeBack(in: machine.memory)
        let runs = [
            StoreWrite(page: 2, byteCount: 8192), StoreWrite(page: 5, byteCount: 4096),
            StoreWrite(page: 7, byteCount: 12_288),
        ]
        #expect(store.writes == runs)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("are dirty again from the first that fails, with its failure, and not before it")
    func failure() throws {
        try write(10..<20)
        store.store.failures = [Failure(.write, at: 13 * 4096), Failure(.write, at: 15 * 4096)]
        #expect(throws: FileError<Never, Failure>.store(Failure(.write, at: 13 * 4096))) {
            try machine.file.writeBack(in: machine.memory)
        }
        #expect(firstBytes(10..<20) == [10, 11, 12, 7, 7, 7, 7, 7, 7, 7])
        try machine.spaces[0].unmap(shown, in: machine.memory)
        #expect(machine.file.reclaim(in: machine.memory) == 3)
        store.store.failures = []
        try machine.file.writeBack(in: machine.memory)
        #expect(firstBytes(10..<20) == [10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
        #expect(machine.file.reclaim(in: machine.memory) == 7)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("are written one by one where the store does not take them together")
    func together() throws {
        store.mostBytes = 4096
        try write(0..<20)
        try machine.file.writeBack(in: machine.memory)
        let pages = (0..<20 as Range<UInt64>).map { StoreWrite(page: $0, byteCount: 4096) }
        #expect(store.writes == pages)
        #expect(try machine.lostFrames() == 0)
    }
}
