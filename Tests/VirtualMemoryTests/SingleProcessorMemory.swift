import Foundation
import PageTables
import TableMemory

/// Something that memory was asked for and that no correct operation asks for.
struct MemoryMisuse: Error, CustomStringConvertible {
    let description: String
}

/// Shared memory of one processor with nobody to share it with: words, a watch over lives, and allocations that fail on
/// demand.
///
/// Whatever touches memory that is no object, waits for itself, or waits for others inside a section fails with
/// `MemoryMisuse`. What begins to live holds garbage, unless it is bookkeeping.
///
/// A class, because tests look at the words while an operation has the memory.
final class SingleProcessorMemory: SharedMemory {
    typealias Failure = MemoryMisuse
    typealias Table = PhysicalAddress

    let processor = ProcessorNumber(0)
    private let byteCount: UInt64
    private let words: UnsafeMutableRawPointer
    /// What each `grain` bytes are.
    private let states: UnsafeMutablePointer<UInt8>

    /// Objects by their first byte.
    private(set) var objects: [UInt64: PhysicalRange] = [:]
    /// Parts of objects that are none at the moment, by their first byte: fragments of a frame.
    private var holes: [UInt64: PhysicalRange] = [:]
    var watchesLives = true

    private var refusedKinds: Set<AllocationKind> = []
    private var refusedNumbers = 0..<0
    private var asked = 0
    /// Whether an allocation was refused since `refuse`.
    private(set) var hasRefused = false

    var lifted: SafetyRule?
    /// Runs before each compare-exchange, with its place: what somebody else does just then.
    var beforeExchange: ((PhysicalAddress) -> Void)?
    /// How often each entry was loaded, by its address, while somebody counts.
    var entryLoads: [UInt64: Int]?
    private(set) var events: [SpaceEvent: Int] = [:]
    /// How often readers were waited for.
    private(set) var waits = 0
    /// Runs while readers are waited for.
    var whileWaiting: (() -> Void)?
    private var interruptDepth = 0
    private var readerDepth = 0

    private static let grain: UInt64 = 16
    private enum State {
        static let dead: UInt8 = 0
        static let alive: UInt8 = 1
        static let hole: UInt8 = 2
    }

    init(byteCount: UInt64 = 4 << 20) {
        self.byteCount = byteCount
        // Zero, and of the host's memory only what is used.
        words = calloc(Int(byteCount), 1)!
        states = calloc(Int(byteCount / Self.grain), 1)!.assumingMemoryBound(to: UInt8.self)
    }

    deinit {
        free(words)
        free(states)
    }

    @inline(never)
    private func misuse(_ description: String) throws(MemoryMisuse) -> Never {
        throw MemoryMisuse(description: description)
    }

    // MARK: words

    private func place(_ address: UInt64, _ bytes: Int) throws(MemoryMisuse) -> UnsafeMutableRawPointer {
        guard address < byteCount, address % UInt64(bytes) == 0 else {
            try misuse("\(hexadecimal(address)) is no place for a word of \(bytes) bytes")
        }
        if watchesLives, states[Int(address / Self.grain)] != State.alive {
            try misuse("\(hexadecimal(address)) is in no living object")
        }
        return words + Int(address)
    }

    func load<Value: WordValue>(_ word: Word<Value>, _ ordering: LoadOrdering) throws(MemoryMisuse) -> Value {
        try place(word.address.rawValue, MemoryLayout<Value>.size).load(as: Value.self)
    }

    func store<Value: WordValue>(_ value: Value, to word: Word<Value>, _ ordering: StoreOrdering) throws(MemoryMisuse) {
        try place(word.address.rawValue, MemoryLayout<Value>.size).storeBytes(of: value, as: Value.self)
    }

    private func change<Value: WordValue>(
        _ word: Word<Value>, _ body: (Value) -> Value
    ) throws(MemoryMisuse) -> Value {
        let before = try load(word, .relaxed)
        try store(body(before), to: word, .relaxed)
        return before
    }

    func compareExchange<Value: WordValue>(
        _ word: Word<Value>, expected: Value, desired: Value, _ ordering: UpdateOrdering
    ) throws(MemoryMisuse) -> Exchange<Value> {
        beforeExchange?(word.address)
        let before = try change(word) { $0 == expected ? desired : $0 }
        return Exchange(isExchanged: before == expected, original: before)
    }

    func exchange<Value: WordValue>(
        _ word: Word<Value>, with value: Value, _ ordering: UpdateOrdering
    ) throws(MemoryMisuse) -> Value { try change(word) { _ in value } }

    func add<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) throws(MemoryMisuse) -> Value { try change(word) { $0 &+ delta } }

    func addIfPositive<Value: WordValue>(
        _ delta: Value, to word: Word<Value>, _ ordering: UpdateOrdering
    ) throws(MemoryMisuse) -> Value? {
        let before = try change(word) { $0.isPositive ? $0 &+ delta : $0 }
        return before.isPositive ? before : nil
    }

    func update<Value: WordValue>(
        _ word: Word<Value>, clearing mask: Value, setting bits: Value, _ ordering: UpdateOrdering
    ) throws(MemoryMisuse) -> Value { try change(word) { $0 & ~mask | bits } }

    func fence(_ ordering: FenceOrdering) {}

    func loadPlain<Value: WordValue>(_ word: Word<Value>) throws(MemoryMisuse) -> Value { try load(word, .relaxed) }

    func wait<Value: WordValue>(
        for word: Word<Value>, until condition: (Value) -> Bool
    ) throws(MemoryMisuse) -> Value {
        let value = try load(word, .acquire)
        guard condition(value) else { try misuse("the processor waits for itself at \(word.address)") }
        return value
    }

    // MARK: objects

    /// Whether all of a range is in one state.
    private func all(of range: PhysicalRange, are state: UInt8) throws(MemoryMisuse) -> Bool {
        let mask = Self.grain - 1
        guard range.last.rawValue < byteCount, range.first.rawValue & mask == 0, range.last.rawValue & mask == mask
        else { try misuse("\(range) is no place for an object") }
        let first = states + Int(range.first.rawValue / Self.grain)
        let count = Int((range.last.rawValue - range.first.rawValue) / Self.grain)
        return first.pointee == state && memcmp(first, first + 1, count) == 0
    }

    private func mark(_ range: PhysicalRange, _ state: UInt8) {
        let count = (range.last.rawValue - range.first.rawValue) / Self.grain + 1
        memset(states + Int(range.first.rawValue / Self.grain), Int32(state), Int(count))
    }

    func beginLife(of range: PhysicalRange, as kind: ObjectKind) throws(MemoryMisuse) {
        guard watchesLives else { return }
        if holes[range.first.rawValue] == range {
            holes[range.first.rawValue] = nil
        } else if try all(of: range, are: State.dead) {
            objects[range.first.rawValue] = range
        } else {
            try misuse("\(range) is allocated while some of it is in use")
        }
        mark(range, State.alive)
        let bytes = range.last.rawValue - range.first.rawValue + 1
        if kind != .bookkeeping, bytes <= 1 << 20 { memset(words + Int(range.first.rawValue), 0xa7, Int(bytes)) }
    }

    func endLife(of range: PhysicalRange) throws(MemoryMisuse) {
        guard watchesLives else { return }
        if objects[range.first.rawValue] == range {
            objects[range.first.rawValue] = nil
            if !holes.isEmpty { holes = holes.filter { range.intersection($0.value) == nil } }
            return mark(range, State.dead)
        }
        guard try all(of: range, are: State.alive),
            objects.values.contains(where: { $0.contains(range.first) && $0.contains(range.last) })
        else { try misuse("\(range) is freed and is no living object") }
        holes[range.first.rawValue] = range
        mark(range, State.hole)
    }

    func isAlive(_ address: PhysicalAddress) -> Bool {
        address.rawValue < byteCount && states[Int(address.rawValue / Self.grain)] == State.alive
    }

    func fill(_ range: PhysicalRange, with pattern: UInt64) throws(MemoryMisuse) {
        guard try all(of: range, are: State.alive) else { try misuse("\(range) is filled and is no living object") }
        let first = (words + Int(range.first.rawValue)).assumingMemoryBound(to: UInt64.self)
        let count = Int((range.last.rawValue - range.first.rawValue + 1) / 8)
        first.pointee = pattern
        var done = 1
        while done < count {
            let next = min(done, count - done)
            memcpy(first + done, first, next * 8)
            done += next
        }
    }

    // MARK: failures

    /// From now on refuses those allocations of `kinds` whose numbers, counted from now, are in `numbers`.
    func refuse(_ kinds: Set<AllocationKind>, _ numbers: Range<Int> = 0 ..< .max) {
        (refusedKinds, refusedNumbers, asked, hasRefused) = (kinds, numbers, 0, false)
    }

    func allows(_ allocation: AllocationKind) -> Bool {
        guard refusedKinds.contains(allocation) else { return true }
        defer { asked += 1 }
        if refusedNumbers.contains(asked) { hasRefused = true }
        return !refusedNumbers.contains(asked)
    }

    func enforces(_ rule: SafetyRule) -> Bool { lifted.map { rule != $0 } ?? true }

    func count(_ event: SpaceEvent) { events[event, default: 0] += 1 }

    // MARK: processors

    func blockInterrupts() { interruptDepth += 1 }
    func unblockInterrupts() { interruptDepth -= 1 }
    func enterRCU() { readerDepth += 1 }
    func leaveRCU() { readerDepth -= 1 }

    private func waitForReaders(_ depth: Int) throws(MemoryMisuse) {
        guard depth == 0 else { try misuse("readers are waited for inside a section") }
        waits += 1
        whileWaiting?()
    }

    func interrupt(_ processors: ProcessorSet) throws(MemoryMisuse) { try waitForReaders(interruptDepth) }
    func synchronize() throws(MemoryMisuse) { try waitForReaders(interruptDepth + readerDepth) }
    func startGracePeriod() -> GracePeriod { GracePeriod(0) }
    func isOver(_ period: GracePeriod) -> Bool { true }

    // MARK: tables

    func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(MemoryMisuse) -> UInt64 {
        entryLoads?[address.rawValue, default: 0] += 1
        let value = try load(Word<UInt64>(address), .acquire)
        return order == .host ? value : value.byteSwapped
    }

    func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(MemoryMisuse) -> UInt32 {
        entryLoads?[address.rawValue, default: 0] += 1
        let value = try load(Word<UInt32>(address), .acquire)
        return order == .host ? value : value.byteSwapped
    }

    func table(at address: PhysicalAddress, bytes: Int) -> PhysicalAddress { address }

    func load64(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) throws(MemoryMisuse) -> UInt64 {
        try load64(PhysicalAddress(table.rawValue &+ UInt64(truncatingIfNeeded: index &* 8)), order)
    }

    func load32(_ table: PhysicalAddress, index: Int, _ order: ByteOrder) throws(MemoryMisuse) -> UInt32 {
        try load32(PhysicalAddress(table.rawValue &+ UInt64(truncatingIfNeeded: index &* 4)), order)
    }

    /// Memory is there, or something is wrong.
    func isAbsence(_ failure: MemoryMisuse) -> Bool { false }
}
