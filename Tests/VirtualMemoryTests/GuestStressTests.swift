import Foundation
import HostMemory
import PageTables
import SeededRandom
import Synchronization
import TableMemory
import Testing

@testable import VirtualMemory

private let pageCount = 4
private let parentStart: UInt64 = 0x40_0000
private let guestStart: UInt64 = 0x1000_0000

private func page(_ number: Int, from start: UInt64) -> VirtualRange {
    let first = start + UInt64(number * 4096)
    return VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first + 4095))
}

@Suite("Threads that run as guests")
struct GuestStressTests {
    /// The owner of a page writes to it after it was unmapped, and looks whether that stays.
    @Test("leave a page alone as soon as it is unmapped from their parent", arguments: 0..<3)
    func unmapped(_ run: Int) throws {
        let machine = try HostMachine(MemoryStore([]))
        let (space, memory, references) = (machine.spaces[0], machine.memory, machine.references)
        let own = try #require(references.allocator.allocate(in: memory))
        memory.fill(references.map.range(of: own, .single), with: 0)
        let guest = try GuestSpace.make(
            over: space, words: GuestWords(MirrorWords(at: references.map.address(of: own))), in: memory)
        let all = VirtualRange(
            first: VirtualAddress(guestStart), last: page(pageCount - 1, from: guestStart).last)
        try guest.show(all, from: VirtualAddress(parentStart), in: memory)
        let (isOver, ends) = (Flag(), DispatchSemaphore(value: 0))
        for thread in 0..<2 {
            Thread.detachNewThread {
                machine.processors.withProcessor { memory in
                    var random = SeededRandom(seed: UInt64(run * 2 + thread))
                    while !isOver.isSet {
                        let address = page(Int.random(in: 0..<pageCount, using: &random), from: guestStart).first
                        memory.withReadLock(space.words.lock) { try? guest.fault(address, for: .write, lock: $0) }
                        _ = guest.access(address, for: .write, in: memory) {
                            memory.store(random.next() | 1, to: Word<UInt64>($0), .relaxed)
                        }
                    }
                }
                ends.signal()
            }
        }
        let frames = try (0..<pageCount).map { _ in try #require(references.allocator.allocate(in: memory)) }
        for round in 0..<80 {
            let range = page(round % pageCount, from: parentStart)
            let physical = references.map.address(of: frames[round % pageCount])
            try space.map(range, to: physical, space.format.attributes([.read, .write]), in: memory)
            let word = Word<UInt64>(physical)
            // Goes on when a guest has written, or after a while all the same.
            memory.store(0, to: word, .relaxed)
            for _ in 0..<3_000 where memory.load(word, .relaxed) == 0 {}
            try space.unmap(range, in: memory)
            memory.store(0, to: word, .relaxed)
            let later = (0..<200).map { _ in memory.load(word, .relaxed) }
            #expect(later.allSatisfy { $0 == 0 }, "run \(run), round \(round): a guest wrote to an unmapped page")
        }
        isOver.set()
        for _ in 0..<2 { ends.wait() }
        guest.tearDown(in: memory)
        for frame in frames + [own] { references.drop(on: frame, in: memory) }
        #expect(try machine.lostFrames() == 0)
    }
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}
