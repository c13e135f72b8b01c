import Foundation
import HostMemory
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

private let pageCount: UInt64 = 48
private let writerCount = 2
private let range = VirtualRange(
    first: VirtualAddress(0x40_0000), last: VirtualAddress(0x40_0000 + pageCount * 4096 - 1))

@Suite("A copy of a space whose programs run on")
struct DirtyTrackingTests {
    /// As a machine that moves to another host: whoever copies takes the records of writes, and copies what was written.
    @Test("has all that was written, from what takeDirty said alone", arguments: 0..<4)
    func copying(_ run: Int) throws {
        let machine = try HostMachine(MemoryStore([]))
        let (space, memory) = (machine.spaces[0], machine.memory)
        try space.add(Region(range, .anonymous, space.format.attributes([.read, .write])), in: memory)
        let ends = DispatchSemaphore(value: 0)
        for writer in 0..<writerCount {
            Thread.detachNewThread {
                machine.processors.withProcessor { Self.write(writer, run, space, $0) }
                ends.signal()
            }
        }
        var copy = [[UInt64]](repeating: [0, 0], count: Int(pageCount))
        var passes = 0
        for _ in 0..<writerCount {
            repeat {
                Self.copyDirty(of: space, memory, to: &copy)
                passes += 1
            } while ends.wait(timeout: .now()) == .timedOut
        }
        Self.copyDirty(of: space, memory, to: &copy)
        for page in 0..<pageCount {
            let words = Self.words(of: page, space, memory)
            #expect(copy[Int(page)] == words, "run \(run), page \(page), \(passes) passes")
            #expect(words.contains { $0 != 0 }, "each page is written")
        }
        let left = memory.withReadLock(space.words.lock) { space.takeDirty(in: range, lock: $0) }
        #expect(left.isEmpty)
        #expect(try machine.lostFrames() == 0)
    }

    private static func address(_ page: UInt64) -> VirtualAddress { VirtualAddress(range.first.rawValue + page * 4096) }

    /// What the writers have written to a page; zeros where it was not touched yet.
    private static func words(of page: UInt64, _ space: VirtualMemory.Space<X86_64>, _ memory: HostMemory) -> [UInt64] {
        memory.withRCUReader { section in
            guard case .mapped(let mapping) = space.view(in: section).translate(address(page), in: section) else {
                return [0, 0]
            }
            return (0..<UInt64(writerCount)).map { writer in
                memory.load(Word<UInt64>(PhysicalAddress(mapping.physical.rawValue + 8 * writer)), .relaxed)
            }
        }
    }

    private static func copyDirty(
        of space: VirtualMemory.Space<X86_64>, _ memory: HostMemory, to copy: inout [[UInt64]]
    ) {
        let taken = memory.withReadLock(space.words.lock) { space.takeDirty(in: range, lock: $0) }
        for page in 0..<pageCount where taken.dirty.contains(address(page)) {
            copy[Int(page)] = words(of: page, space, memory)
        }
    }

    /// Each writer has a word of each page. It comes back to a page soon, so that its processor still keeps the way there.
    private static func write(
        _ writer: Int, _ run: Int, _ space: VirtualMemory.Space<X86_64>, _ memory: HostMemory
    ) {
        var processor = VirtualProcessor(space, in: memory)
        var random = SeededRandom(seed: UInt64(run * writerCount + writer))
        for number in 1...20_000 as ClosedRange<UInt64> {
            let page = number % 512 < pageCount ? number % 512 : random.next() % 4 + number / 512 % (pageCount - 4)
            do throws(SpaceError<Never>) {
                try processor.access(address(page), for: .write) { physical in
                    memory.store(number, to: Word(PhysicalAddress(physical.rawValue + 8 * UInt64(writer))), .relaxed)
                }
            } catch { Issue.record("page \(page) cannot be written: \(error)") }
        }
        processor.leave()
    }
}
