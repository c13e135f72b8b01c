import Foundation
import HostMemory
import TableMemory
import Testing

@Suite("What a memory notices")
struct EventTests {
    @Test("Each processor counts its own events, from when it is attached")
    func counting() throws {
        let processors = try makeProcessors()
        processors.run(threads: 3) { number, memory in
            for event in SpaceEvent.allCases {
                for _ in 0..<number + event.rawValue { memory.count(event) }
            }
            for event in SpaceEvent.allCases {
                #expect(memory.eventCount(event) == UInt64(number + event.rawValue))
            }
        }
        processors.withProcessor { memory in
            for event in SpaceEvent.allCases { #expect(memory.eventCount(event) == 0) }
        }
    }

    @Test("An object's memory is poisoned when its life ends, and may begin another life")
    func poisoning() throws {
        let processors = HostProcessors(arena: try HostArena(byteCount: 1 << 16), poison: 0xdead)
        processors.withProcessor { memory in
            memory.fill(range(0, bytes: 1 << 16), with: 0xdead)
            memory.beginLife(of: range(4096, bytes: 4096), as: .frame)
            memory.store(7, to: word64(4096 + 512), .relaxed)
            memory.endLife(of: range(4096, bytes: 4096))
            #expect(memory.load(word64(4096 + 512), .relaxed) == 0xdead)
            memory.beginLife(of: range(4096, bytes: 8192), as: .table)
        }
    }

    @Test("Memory that was written to between two lives traps")
    func writingAfterFree() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let processors = HostProcessors(arena: try HostArena(byteCount: 1 << 16), poison: 0xdead)
            processors.withProcessor { memory in
                memory.endLife(of: range(4096, bytes: 4096))
                memory.store(0, to: word64(4096 + 512), .relaxed)
                memory.beginLife(of: range(4096, bytes: 4096), as: .frame)
            }
        }
        let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(message.contains("memory at 0x1200 was written to after it was freed"))
    }
}
