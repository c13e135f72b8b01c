import Foundation
import HostMemory
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

private let start = VirtualAddress(0x40_0000)
private let pageCount = 4

private func page(_ number: Int) -> VirtualRange {
    let first = VirtualAddress(start.rawValue + UInt64(number * 4096))
    return VirtualRange(first: first, last: VirtualAddress(first.rawValue + 4095))
}

private let allPages = VirtualRange(first: page(0).first, last: page(pageCount - 1).last)

/// A word that says that somebody is to stop; threads look at it without a lock.
private final class StopFlag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}

@Suite("Threads and devices that use what a space translates")
struct MirrorStressTests {
    /// The owner of a page writes to it after it was unmapped, and looks whether that stays.
    @Test("leave a page alone as soon as it is unmapped", arguments: 0..<3)
    func unmapped(_ run: Int) throws {
        let machine = try HostMachine(MemoryStore([]))
        let (space, memory) = (machine.spaces[0], machine.memory)
        let words = try mirrorWords(machine)
        let device = PlainDevice(log2PageBytes: 12)
        let mirror = DeviceMirror(allPages, of: device, words: words)
        space.add(mirror, in: memory)
        let (stop, ends) = (StopFlag(), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            machine.processors.withProcessor { memory in
                var random = SeededRandom(seed: UInt64(run))
                while !stop.isSet {
                    let number = Int.random(in: 0..<pageCount, using: &random)
                    let request = RangeRequest(page(number), log2PageBytes: 12, standard: [.fault, .write])
                    try? space.program(mirror, request, in: memory)
                    device.use(page(number).first) { found in
                        memory.store(random.next() | 1, to: Word(found.physical), .relaxed)
                    }
                }
            }
            ends.signal()
        }
        let frames = try (0..<pageCount).map { _ in try #require(machine.references.allocator.allocate(in: memory)) }
        for round in 0..<80 {
            let number = round % pageCount
            let physical = machine.references.map.address(of: frames[number])
            try space.map(page(number), to: physical, space.format.attributes([.read, .write]), in: memory)
            let word = Word<UInt64>(physical)
            // Goes on when the device has written, or after a while all the same.
            memory.store(0, to: word, .relaxed)
            for _ in 0..<3_000 where memory.load(word, .relaxed) == 0 {}
            try space.unmap(page(number), in: memory)
            memory.store(0, to: word, .relaxed)
            let later = (0..<200).map { _ in memory.load(word, .relaxed) }
            #expect(later.allSatisfy { $0 == 0 }, "run \(run), round \(round): the device wrote to an unmapped page")
        }
        stop.set()
        ends.wait()
        space.remove(mirror, in: memory)
        for frame in frames { machine.references.drop(on: frame, in: memory) }
        machine.references.drop(on: try #require(machine.references.map.frame(of: words.lockAddress)), in: memory)
        #expect(try machine.lostFrames() == 0)
    }

    /// A processor and a device write to a file; one thread copies what it is told was written, another one protects.
    @Test("write nothing that is not found by who looks what was written", arguments: 0..<3)
    func copied(_ run: Int) throws {
        let machine = try HostMachine(MemoryStore([UInt8](repeating: 0, count: pageCount * 4096)))
        let (space, memory) = (machine.spaces[0], machine.memory)
        try space.add(
            Region(allPages, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write])),
            in: memory)
        let words = try mirrorWords(machine)
        let device = PlainDevice(log2PageBytes: 12)
        let mirror = DeviceMirror(allPages, of: device, words: words)
        space.add(mirror, in: memory)
        let (stop, ends) = (StopFlag(), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            machine.processors.withProcessor { memory in
                var processor = VirtualProcessor(space, log2Pages: 3, in: memory)
                for number in Self.pages(run) {
                    try? processor.access(page(number).first, for: .write) { physical in
                        _ = memory.add(1, to: Word<UInt64>(physical), .relaxed)
                    }
                }
                processor.leave()
            }
            ends.signal()
        }
        Thread.detachNewThread {
            machine.processors.withProcessor { memory in
                for number in Self.pages(run + 100) {
                    let request = RangeRequest(page(number), log2PageBytes: 12, standard: [.fault, .write])
                    try? space.program(mirror, request, in: memory)
                    device.use(page(number).first) { found in
                        _ = memory.add(1, to: Word<UInt64>(PhysicalAddress(found.physical.rawValue + 8)), .relaxed)
                    }
                }
            }
            ends.signal()
        }
        Thread.detachNewThread {
            machine.processors.withProcessor { memory in
                var ignored = PageBitmap(0...UInt64(pageCount - 1))
                while !stop.isSet { machine.file.writeProtect(0...UInt64(pageCount - 1), into: &ignored, in: memory) }
            }
            ends.signal()
        }
        var copy = [[UInt64]](repeating: [0, 0], count: pageCount)
        func look() throws {
            var written = PageBitmap(0...UInt64(pageCount - 1))
            machine.file.cleanAndRecord(0...UInt64(pageCount - 1), into: &written, in: memory)
            for number in 0..<pageCount where written.contains(UInt64(number)) {
                copy[number] = try content(of: number, machine)
            }
        }
        for _ in 0..<2 { repeat { try look() } while ends.wait(timeout: .now()) == .timedOut }
        stop.set()
        ends.wait()
        try look()
        for number in 0..<pageCount {
            #expect(try content(of: number, machine) == copy[number], "run \(run): page \(number)")
        }
        #expect(memory.load(space.words.flushesBegun, .relaxed) == 0)
        space.remove(mirror, in: memory)
        machine.references.drop(on: try #require(machine.references.map.frame(of: words.lockAddress)), in: memory)
        #expect(try machine.lostFrames() == 0)
    }

    private static func pages(_ run: Int) -> [Int] {
        var random = SeededRandom(seed: UInt64(run))
        return (0..<500).map { _ in Int.random(in: 0..<pageCount, using: &random) }
    }

    private func content(of number: Int, _ machine: HostMachine<MemoryStore>) throws -> [UInt64] {
        let place = try machine.touch(page(number).first, for: .read, in: machine.spaces[0]).get()
        return [0, 8].map { machine.memory.load(Word(PhysicalAddress(place.rawValue + $0)), .relaxed) }
    }

    /// In a frame of its own.
    private func mirrorWords(_ machine: HostMachine<MemoryStore>) throws -> MirrorWords {
        let frame = try #require(machine.references.allocator.allocate(in: machine.memory))
        machine.memory.fill(machine.references.map.range(of: frame, .single), with: 0)
        return MirrorWords(at: machine.references.map.address(of: frame))
    }
}

extension MirrorWords {
    fileprivate var lockAddress: PhysicalAddress { sequence.address }
}
