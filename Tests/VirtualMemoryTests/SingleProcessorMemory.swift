import PageTables
import TableMemory

/// Shared memory of one processor with nobody to share it with: a dictionary of words, and a watch over lives.
///
/// A class, because tests look at the words while an operation has the memory.
final class SingleProcessorMemory: SharedMemory {
    typealias Failure = Never
    typealias Table = PhysicalAddress

    var bytes: [UInt64: UInt8] = [:]
    /// Objects by their first byte.
    var lives: [UInt64: PhysicalRange] = [:]
    var watchesLives = true
    var refused: Set<Int> = []
    private var allocations = 0
    let processor = ProcessorNumber(0)

    private func read(_ address: UInt64, _ count: Int) -> UInt64 {
        (0..<count).reversed().reduce(0) { $0 << 8 | UInt64(bytes[address + UInt64($1)] ?? 0) }
    }

    private func write(_ value: UInt64, _ address: UInt64, _ count: Int) {
        for index in 0..<count {
            bytes[address + UInt64(index)] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
        }
    }

    func load<Value: WordValue>(_ word: Word<Value>, _ ordering: LoadOrdering) -> Value {
        Value(truncatingIfNeeded: read(word.address.rawValue, MemoryLayout<Value>.size))
    }

    func store<Value: WordValue>(_ value: Value, to word: Word<Value>, _ ordering: StoreOrdering) {
        write(UInt64(value), word.address.rawValue, MemoryLayout<Value>.size)
    }

    private func change<Value: WordValue>(_ word: Word<Value>, _ body: (Value) -> Value) -> Value {
        let before = load(word, .relaxed)
        store(body(before), to: word, .relaxed)
        return before
    }

    func compareExchange<Value: WordValue>(
        _ word: Word<Value>, expected: Value, desired: Value, _ ordering: UpdateOrdering
    ) -> Exchange<Value> {
        let before = load(word, .relaxed)
        if before == expected { store(desired, to: word, .relaxed) }
        return Exchange(isExchanged: before == expected, original: before)
    }

    func exchange<Value: WordValue>(_ word: Word<Value>, with value: Value, _ ordering: UpdateOrdering) -> Value {
        change(word) { _ in value }
    }

    func add<Value: WordValue>(_ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering) -> Value {
        change(word) { $0 &+ delta }
    }

    func addUnlessZero<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) -> Value? {
        load(word, .relaxed) == 0 ? nil : add(delta, to: word, ordering)
    }

    func update<Value: WordValue>(
        _ word: Word<Value>, clearing mask: Value, setting bits: Value, _ ordering: UpdateOrdering
    ) -> Value { change(word) { $0 & ~mask | bits } }

    func fence(_ ordering: FenceOrdering) {}

    func loadPlain<Value: WordValue>(_ word: Word<Value>) -> Value { load(word, .relaxed) }

    func wait<Value: WordValue>(for word: Word<Value>, until condition: (Value) -> Bool) -> Value {
        let value = load(word, .acquire)
        precondition(condition(value), "one processor waits for itself")
        return value
    }

    func beginLife(of range: PhysicalRange, as kind: ObjectKind) {
        precondition(!lives.values.contains { $0.intersection(range) != nil }, "two objects overlap")
        lives[range.first.rawValue] = range
    }

    func endLife(of range: PhysicalRange) {
        guard watchesLives else { return }
        precondition(lives.removeValue(forKey: range.first.rawValue) == range, "no such object ends")
    }

    func fill(_ range: PhysicalRange, with pattern: UInt64) {
        for address in stride(from: range.first.rawValue, through: range.last.rawValue, by: 8) {
            write(pattern, address, 8)
        }
    }

    /// Refuses the allocations whose numbers are in `refused`.
    func allows(_ allocation: AllocationKind) -> Bool {
        defer { allocations += 1 }
        return !refused.contains(allocations)
    }

    func blockInterrupts() {}
    func unblockInterrupts() {}
    func enterRCU() {}
    func leaveRCU() {}
    func interrupt(_ processors: ProcessorSet) {}
    func synchronize() {}
    func startGracePeriod() -> GracePeriod { GracePeriod(0) }
    func isOver(_ period: GracePeriod) -> Bool { true }

    func load64(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt64 {
        let value = read(address.rawValue, 8)
        return order == .little ? value : value.byteSwapped
    }

    func load32(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt32 {
        let value = UInt32(read(address.rawValue, 4))
        return order == .little ? value : value.byteSwapped
    }

    func table(at address: PhysicalAddress, bytes: Int) -> PhysicalAddress { address }

    func load64(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) -> UInt64 {
        load64(PhysicalAddress(table.rawValue + UInt64(index * 8)), order)
    }

    func load32(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) -> UInt32 {
        load32(PhysicalAddress(table.rawValue + UInt64(index * 4)), order)
    }
}
