import Foundation
import HostMemory
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

private let start = VirtualAddress(0x40_0000)
private let twoPages = VirtualRange(first: start, last: VirtualAddress(0x40_1fff))
private let nextPages = VirtualRange(first: VirtualAddress(0x40_2000), last: VirtualAddress(0x40_3fff))

@Suite("A file whose store cannot be written")
struct ReadOnlyFileTests {
    private let store = MemoryStore([UInt8](repeating: 7, count: 8192), isWritable: false)

    /// Why something is refused.
    private func refusal(_ body: () throws(SpaceError<Never>) -> Void) -> Refusal? {
        do throws(SpaceError<Never>) {
            try body()
            return nil
        } catch {
            switch error {
            case .refused(let refusal): return refusal
            }
        }
    }

    private func add<Store: BackingStore>(
        _ range: VirtualRange, _ sharing: FileSharing, _ protection: Protection, _ machine: HostMachine<Store>
    ) throws(SpaceError<Never>) {
        let space = machine.spaces[0]
        try space.add(
            Region(range, .file(FileView(machine.file, sharing)), space.format.attributes(protection)),
            in: machine.memory)
    }

    @Test("has no shared region that lets anybody write")
    func adding() throws {
        let machine = try HostMachine(store)
        #expect(
            refusal { () throws(SpaceError<Never>) in try add(twoPages, .shared, [.read, .write], machine) }
                == .notWritable(start))
        #expect(machine.touch(start, for: .read, in: machine.spaces[0]) == .failure(.notMapped(start)))
        try add(twoPages, .shared, .read, machine)
        let place = try machine.touch(start, for: .read, in: machine.spaces[0]).get()
        #expect(machine.bytes(1, at: place) == [7])
        #expect(machine.touch(start, for: .write, in: machine.spaces[0]) == .failure(.accessDenied(start)))
        #expect(try machine.lostFrames() == 0)
    }

    @Test("gets no right to write later, and what is beside it does not either then")
    func protecting() throws {
        let machine = try HostMachine(store)
        let (space, memory) = (machine.spaces[0], machine.memory)
        try space.add(Region(twoPages, .anonymous, space.format.attributes(.read)), in: memory)
        try add(nextPages, .shared, .read, machine)
        let writable = space.format.attributes([.read, .write]).rights
        let both = VirtualRange(first: start, last: nextPages.last)
        #expect(
            refusal { () throws(SpaceError<Never>) in try space.protect(both, writable, in: memory) }
                == .notWritable(nextPages.first))
        let second = VirtualAddress(0x40_3000)
        #expect(
            refusal { () throws(SpaceError<Never>) in
                try space.protect(VirtualRange(first: second, last: nextPages.last), writable, in: memory)
            } == .notWritable(second))
        #expect(machine.touch(start, for: .write, in: space) == .failure(.accessDenied(start)))
        try space.protect(both, space.format.attributes([.read, .execute]).rights, in: memory)
        try space.protect(twoPages, writable, in: memory)
        _ = try machine.touch(start, for: .write, in: space).get()
        #expect(try machine.lostFrames() == 0)
    }

    @Test("has private regions that are written, and hears nothing of it")
    func copying() throws {
        let machine = try HostMachine(store)
        try add(twoPages, .private, .read, machine)
        let (space, memory) = (machine.spaces[0], machine.memory)
        try space.protect(twoPages, space.format.attributes([.read, .write]).rights, in: memory)
        machine.write([1], at: try machine.touch(start, for: .write, in: space).get())
        try machine.file.synchronize(in: memory)
        #expect(store.bytes[0] == 7)
        #expect(throws: FileError<Never, MemoryStore.Failure>.store(.init(.resize, at: 0))) {
            try machine.file.resize(to: 0, in: memory)
        }
        #expect(try machine.lostFrames() == 0)
    }

    @Test("is shared memory that is written: nothing of that is to reach the store")
    func sharedMemory() throws {
        let machine = try HostMachine(store, .sharedMemory)
        try add(twoPages, .shared, [.read, .write], machine)
        machine.write([1], at: try machine.touch(start, for: .write, in: machine.spaces[0]).get())
        try machine.file.synchronize(in: machine.memory)
        #expect(try machine.lostFrames() == 0)
        #expect(store.bytes[0] == 7)
    }

    @Test("of the system is the same")
    func ofTheSystem() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("read-only-\(UUID().uuidString)").path
        try Data(repeating: 7, count: 4096).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let machine = try HostMachine(try HostFile(path: path, .readOnly))
        #expect(
            refusal { () throws(SpaceError<Never>) in try add(twoPages, .shared, [.read, .write], machine) }
                == .notWritable(start))
        try add(twoPages, .shared, .read, machine)
        try add(nextPages, .private, [.read, .write], machine)
        machine.write([1], at: try machine.touch(nextPages.first, for: .write, in: machine.spaces[0]).get())
        let place = try machine.touch(start, for: .read, in: machine.spaces[0]).get()
        #expect(machine.bytes(1, at: place) == [7])
        try machine.file.synchronize(in: machine.memory)
        #expect(try machine.lostFrames() == 0)
    }
}
