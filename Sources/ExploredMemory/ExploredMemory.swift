import Interleaving
import PageTables
import TableMemory

/// The memory of an explored machine as one of its processors sees it: every access is a scheduling point, ordered as the model
/// of the exploration says and no weaker, whatever its own ordering is. Under total store order only stores are delayed; updates
/// are barriers, as those of x86 are.
public struct ExploredMemory: SharedMemory {
    public typealias Failure = Abandoned
    public typealias Table = PhysicalAddress

    let machine: ExploredMachine
    public let processor: ProcessorNumber

    public func enforces(_ rule: SafetyRule) -> Bool { machine.enforces(rule) }

    // MARK: words

    public func load<Value: WordValue>(
        _ word: Word<Value>, _ ordering: LoadOrdering
    ) throws(Abandoned) -> Value {
        try machine.step(.read, word, "load") { _ in nil }
    }

    public func store<Value: WordValue>(
        _ value: Value, to word: Word<Value>, _ ordering: StoreOrdering
    ) throws(Abandoned) {
        try machine.store(value, to: word, from: number)
    }

    public func compareExchange<Value: WordValue>(
        _ word: Word<Value>, expected: Value, desired: Value, _ ordering: UpdateOrdering
    ) throws(Abandoned) -> Exchange<Value> {
        let original = try machine.step(.readModifyWrite, word, "compare-exchange") {
            $0 == expected ? desired : nil
        }
        return Exchange(isExchanged: original == expected, original: original)
    }

    public func exchange<Value: WordValue>(
        _ word: Word<Value>, with value: Value, _ ordering: UpdateOrdering
    ) throws(Abandoned) -> Value {
        try machine.step(.readModifyWrite, word, "exchange") { _ in value }
    }

    public func add<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) throws(Abandoned) -> Value {
        try machine.step(.readModifyWrite, word, "add") { $0 &+ delta }
    }

    public func addIfPositive<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) throws(Abandoned) -> Value? {
        let original = try machine.step(.readModifyWrite, word, "add if positive") {
            $0.isPositive ? $0 &+ delta : nil
        }
        return original.isPositive ? original : nil
    }

    public func update<Value: WordValue>(
        _ word: Word<Value>, clearing mask: Value, setting bits: Value, _ ordering: UpdateOrdering
    ) throws(Abandoned) -> Value {
        try machine.step(.readModifyWrite, word, "update") { $0 & ~mask | bits }
    }

    /// A full one empties the store buffer; the others order nothing that the models reorder.
    public func fence(_ ordering: FenceOrdering) throws(Abandoned) {
        if ordering == .full { try machine.execution.fence() }
    }

    public func loadPlain<Value: WordValue>(_ word: Word<Value>) throws(Abandoned) -> Value {
        try machine.step(.read, word, "plain load") { _ in nil }
    }

    public func wait<Value: WordValue>(
        for word: Word<Value>, until condition: (Value) -> Bool
    ) throws(Abandoned) -> Value {
        try machine.wait(for: word, until: condition)
    }

    // MARK: objects

    public func beginLife(of range: PhysicalRange, as kind: ObjectKind) throws(Abandoned) {
        try machine.beginLife(of: range, as: kind)
    }
    public func endLife(of range: PhysicalRange) throws(Abandoned) { try machine.endLife(of: range) }
    public func fill(_ range: PhysicalRange, with pattern: UInt64) throws(Abandoned) {
        try machine.fill(range, with: pattern)
    }
    public func allows(_ allocation: AllocationKind) throws(Abandoned) -> Bool { try machine.allows(allocation) }

    // MARK: processors

    private var number: Int { Int(processor.rawValue) }

    public func blockInterrupts() throws(Abandoned) { try machine.enter(number, isReader: false) }
    public func unblockInterrupts() throws(Abandoned) { try machine.leave(number, isReader: false) }
    public func enterRCU() throws(Abandoned) { try machine.enter(number, isReader: true) }
    public func leaveRCU() throws(Abandoned) { try machine.leave(number, isReader: true) }
    public func interrupt(_ processors: ProcessorSet) throws(Abandoned) {
        try machine.interrupt(processors, from: number)
    }
    public func synchronize() throws(Abandoned) { try machine.synchronize(from: number) }
    public func startGracePeriod() throws(Abandoned) -> GracePeriod { try machine.startGracePeriod() }
    public func isOver(_ period: GracePeriod) throws(Abandoned) -> Bool { try machine.isOver(period) }

    // MARK: tables

    /// A load from a table is an access like any other.
    public func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Abandoned) -> UInt64 {
        let value = try load(Word<UInt64>(address), .acquire)
        return order == .host ? value : value.byteSwapped
    }
    public func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Abandoned) -> UInt32 {
        let value = try load(Word<UInt32>(address), .acquire)
        return order == .host ? value : value.byteSwapped
    }
    public func table(at address: PhysicalAddress, bytes: Int) -> PhysicalAddress { address }
    public func load64(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) throws(Abandoned) -> UInt64 {
        try load64(PhysicalAddress(table.rawValue &+ UInt64(truncatingIfNeeded: index &* 8)), order)
    }
    public func load32(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) throws(Abandoned) -> UInt32 {
        try load32(PhysicalAddress(table.rawValue &+ UInt64(truncatingIfNeeded: index &* 4)), order)
    }
    /// Memory is there or the execution is over.
    public func isAbsence(_ failure: Abandoned) -> Bool { false }

    // MARK: events

    public func broke(_ invariant: StaticString) throws(Abandoned) { try machine.violate("\(invariant)") }
}
