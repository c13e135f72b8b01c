import HostMemory
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

private let start = VirtualAddress(0x40_0000)
/// Which ends inside of what a large leaf maps.
private let shown = VirtualRange(first: start, last: VirtualAddress(0x6f_ffff))
private let secondPage = VirtualAddress(0x40_1000)

@Suite("A region of a file in which a large leaf maps something else")
struct FileBesideLargeLeavesTests {
    /// Runs `body` when no frame is free.
    private func withoutMemory(_ machine: HostMachine<MemoryStore>, _ body: () throws -> Void) rethrows {
        var taken: [Frame] = []
        while let frame = machine.references.allocator.allocate(in: machine.memory) { taken.append(frame) }
        try body()
        for frame in taken { machine.references.drop(on: frame, in: machine.memory) }
    }

    @Test("is unmapped behind the file's new end, though there is no memory to split the leaf")
    func truncation() throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 3 * 4096)))
        let space = machine.spaces[0]
        try space.add(
            Region(shown, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write])),
            in: machine.memory)
        machine.write([1], at: try machine.touch(secondPage, for: .write, in: space).get())
        let large = VirtualRange(first: VirtualAddress(0x60_0000), last: VirtualAddress(0x7f_ffff))
        try space.map(large, to: PhysicalAddress(1 << 32), space.format.attributes(.read), in: machine.memory)
        try withoutMemory(machine) { try machine.file.resize(to: 4096, in: machine.memory) }
        #expect(machine.touch(secondPage, for: .write, in: space) == .failure(.beyondEnd(secondPage)))
        // The leaf is not the file's, and stays.
        #expect(machine.touch(shown.last, for: .read, in: space) == .success(PhysicalAddress(1 << 32 | 0xf_ffff)))
        try machine.file.resize(to: 8192, in: machine.memory)
        machine.write([42], at: try machine.touch(secondPage, for: .write, in: space).get())
        try machine.file.writeBack(in: machine.memory)
        #expect(machine.file.store.bytes[4096] == 42)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("is unmapped behind the file's new end, where the leaf is of private copies and reaches into the next region")
    func truncationBesideCollapse() throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 0x40_0000)), frames: 2400)
        let space = machine.spaces[0]
        let attributes = space.format.attributes([.read, .write])
        let next = VirtualRange(first: VirtualAddress(0x70_0000), last: VirtualAddress(0x7f_ffff))
        try space.add(Region(shown, .file(FileView(machine.file, .private)), attributes), in: machine.memory)
        try space.add(Region(next, .anonymous, attributes), in: machine.memory)
        for page in 0x600..<0x800 as Range<UInt64> {
            _ = try machine.touch(VirtualAddress(page << 12), for: .write, in: space).get()
        }
        try space.collapse(VirtualAddress(0x60_0000), in: machine.memory)
        _ = try machine.touch(secondPage, for: .read, in: space).get()
        try withoutMemory(machine) { try machine.file.resize(to: 4096, in: machine.memory) }
        #expect(machine.touch(secondPage, for: .read, in: space) == .failure(.beyondEnd(secondPage)))
        #expect(try machine.lostFrames() == 0)
    }

    @Test("is unmapped between two such leaves")
    func truncationBetween() throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 0x80_0000)))
        let space = machine.spaces[0]
        let region = VirtualRange(first: VirtualAddress(0x50_0000), last: VirtualAddress(0x8f_ffff))
        try space.add(
            Region(region, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write])),
            in: machine.memory)
        for large in [0x40_0000, 0x80_0000] as [UInt64] {
            try space.map(
                VirtualRange(first: VirtualAddress(large), last: VirtualAddress(large + 0x1f_ffff)),
                to: PhysicalAddress(1 << 32 | large), space.format.attributes(.read), in: machine.memory)
        }
        let middle = [VirtualAddress(0x60_0000), VirtualAddress(0x7f_f000)]
        for page in middle { _ = try machine.touch(page, for: .write, in: space).get() }
        try withoutMemory(machine) { try machine.file.resize(to: 0, in: machine.memory) }
        for page in middle { #expect(machine.touch(page, for: .read, in: space) == .failure(.beyondEnd(page))) }
        for kept in [region.first, region.last] {
            #expect(machine.touch(kept, for: .read, in: space) == .success(PhysicalAddress(1 << 32 | kept.rawValue)))
        }
        #expect(try machine.lostFrames() == 0)
    }

    @Test("is written back without taking the right to write from the leaf")
    func writeback() throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 8192)))
        let attributes = machine.spaces[0].format.attributes([.read, .write])
        let large = VirtualRange(first: start, last: VirtualAddress(0x5f_ffff))
        for space in machine.spaces {
            try space.add(Region(large, .file(FileView(machine.file, .shared)), attributes), in: machine.memory)
        }
        try machine.spaces[1].map(large, to: PhysicalAddress(1 << 32), attributes, in: machine.memory)
        let far = VirtualAddress(0x5f_f000)
        machine.write([1], at: try machine.touch(start, for: .write, in: machine.spaces[0]).get())
        try machine.file.writeBack(in: machine.memory)
        #expect(machine.file.store.bytes[0] == 1)
        #expect(
            machine.touch(far, for: .write, in: machine.spaces[1]) == .success(PhysicalAddress(1 << 32 | 0x1f_f000)))
        #expect(try machine.lostFrames() == 0)
    }

    @Test("is written back without taking the right to write from a small page that is not the file's")
    func writebackBesideSmallLeaf() throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 8192)))
        let attributes = machine.spaces[0].format.attributes([.read, .write])
        let page = VirtualRange(first: start, last: VirtualAddress(start.rawValue + 4095))
        for space in machine.spaces {
            try space.add(Region(page, .file(FileView(machine.file, .shared)), attributes), in: machine.memory)
        }
        try machine.spaces[1].map(page, to: PhysicalAddress(1 << 32), attributes, in: machine.memory)
        machine.write([1], at: try machine.touch(start, for: .write, in: machine.spaces[0]).get())
        try machine.file.writeBack(in: machine.memory)
        #expect(machine.touch(start, for: .write, in: machine.spaces[1]) == .success(PhysicalAddress(1 << 32)))
        #expect(try machine.lostFrames() == 0)
    }
}
