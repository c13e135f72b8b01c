import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

private let start = VirtualAddress(0x40_0000)
private let page = VirtualRange(first: start, last: VirtualAddress(0x40_0fff))
private let large = VirtualRange(first: start, last: VirtualAddress(0x5f_ffff))

/// A frame that is pinned so often that its count would run over looked free to whoever unmapped it.
@Suite("The references of a frame")
struct ReferenceLimitTests {
    private func pinFast(_ machine: HostMachine<MemoryStore>, longTerm: Bool = false) -> Pin? {
        machine.memory.withInterruptsBlocked { section in
            machine.spaces[0].pinFast(start, for: .write, longTerm: longTerm, in: section)
        }
    }

    /// Maps a page or a large page, and says why not.
    private func map(
        _ machine: HostMachine<MemoryStore>, _ space: Int, _ order: Int, _ block: PhysicalAddress
    ) -> Refusal? {
        let space = machine.spaces[space]
        do throws(SpaceError<Never>) {
            let attributes = space.format.attributes([.read, .write])
            try space.map(order == 0 ? page : large, to: block, attributes, in: machine.memory)
            return nil
        } catch {
            switch error {
            case .refused(let refusal): return refusal
            }
        }
    }

    @Test("have a limit, at which every way to take more is refused and leaves them as they are", arguments: [0, 9])
    func limit(_ order: Int) throws {
        let machine = try HostMachine(MemoryStore([]), frames: 1200)
        let (references, memory) = (machine.references, machine.memory)
        let head = try #require(references.allocator.allocate(FrameOrder(order), in: memory))
        let block = references.map.address(of: head)
        #expect(map(machine, 0, order, block) == nil)
        let count = references.map.descriptor(of: head).references
        let before = memory.load(count, .relaxed)

        memory.store(FrameReferences.most - 1, to: count, .relaxed)
        let last = try #require(pinFast(machine))
        for full: UInt32 in [memory.load(count, .relaxed), .max - 100_000, FrameReferences.most] {
            memory.store(full, to: count, .relaxed)
            #expect(pinFast(machine) == nil)
            #expect(pinFast(machine, longTerm: true) == nil)
            for longTerm in [false, true] {
                let slow = machine.pin(page, for: .write, longTerm: longTerm, in: machine.spaces[0])
                #expect(slow == .failure(.notPinnable(start)))
            }
            #expect(references.take(on: head, in: memory) == nil)
            #expect(references.takePins(on: head, in: memory) == nil)
            #expect(map(machine, 1, order, block) == .outOfMemory)
            #expect(memory.load(count, .relaxed) == full)
        }
        #expect(memory.load(references.map.descriptor(of: head).pins, .relaxed) == (order == 0 ? 0 : 1))

        memory.store(before + (order == 0 ? FrameReferences.bias : 1), to: count, .relaxed)
        machine.spaces[0].unpin(last, in: memory)
        references.drop(on: head, in: memory)
        #expect(try machine.lostFrames() == 0)
    }

    @Test("have a limit for a page of a file too, at which faults are refused")
    func file() throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 7, count: 4096)))
        let attributes = machine.spaces[0].format.attributes([.read, .write])
        for space in machine.spaces {
            try space.add(Region(page, .file(FileView(machine.file, .private)), attributes), in: machine.memory)
        }
        _ = try machine.touch(start, for: .read, in: machine.spaces[0]).get()
        let frame = try #require(machine.file.pages[0])
        let count = machine.references.map.descriptor(of: frame).references
        let before = machine.memory.load(count, .relaxed)
        machine.memory.store(FrameReferences.most, to: count, .relaxed)
        #expect(machine.touch(start, for: .write, in: machine.spaces[0]) == .failure(.outOfMemory))
        #expect(machine.touch(start, for: .read, in: machine.spaces[1]) == .failure(.outOfMemory))
        #expect(machine.memory.load(count, .relaxed) == FrameReferences.most)
        machine.memory.store(before, to: count, .relaxed)
        let copy = try machine.touch(start, for: .write, in: machine.spaces[0]).get()
        #expect(copy != machine.references.map.address(of: frame))
        #expect(try machine.lostFrames() == 0)
    }
}
