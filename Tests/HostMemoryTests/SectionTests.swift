import Foundation
import HostMemory
import PageTables
import TableMemory
import Testing

/// One thread may be several processors, so that most of what sections promise can be shown without a second one.
@Suite("Read sections and who waits for them", .serialized)
struct SectionTests {
    static let allBarriers: [SectionBarriers] = [.asymmetric, .fences]

    #if os(Linux)
        @Test func `Linux has asymmetric barriers, unless fences are asked for`() throws {
            #expect(try makeProcessors(barriers: .asymmetric).barriers == .asymmetric)
            #expect(try makeProcessors(barriers: .fences).barriers == .fences)
        }
    #endif

    @Test(arguments: allBarriers)
    func `a grace period lasts as long as sections of either kind that began before it`(
        barriers: SectionBarriers
    ) throws {
        let processors = try makeProcessors(barriers: barriers)
        let (reader, freeing) = (processors.attach(), processors.attach())
        let (begin, end) = (HostMemory.enterRCU, HostMemory.leaveRCU)
        let (block, unblock) = (HostMemory.blockInterrupts, HostMemory.unblockInterrupts)
        for (enter, leave) in [(begin, end), (block, unblock)] {
            let before = freeing.startGracePeriod()
            #expect(freeing.isOver(before))
            enter(reader)()
            let period = freeing.startGracePeriod()
            #expect(!freeing.isOver(period))
            #expect(freeing.isOver(before), "the section began later")
            leave(reader)()
            #expect(freeing.isOver(period))
            enter(reader)()
            #expect(freeing.isOver(period), "the section began later")
            leave(reader)()
        }
        reader.detach()
        freeing.detach()
    }

    @Test(arguments: allBarriers)
    func `only the end of the outermost section counts, and each kind nests by itself`(
        barriers: SectionBarriers
    ) throws {
        let processors = try makeProcessors(barriers: barriers)
        let (reader, freeing) = (processors.attach(), processors.attach())
        reader.enterRCU()
        let period = freeing.startGracePeriod()
        reader.enterRCU()
        reader.blockInterrupts()
        reader.blockInterrupts()
        reader.leaveRCU()
        #expect(!freeing.isOver(period), "the outer reader goes on")
        reader.leaveRCU()
        #expect(freeing.isOver(period), "interrupts were blocked after the period began")
        let second = freeing.startGracePeriod()
        reader.unblockInterrupts()
        #expect(!freeing.isOver(second), "interrupts are still blocked")
        reader.unblockInterrupts()
        #expect(freeing.isOver(second))
        freeing.synchronize()
        reader.detach()
        freeing.detach()
    }

    @Test(arguments: allBarriers)
    func `a section taken up anew within a grace period does not prolong it`(barriers: SectionBarriers) throws {
        // The reader is never outside for long enough to be seen there; the epoch tells its sections apart.
        let processors = try makeProcessors(barriers: barriers)
        let (reader, freeing) = (processors.attach(), processors.attach())
        reader.enterRCU()
        let period = freeing.startGracePeriod()
        reader.leaveRCU()
        reader.enterRCU()
        #expect(freeing.isOver(period))
        reader.leaveRCU()
        reader.detach()
        freeing.detach()
    }

    @Test(arguments: allBarriers)
    func `an interrupt does not wait for processors outside of its set, nor for readers`(
        barriers: SectionBarriers
    ) throws {
        let processors = try makeProcessors(barriers: barriers)
        let (blocked, reader, freeing) = (processors.attach(), processors.attach(), processors.attach())
        blocked.blockInterrupts()
        reader.enterRCU()
        // Each of these returns, though both sections last.
        freeing.interrupt([])
        freeing.interrupt(ProcessorSet(reader.processor))
        freeing.interrupt([ProcessorSet(reader.processor), ProcessorSet(freeing.processor)])
        freeing.interrupt(ProcessorSet.all.subtracting(ProcessorSet(blocked.processor)))
        blocked.unblockInterrupts()
        freeing.interrupt(.all)
        reader.leaveRCU()
        freeing.synchronize()
        for memory in [blocked, reader, freeing] { memory.detach() }
    }

    @Test(arguments: allBarriers)
    func `an interrupt and a grace period wait for a section that has begun`(barriers: SectionBarriers) throws {
        for waitsForReaders in [false, true] {
            let processors = try makeProcessors(barriers: barriers)
            let (isInside, mayLeave) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            let (waiting, isLeaving) = (word64(64), word64(128))
            processors.run(threads: 3) { number, memory in
                switch number {
                case 0:
                    if waitsForReaders { memory.enterRCU() } else { memory.blockInterrupts() }
                    // Nested sections that end are not the end.
                    memory.withInterruptsBlocked { _ in }
                    memory.withRCUReader { _ in }
                    isInside.signal()
                    mayLeave.wait()
                    memory.store(1, to: isLeaving, .relaxed)
                    if waitsForReaders { memory.leaveRCU() } else { memory.unblockInterrupts() }
                case 1:
                    isInside.wait()
                    memory.store(1, to: waiting, .release)
                    if waitsForReaders { memory.synchronize() } else { memory.interrupt(.all) }
                    #expect(memory.load(isLeaving, .relaxed) == 1)
                default:
                    // The section goes on for some time after the other has begun to wait.
                    _ = memory.wait(for: waiting) { $0 == 1 }
                    for _ in 0..<100 { #expect(!memory.isOver(memory.startGracePeriod())) }
                    mayLeave.signal()
                }
            }
        }
    }

    @Test func `a walk is written once for all witnesses`() throws {
        try makeProcessors().withProcessor { memory in
            memory.store(42, to: word64(4096), .relaxed)
            func first(_ tables: borrowing some ReadWitness & ~Copyable) -> UInt64 {
                do { return try tables.load64(PhysicalAddress(4096), .host) } catch { return 0 }
            }
            #expect(memory.withInterruptsBlocked { first($0) } == 42)
            #expect(memory.withRCUReader { first($0) } == 42)
            #expect(memory.withReadLock(ReaderWriterLock(at: PhysicalAddress(0))) { first($0) } == 42)
            #expect(memory.withWriteLock(ReaderWriterLock(at: PhysicalAddress(0))) { first($0) } == 42)
        }
    }
}
