import HostMemory
import PageTables
import TableMemory

/// Real memory as a stressed thread sees it: with all safety rules in force, or with one of them lifted.
protocol StressMemory: SharedMemory where Failure == Never {
    func eventCount(_ event: SpaceEvent) -> UInt64
}

extension HostMemory: StressMemory {}

/// Real memory that lifts a safety rule, to find out whether a stress notices.
struct LiftingMemory: StressMemory {
    typealias Failure = Never
    typealias Table = HostMemory.Table

    let memory: HostMemory
    let lifted: SafetyRule

    func enforces(_ rule: SafetyRule) -> Bool { rule != lifted }
    func eventCount(_ event: SpaceEvent) -> UInt64 { memory.eventCount(event) }
}

// All else is as it is.
extension LiftingMemory {
    func load64(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt64 { memory.load64(address, order) }
    func load32(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt32 { memory.load32(address, order) }
    func table(at address: PhysicalAddress, bytes: Int) -> Table { memory.table(at: address, bytes: bytes) }
    func load64(_ table: Table, index: Int, _ order: ByteOrder) -> UInt64 {
        memory.load64(table, index: index, order)
    }
    func load32(_ table: Table, index: Int, _ order: ByteOrder) -> UInt32 {
        memory.load32(table, index: index, order)
    }
    func load<Value: WordValue>(_ word: Word<Value>, _ ordering: LoadOrdering) -> Value { memory.load(word, ordering) }
    func loadPlain<Value: WordValue>(_ word: Word<Value>) -> Value { memory.loadPlain(word) }
    func store<Value: WordValue>(_ value: Value, to word: Word<Value>, _ ordering: StoreOrdering) {
        memory.store(value, to: word, ordering)
    }
    func compareExchange<Value: WordValue>(
        _ word: Word<Value>, expected: Value, desired: Value, _ ordering: UpdateOrdering
    ) -> Exchange<Value> { memory.compareExchange(word, expected: expected, desired: desired, ordering) }
    func exchange<Value: WordValue>(_ word: Word<Value>, with value: Value, _ ordering: UpdateOrdering) -> Value {
        memory.exchange(word, with: value, ordering)
    }
    func add<Value: WordValue>(_ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering) -> Value {
        memory.add(delta, to: word, ordering)
    }
    func addIfPositive<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) -> Value? { memory.addIfPositive(delta, to: word, ordering) }
    func update<Value: WordValue>(
        _ word: Word<Value>, clearing mask: Value, setting bits: Value, _ ordering: UpdateOrdering
    ) -> Value { memory.update(word, clearing: mask, setting: bits, ordering) }
    func fence(_ ordering: FenceOrdering) { memory.fence(ordering) }
    func wait<Value: WordValue>(for word: Word<Value>, until condition: (Value) -> Bool) -> Value {
        memory.wait(for: word, until: condition)
    }
    func read(_ range: PhysicalRange, into bytes: inout [UInt8]) { memory.read(range, into: &bytes) }
    func write(_ bytes: [UInt8], to range: PhysicalRange) { memory.write(bytes, to: range) }
    func beginLife(of range: PhysicalRange, as kind: ObjectKind) { memory.beginLife(of: range, as: kind) }
    func endLife(of range: PhysicalRange) { memory.endLife(of: range) }
    func fill(_ range: PhysicalRange, with pattern: UInt64) { memory.fill(range, with: pattern) }
    func allows(_ allocation: AllocationKind) -> Bool { memory.allows(allocation) }
    var processor: ProcessorNumber { memory.processor }
    func blockInterrupts() { memory.blockInterrupts() }
    func unblockInterrupts() { memory.unblockInterrupts() }
    func enterRCU() { memory.enterRCU() }
    func leaveRCU() { memory.leaveRCU() }
    func interrupt(_ processors: ProcessorSet) { memory.interrupt(processors) }
    func synchronize() { memory.synchronize() }
    func startGracePeriod() -> GracePeriod { memory.startGracePeriod() }
    func isOver(_ period: GracePeriod) -> Bool { memory.isOver(period) }
    func count(_ event: SpaceEvent) { memory.count(event) }
}
