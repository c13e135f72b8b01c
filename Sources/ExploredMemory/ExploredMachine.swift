import Interleaving
import PageTables
import TableMemory

// A machine for the explorer: words, objects that live and die, and processors that block interrupts.
//
// - Every access to a word is a step of the explorer on the object that the word's address names, and so is the end of an
//   object's life, on all words of the object: use and freeing are explored in both orders.
// - A word outside every living object is not memory. Touching it is a violation: a use of something freed, or a walker that
//   left its tables.
// - Blocking interrupts, reading under RCU, sending an interrupt and waiting for it are steps on the processors' sections.
//   Whoever waits is disabled until the sections that had begun are over.
// - Under total store order a store waits in the buffer of the thread that runs on the processor, and is a step on its word when
//   it is performed: see `ExploredMachine+Stores.swift`.

/// Memory, processors and the rules in force, for one execution of an exploration.
///
/// Made anew by each execution, used on the explorer's thread only.
public final class ExploredMachine {
    let execution: Execution
    private let lifted: SafetyRule?
    /// Which allocations of threads may fail, as a choice of the explorer.
    private let failing: Set<AllocationKind>
    var words: [UInt64: UInt64] = [:]
    private var objects: [PhysicalRange] = []
    /// Parts of living objects that are dead: fragments of a frame that are no table at the moment.
    private var holes: [PhysicalRange] = []
    var sections: [Sections] = []
    private var periods: [Waited] = []

    /// What one processor is in.
    struct Sections {
        var interruptDepth = 0
        var readerDepth = 0
        /// Sections of each kind that have ended.
        var interruptsEnded = 0
        var readersEnded = 0
        /// The last stores of the threads that run on it.
        var lastStores: [LastStore] = []
        /// What those were when each of the sections ended.
        var storesAtInterruptsEnds: [[LastStore]] = []
        var storesAtReadersEnds: [[LastStore]] = []
    }

    struct LastStore {
        let thread: Int
        var mark: StoreMark
    }

    /// A section that somebody waits for.
    struct Waiting {
        let processor: Int
        let isReader: Bool
        let ended: Int
    }

    /// What somebody waits for: sections that are open, and stores that processors outside of one had made.
    struct Waited {
        var sections: [Waiting] = []
        var stores: [LastStore] = []
    }

    /// - Parameters:
    ///   - processors: At most 8.
    ///   - lifted: The rule that is not enforced, if any.
    public init(
        _ execution: Execution, processors: Int, lifting lifted: SafetyRule? = nil, failing: Set<AllocationKind> = []
    ) {
        precondition(processors > 0 && processors <= 8, "an explored machine has at most 8 processors")
        self.execution = execution
        self.lifted = lifted
        self.failing = failing
        sections = [Sections](repeating: Sections(), count: processors)
        // A counterexample shows the protocol's lines, not the memory's; and of a lock the line that takes it.
        execution.transparentModules = ["ExploredMemory", "TableMemory"]
        if execution.model == .totalStoreOrder { execution.performStore = { self.performStore($1, to: $0) } }
    }

    /// The memory as a processor sees it.
    public func processor(_ number: Int) -> ExploredMemory {
        precondition(sections.indices.contains(number), "the machine has no such processor")
        return ExploredMemory(machine: self, processor: ProcessorNumber(number))
    }

    func enforces(_ rule: SafetyRule) -> Bool {
        let isInForce = rule != lifted
        // What a rule guards begins with an access, nearly always.
        execution.nextStep(belongsTo: isInForce ? "\(rule.name)" : "without \(rule.name)")
        return isInForce
    }

    /// Ends the execution: something is wrong that the memory cannot see.
    public func violate(_ property: String) throws(Abandoned) -> Never { try execution.violate(property) }

    // MARK: words

    static func object(_ address: PhysicalAddress) -> ObjectID { ObjectID(address.rawValue &+ 1) }

    func isAlive(_ address: PhysicalAddress) -> Bool {
        objects.contains { $0.contains(address) } && !holes.contains { $0.contains(address) }
    }

    private func requireLife(_ address: PhysicalAddress, _ what: String) throws(Abandoned) {
        guard isAlive(address) else {
            try execution.violate("\(what) at \(address), which is in no living object")
        }
    }

    /// One step on a word, with its value before; returns the value before.
    func step<Value: WordValue>(
        _ kind: AccessKind, _ word: Word<Value>, _ label: @autoclosure () -> String, rule: StaticString = "",
        _ change: (Value) -> Value?
    ) throws(Abandoned) -> Value {
        let address = word.address
        let access = Access(kind, Self.object(address), rule: rule)
        try execution.step(access, "\(label()) \(address)")
        if kind == .read, let own = execution.bufferedValue(of: access.object) {
            execution.observe(own)
            execution.note(": \(hexadecimal(own))")
            return Value(truncatingIfNeeded: own)
        }
        try requireLife(address, label())
        let before = Value(truncatingIfNeeded: words[address.rawValue] ?? 0)
        execution.observe(UInt64(before))
        if let after = change(before) {
            words[address.rawValue] = UInt64(after)
            execution.replaced(UInt64(before))
            execution.note(": \(hexadecimal(UInt64(before))) -> \(hexadecimal(UInt64(after)))")
        } else {
            if kind == .readModifyWrite { execution.changedNothing() }
            execution.note(": \(hexadecimal(UInt64(before)))")
        }
        return before
    }

    func wait<Value: WordValue>(for word: Word<Value>, until condition: (Value) -> Bool) throws(Abandoned) -> Value {
        let address = word.address
        if execution.hasStored(to: Self.object(address)) {
            // The buffer may still answer, which the wait below is too late for.
            let value = try step(.read, word, "load") { _ in nil }
            if condition(value) { return value }
        }
        try execution.wait(
            Access(.wait, Self.object(address), drainsStores: false), value: { words[address.rawValue] ?? 0 },
            until: { condition(Value(truncatingIfNeeded: $0)) }, "wait for \(address)")
        try requireLife(address, "wait")
        let value = Value(truncatingIfNeeded: words[address.rawValue] ?? 0)
        execution.observe(UInt64(value))
        return value
    }

    // MARK: objects

    /// The words of a range but the first, whether anybody has used them or not: others may do so between the announcement of
    /// a step and the step. Halves of 8 bytes count where they are used, as they are in bookkeeping only.
    private func furtherWords(of range: PhysicalRange) -> [ObjectID] {
        let halves = words.keys.filter { $0 % 8 != 0 && range.contains(PhysicalAddress($0)) }.sorted()
        let whole = stride(from: range.first.rawValue, through: range.last.rawValue, by: 8).dropFirst()
        return (whole + halves).map { Self.object(PhysicalAddress($0)) }
    }

    func beginLife(of range: PhysicalRange, as kind: ObjectKind) throws(Abandoned) {
        try change(range, "\(kind) begins at \(range.first)")
        if let hole = holes.firstIndex(of: range) {
            holes.remove(at: hole)
            return
        }
        guard !objects.contains(where: { $0.intersection(range) != nil }) else {
            try execution.violate("\(range) is allocated while some of it is in use")
        }
        objects.append(range)
    }

    func endLife(of range: PhysicalRange) throws(Abandoned) {
        try change(range, "object ends at \(range.first)")
        if let index = objects.firstIndex(of: range) {
            objects.remove(at: index)
            holes.removeAll { $0.intersection(range) != nil }
            return
        }
        let isPart = objects.contains { $0.contains(range.first) && $0.contains(range.last) }
        guard isPart, !holes.contains(where: { $0.intersection(range) != nil }) else {
            try execution.violate("\(range) is freed and is no living object")
        }
        holes.append(range)
    }

    func fill(_ range: PhysicalRange, with pattern: UInt64) throws(Abandoned) {
        try change(range, "fill \(range.first)")
        try requireLife(range.first, "fill")
        for address in stride(from: range.first.rawValue, through: range.last.rawValue, by: 8) {
            words[address] = pattern
            // Where words of 32 bits were used, the upper one has a place of its own.
            if words[address + 4] != nil { words[address + 4] = pattern >> 32 }
        }
    }

    private func change(_ range: PhysicalRange, _ label: @autoclosure () -> String) throws(Abandoned) {
        try execution.step(
            Access(.readModifyWrite, Self.object(range.first)), also: furtherWords(of: range), label())
    }

    func allows(_ allocation: AllocationKind) throws(Abandoned) -> Bool {
        guard failing.contains(allocation), execution.thread != nil else { return true }
        return try execution.choose(2, "\(allocation) succeeds") == 0
    }

    // MARK: sections

    private static func sectionObject(_ processor: Int, isReader: Bool) -> ObjectID {
        ObjectID(1 << 62 | UInt64(processor) << 1 | (isReader ? 1 : 0))
    }

    func enter(_ processor: Int, isReader: Bool) throws(Abandoned) {
        try execution.step(
            Access(.readModifyWrite, Self.sectionObject(processor, isReader: isReader), drainsStores: false),
            isReader ? "enter RCU section" : "block interrupts")
        if isReader { sections[processor].readerDepth += 1 } else { sections[processor].interruptDepth += 1 }
    }

    func leave(_ processor: Int, isReader: Bool) throws(Abandoned) {
        try execution.step(
            Access(.readModifyWrite, Self.sectionObject(processor, isReader: isReader), drainsStores: false),
            isReader ? "leave RCU section" : "unblock interrupts")
        if isReader {
            sections[processor].readerDepth -= 1
            if sections[processor].readerDepth == 0 {
                sections[processor].readersEnded += 1
                sections[processor].storesAtReadersEnds.append(sections[processor].lastStores)
            }
        } else {
            sections[processor].interruptDepth -= 1
            if sections[processor].interruptDepth == 0 {
                sections[processor].interruptsEnded += 1
                sections[processor].storesAtInterruptsEnds.append(sections[processor].lastStores)
            }
        }
    }

    private func isOver(_ waiting: Waiting) -> Bool {
        let section = sections[waiting.processor]
        return waiting.isReader
            ? section.readerDepth == 0 || section.readersEnded != waiting.ended
            : section.interruptDepth == 0 || section.interruptsEnded != waiting.ended
    }

    /// Looks which sections are open, as one step, and returns them.
    private func open(
        _ processors: ProcessorSet, withReaders: Bool, _ label: @autoclosure () -> String
    ) throws(Abandoned) -> Waited {
        let numbers = sections.indices.filter { processors.contains(ProcessorNumber($0)) }
        let kinds = withReaders ? [false, true] : [false]
        var looked = numbers.flatMap { number in kinds.map { Self.sectionObject(number, isReader: $0) } }
        guard let first = looked.first else { return Waited() }
        if execution.buffersStores { looked += numbers.map(Self.bufferObject) }
        try execution.step(Access(.read, first, drainsStores: true), also: Array(looked.dropFirst()), label())
        var waited = Waited()
        for number in numbers {
            let section = sections[number]
            let open = kinds.compactMap { isReader in
                let isOpen = isReader ? section.readerDepth > 0 : section.interruptDepth > 0
                let ended = isReader ? section.readersEnded : section.interruptsEnded
                return isOpen ? Waiting(processor: number, isReader: isReader, ended: ended) : nil
            }
            waited.sections += open
            // Who is in no section is interrupted now.
            if open.isEmpty { waited.stores += section.lastStores }
        }
        return waited
    }

    private func wait(for waited: Waited, _ label: @autoclosure () -> String) throws(Abandoned) {
        let objects = waited.sections.map { Self.sectionObject($0.processor, isReader: $0.isReader) }
        if let first = objects.first {
            try execution.wait(
                Access(.wait, first), also: Array(objects.dropFirst()), until: { waited.sections.allSatisfy(isOver) },
                label())
        }
        try waitForStores(waited)
    }

    func interrupt(_ processors: ProcessorSet, from sender: Int) throws(Abandoned) {
        guard sections[sender].interruptDepth == 0 else {
            try execution.violate("cpu \(sender) sends an interrupt with its own blocked")
        }
        let waited = try open(processors, withReaders: false, "send interrupt")
        try wait(for: waited, "interrupt is taken")
    }

    func synchronize(from waiter: Int) throws(Abandoned) {
        guard sections[waiter].interruptDepth == 0 && sections[waiter].readerDepth == 0 else {
            try execution.violate("cpu \(waiter) waits for a grace period inside a section")
        }
        let waited = try open(.all, withReaders: true, "grace period begins")
        try wait(for: waited, "grace period ends")
    }

    func startGracePeriod() throws(Abandoned) -> GracePeriod {
        periods.append(try open(.all, withReaders: true, "grace period begins"))
        return GracePeriod(UInt64(periods.count - 1))
    }

    func isOver(_ period: GracePeriod) throws(Abandoned) -> Bool {
        let waited = periods[Int(period.rawValue)]
        let objects = waited.sections.map { Self.sectionObject($0.processor, isReader: $0.isReader) }
        if let first = objects.first {
            try execution.step(Access(.read, first), also: Array(objects.dropFirst()), "is the grace period over?")
            guard waited.sections.allSatisfy(isOver) else { return false }
        }
        try waitForStores(waited)
        return true
    }
}
