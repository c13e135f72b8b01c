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

    // MARK: store buffers

    /// What two processors see of each other's store: what the first saw, then what the second saw.
    private func storeAndLook(
        _ first: @escaping (ExploredMemory, () throws -> Void) throws -> Void,
        _ second: @escaping (ExploredMemory) throws -> Void
    ) -> (seen: Set<[UInt64]>, result: Exploration) {
        let words = [word, Word<UInt64>(PhysicalAddress(0x110))]
        var seen: Set<[UInt64]> = []
        let result = Explorer(model: .totalStoreOrder).explore { execution in
            let machine = ExploredMachine(execution, processors: 2)
            try machine.processor(0).beginLife(of: object, as: .frame)
            var values: [UInt64] = [9, 9]
            execution.spawn {
                let memory = machine.processor(0)
                try first(memory) {
                    try memory.store(1, to: words[0], .release)
                    values[0] = try memory.load(words[1], .acquire)
                }
            }
            execution.spawn {
                let memory = machine.processor(1)
                try memory.store(1, to: words[1], .release)
                try second(memory)
                values[1] = try memory.load(words[0], .acquire)
            }
            execution.atEnd { seen.insert(values) }
        }
        return (seen, result)
    }

    @Test func `reorders a store with a later load, unless something empties both buffers`() {
        let (weak, first) = storeAndLook({ try $1() }, { _ in })
        #expect(first.isExhausted && weak == [[0, 0], [0, 1], [1, 0], [1, 1]])
        let (half, second) = storeAndLook({ try $1() }, { try $0.fence(.full) })
        #expect(second.isExhausted && half == weak, "one barrier is not enough")
        let (release, third) = storeAndLook({ try $1() }, { try $0.fence(.release) })
        #expect(third.isExhausted && release == weak)
    }

    @Test func `empties the buffer of a processor that is interrupted`() {
        let (seen, result) = storeAndLook({ try $1() }, { try $0.interrupt(.all) })
        #expect(result.isExhausted && seen == [[0, 1], [1, 0], [1, 1]], "\(seen) \(result)")
        let (nobody, other) = storeAndLook({ try $1() }, { try $0.interrupt(ProcessorSet($0.processor)) })
        #expect(other.isExhausted && nobody.contains([0, 0]), "an interrupt of oneself is one barrier")
    }

    @Test
    func `empties the buffer of a processor where its section ends that an interrupt or a grace period waits for`() {
        let (seen, result) = storeAndLook(
            { memory, body in
                try memory.blockInterrupts()
                try body()
                try memory.unblockInterrupts()
            }, { try $0.interrupt(.all) })
        #expect(result.isExhausted && seen == [[0, 1], [1, 0], [1, 1]], "\(seen) \(result)")
        let (readers, period) = storeAndLook(
            { memory, body in
                try memory.enterRCU()
                try body()
                try memory.leaveRCU()
            }, { try $0.synchronize() })
        #expect(period.isExhausted && readers == [[0, 1], [1, 0], [1, 1]], "\(readers) \(period)")
        let (polled, _) = storeAndLook(
            { try $1() },
            {
                let period = try $0.startGracePeriod()
                _ = try $0.isOver(period)
            })
        #expect(polled == [[0, 1], [1, 0], [1, 1]], "\(polled)")
    }

    @Test func `has no barrier where a section begins or ends`() {
        let (seen, result) = storeAndLook(
            { memory, body in
                try memory.blockInterrupts()
                try memory.unblockInterrupts()
                try body()
            }, { try $0.fence(.full) })
        #expect(result.isExhausted && seen.contains([0, 0]), "\(seen)")
    }

    @Test func `finds a store that is performed when its object is dead`() {
        let found = Explorer(model: .totalStoreOrder).explore { execution in
            let machine = ExploredMachine(execution, processors: 2)
            try machine.processor(0).beginLife(of: object, as: .frame)
            let flag = ExploredAtomic(0, in: execution, "flag")
            execution.spawn {
                try machine.processor(0).store(1, to: word, .relaxed)
                _ = try flag.load()
            }
            execution.spawn {
                if try flag.load() == 0 { try machine.processor(1).endLife(of: object) }
            }
        }
        #expect(found.counterexample?.property.contains("store at 0x108, which is in no living object") == true)
        #expect(found.counterexample?.steps.last?.label.hasPrefix("performs store 0x108") == true, "\(found)")
    }
}
