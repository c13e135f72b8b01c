import Foundation
import HostMemory
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

private let start = VirtualAddress(0x40_0000)
private let pageCount = 4
private let writerCount = 3

@Suite("A file that threads write to")
struct FileStressTests {
    /// Each writer has a word of each page, and writes to it through a mapping or a pin; nobody else does.
    @Test("has all they wrote, however often it was written back meanwhile", arguments: 0..<4)
    func writers(_ run: Int) throws {
        let store = MemoryStore([UInt8](repeating: 0, count: pageCount * 4096))
        let machine = try HostMachine(store)
        let range = VirtualRange(first: start, last: VirtualAddress(start.rawValue + UInt64(pageCount * 4096 - 1)))
        for space in machine.spaces {
            try space.add(
                Region(range, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write])),
                in: machine.memory)
        }
        let ends = DispatchSemaphore(value: 0)
        for writer in 0..<writerCount {
            Thread.detachNewThread {
                machine.processors.withProcessor { Self.write(writer, run, machine, $0) }
                ends.signal()
            }
        }
        // The writers end after different times; every writeback until then meets some of them.
        for _ in 0..<writerCount {
            repeat { try machine.file.writeBack(in: machine.memory) } while ends.wait(timeout: .now()) == .timedOut
        }
        try machine.file.writeBack(in: machine.memory)
        for page in 0..<pageCount {
            for writer in 0..<writerCount {
                let offset = page * 4096 + writer * 8
                let value = store.bytes[offset..<offset + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                #expect(value == Self.lastValue(writer, page, run), "run \(run): writer \(writer), page \(page)")
            }
        }
        #expect(try machine.lostFrames() == 0)
    }

    private static let writes = 400

    /// Which page a write goes to: the numbers of `SeededRandom`, so that it can be said what the last one is.
    private static func pages(_ writer: Int, _ run: Int) -> [Int] {
        var random = SeededRandom(seed: UInt64(run * writerCount + writer))
        return (0..<writes).map { _ in Int.random(in: 0..<pageCount, using: &random) }
    }

    private static func lastValue(_ writer: Int, _ page: Int, _ run: Int) -> UInt64 {
        UInt64((pages(writer, run).lastIndex(of: page) ?? -1) + 1)
    }

    private static func write(_ writer: Int, _ run: Int, _ machine: HostMachine<MemoryStore>, _ memory: HostMemory) {
        let space = machine.spaces[writer % 2]
        for (number, page) in pages(writer, run).enumerated() {
            let first = VirtualAddress(start.rawValue + UInt64(page * 4096))
            let value = UInt64(number + 1).littleEndian
            if number % 2 == 0 {
                memory.withReadLock(space.words.lock) { lock in
                    guard case .success(let place) = machine.touch(first, for: .write, in: space, lock: lock) else {
                        return
                    }
                    memory.store(value, to: Word(PhysicalAddress(place.rawValue + UInt64(writer * 8))), .relaxed)
                }
            } else {
                let pageRange = VirtualRange(first: first, last: VirtualAddress(first.rawValue + 4095))
                guard
                    case .success(let pins) = machine.pin(
                        pageRange, for: .write, longTerm: false, in: space, memory: memory)
                else { continue }
                for pin in pins {
                    let place = PhysicalAddress(pin.range.first.rawValue + UInt64(writer * 8))
                    memory.store(value, to: Word(place), .relaxed)
                    space.unpin(pin, dirty: true, in: memory)
                }
            }
        }
    }
}
