import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import Testing

@Suite("An explored machine")
struct ExploredMachineTests {
    private let object = PhysicalRange(first: PhysicalAddress(0x100), last: PhysicalAddress(0x11f))
    private let word = Word<UInt64>(PhysicalAddress(0x108))

    @Test func `lets an object die before a word of it is loaded that nobody has written`() {
        let exploration = Explorer().explore { execution in
            let machine = ExploredMachine(execution, processors: 2)
            try machine.processor(0).beginLife(of: object, as: .frame)
            execution.spawn { _ = try machine.processor(0).load(word, .relaxed) }
            execution.spawn { try machine.processor(1).endLife(of: object) }
        }
        #expect(exploration.counterexample?.property.contains("in no living object") == true)
    }

    @Test func `fills an object before a word of it is loaded that nobody has written`() {
        let exploration = Explorer().explore { execution in
            let machine = ExploredMachine(execution, processors: 2)
            try machine.processor(0).beginLife(of: object, as: .frame)
            execution.spawn {
                let value = try machine.processor(0).load(word, .relaxed)
                if value == 7 { try machine.violate("filled") }
            }
            execution.spawn { try machine.processor(1).fill(object, with: 7) }
        }
        #expect(exploration.counterexample?.property.contains("filled") == true)
    }

    @Test func `lets allocations fail in threads, and not before them`() {
        var failures = 0
        let exploration = Explorer().explore { execution in
            let machine = ExploredMachine(execution, processors: 1, failing: [.frame])
            let memory = machine.processor(0)
            try execution.require(memory.allows(.frame), "the set-up has all that it asks for")
            execution.spawn { if try !memory.allows(.frame) { failures += 1 } }
        }
        #expect(exploration.isExhausted)
        #expect(failures == 1)
    }
}
