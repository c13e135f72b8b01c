import HostMemory
import PageTables
import TableMemory
import Testing

@Suite("Processors of host memory")
struct ProcessorTests {
    @Test func `numbers are given from 0 upward and used again`() throws {
        let processors = try makeProcessors()
        let memories = (0..<3).map { _ in processors.attach() }
        #expect(memories.map { $0.processor.rawValue } == [0, 1, 2])
        #expect(processors.attached == ProcessorSet(rawValue: 0b111))
        memories[1].detach()
        #expect(processors.attached == ProcessorSet(rawValue: 0b101))
        let again = processors.attach()
        #expect(again.processor == ProcessorNumber(1))
        for memory in [memories[0], again, memories[2]] { memory.detach() }
        #expect(processors.attached.isEmpty)
    }

    @Test func `64 threads are attached at the same time, each with a number of its own`() throws {
        let processors = try makeProcessors()
        processors.run(threads: 64) { _, memory in
            _ = memory.update(word64(0), clearing: 0, setting: 1 << UInt64(memory.processor.rawValue), .relaxed)
        }
        processors.withProcessor { #expect($0.load(word64(0), .relaxed) == .max) }
    }

    @Test func `threads attach and detach while another waits for grace periods`() throws {
        let processors = try makeProcessors()
        processors.run(threads: 3) { number, memory in
            if number == 0 {
                for _ in 0..<1000 { memory.synchronize() }
                memory.store(1, to: word64(0), .release)
            } else {
                while memory.load(word64(0), .acquire) == 0 {
                    processors.withProcessor { inner in inner.withRCUReader { _ in } }
                }
            }
        }
        #expect(processors.attached.isEmpty)
    }

    @Test func `what a thread is attached to lives until it detaches`() throws {
        var processors: HostProcessors? = try makeProcessors()
        weak let arena = processors?.arena
        let memory = try #require(processors).attach()
        processors = nil
        memory.store(1, to: word64(0), .relaxed)
        #expect(arena != nil)
        memory.detach()
        #expect(arena == nil)
    }

    private func message(of result: ExitTest.Result?) throws -> String {
        String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    }

    @Test func `the 65th processor ends the program with a message`() async throws {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let processors = try makeProcessors()
            for _ in 0..<65 { _ = processors.attach() }
        }
        #expect(try message(of: result).contains("a memory has at most 64 processors, and all are attached"))
    }

    @Test func `a processor that would wait for itself ends the program`() async {
        await #expect(processExitsWith: .failure) {
            try makeProcessors().withProcessor { memory in memory.withRCUReader { _ in memory.synchronize() } }
        }
        await #expect(processExitsWith: .failure) {
            try makeProcessors().withProcessor { memory in memory.withInterruptsBlocked { _ in memory.interrupt(.all) }
            }
        }
        await #expect(processExitsWith: .failure) {
            let memory = try makeProcessors().attach()
            memory.blockInterrupts()
            memory.detach()
        }
    }
}
