import Interleaving
import PageTables
import TableMemory

// Stores under total store order.
//
//   - A store goes into the buffer of the thread that runs on the processor, and is performed later. That its word is alive is
//     looked at then.
//   - Read-modify-writes, full fences, and beginning, filling and ending an object wait until the own buffer is empty.
//   - Blocking interrupts and reading under RCU are nobody's business but the processor's: no barrier.
//   - Whoever sends an interrupt, or begins a grace period, waits for its own buffer; and where the interrupt is taken, which is
//     at once or at the end of the section that blocks it, the buffer of the interrupted processor is emptied before the
//     sender goes on. A grace period does the same to all processors.

extension ExploredMachine {
    /// Written when a store goes into the buffer of a processor, for those who interrupt the processor.
    static func bufferObject(_ processor: Int) -> ObjectID { ObjectID(1 << 62 | 1 << 32 | UInt64(processor)) }

    func store<Value: WordValue>(_ value: Value, to word: Word<Value>, from processor: Int) throws(Abandoned) {
        guard execution.buffersStores, let thread = execution.thread else {
            _ = try step(.write, word, "store") { _ in value }
            return
        }
        let address = word.address
        try execution.buffer(
            UInt64(value), Access(.write, Self.object(address)), observedBy: Self.bufferObject(processor),
            "store \(address): \(hexadecimal(UInt64(value)))")
        guard let mark = execution.lastStore else { return }
        if let known = sections[processor].lastStores.firstIndex(where: { $0.thread == thread }) {
            sections[processor].lastStores[known].mark = mark
        } else {
            sections[processor].lastStores.append(LastStore(thread: thread, mark: mark))
        }
    }

    func performStore(_ value: UInt64, to object: ObjectID) -> StoreOutcome {
        let address = PhysicalAddress(object.rawValue &- 1)
        guard isAlive(address) else { return .violation("store at \(address), which is in no living object") }
        let before = words[address.rawValue] ?? 0
        words[address.rawValue] = value
        return .replaced(before)
    }

    /// Goes on when the processors that were waited for have emptied their buffers.
    func waitForStores(_ waited: Waited) throws(Abandoned) {
        guard execution.buffersStores else { return }
        var all = waited.stores
        for section in waited.sections {
            let ends = sections[section.processor]
            all += (section.isReader ? ends.storesAtReadersEnds : ends.storesAtInterruptsEnds)[section.ended]
        }
        for store in all where store.thread != execution.thread {
            try execution.waitUntilPerformed(store.mark, "stores of the interrupted are performed")
        }
    }
}
