/// An atomic integer whose every access is a scheduling point.
///
/// Make it in set-up (or in a thread) of the execution it belongs to; it means nothing in another. Loads and stores have the
/// order of the exploration's memory model.
public struct ExploredAtomic<Value: FixedWidthInteger> {
    private let execution: Execution
    private let word: Int
    /// What other steps name to depend on this word.
    public let object: ObjectID

    /// - Parameters:
    ///   - name, index: what counterexamples call it: `name` or `name[index]`.
    public init(_ value: Value, in execution: Execution, _ name: StaticString = "", index: Int = -1) {
        precondition(Value.bitWidth <= 64, "a word has at most 64 bits")
        self.execution = execution
        object = execution.newObject()
        word = execution.words.add(UInt64(truncatingIfNeeded: value), object, name, index)
    }

    @inline(__always)
    private var thread: Int { execution.core.pointee.current }

    private var name: String { execution.words.name(of: word) }

    @inline(__always)
    private func seen(_ raw: UInt64) -> Value {
        execution.observe(raw)
        return Value(truncatingIfNeeded: raw)
    }

    public func load(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> Value {
        try execution.step(Access(.read, object, rule: rule, fileID: fileID, line: line), "load \(name)")
        let value = seen(execution.value(of: word, object))
        execution.note(" → \(value)")
        return value
    }

    public func store(
        _ value: Value, rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) {
        let access = Access(.write, object, rule: rule, fileID: fileID, line: line)
        if execution.buffersStores {
            return try execution.buffer(
                UInt64(truncatingIfNeeded: value), access, word: word, "store \(name) ← \(value)")
        }
        try execution.step(access, "store \(name) ← \(value)")
        execution.replaced(execution.words.exchange(word, UInt64(truncatingIfNeeded: value), by: thread))
    }

    /// Stores a value and returns the old one.
    @discardableResult
    public func exchange(
        _ value: Value, rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> Value {
        try execution.step(
            Access(.readModifyWrite, object, rule: rule, fileID: fileID, line: line), "exchange \(name) ← \(value)")
        let raw = execution.words.exchange(word, UInt64(truncatingIfNeeded: value), by: thread)
        execution.replaced(raw)
        let old = seen(raw)
        execution.note(", was \(old)")
        return old
    }

    /// Stores `desired` if the value is `expected`. Never fails spuriously.
    public func compareExchange(
        expected: Value, desired: Value, rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> (exchanged: Bool, original: Value) {
        try update(
            Access(.readModifyWrite, object, rule: rule, fileID: fileID, line: line),
            "compare-exchange \(name) \(expected) ⇒ \(desired)"
        ) { $0 == expected ? desired : nil }
    }

    /// Adds, wrapping around, and returns the old value.
    @discardableResult
    public func add(
        _ operand: Value, rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> Value {
        try update(
            Access(.readModifyWrite, object, rule: rule, fileID: fileID, line: line), "add \(operand) to \(name)"
        ) {
            $0 &+ operand
        }.original
    }

    /// Subtracts, wrapping around, and returns the old value.
    @discardableResult
    public func subtract(
        _ operand: Value, rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line
    ) throws(Abandoned) -> Value {
        try update(
            Access(.readModifyWrite, object, rule: rule, fileID: fileID, line: line), "subtract \(operand) from \(name)"
        ) { $0 &- operand }.original
    }

    /// Any read-modify-write: `next` returns the new value, or nil to leave the old.
    @discardableResult
    public func update(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line, _ next: (Value) -> Value?
    ) throws(Abandoned) -> (exchanged: Bool, original: Value) {
        try update(Access(.readModifyWrite, object, rule: rule, fileID: fileID, line: line), "update \(name)", next)
    }

    @inline(__always)
    private func update(
        _ access: Access, _ label: @autoclosure () -> String, _ next: (Value) -> Value?
    ) throws(Abandoned) -> (exchanged: Bool, original: Value) {
        try execution.step(access, label())
        let raw = execution.words.load(word, by: thread)
        let original = seen(raw)
        guard let value = next(original) else {
            execution.changedNothing()
            execution.note(", failed: \(original)")
            return (false, original)
        }
        execution.words.store(word, UInt64(truncatingIfNeeded: value), by: thread)
        execution.replaced(raw)
        execution.note(", was \(original)")
        return (true, original)
    }

    /// Waits until `condition` holds for the value, and returns that value. What a spin loop on this word does, in one step.
    @discardableResult
    public func wait(
        rule: StaticString = "", fileID: StaticString = #fileID, line: UInt = #line, until condition: (Value) -> Bool
    ) throws(Abandoned) -> Value {
        if execution.hasStored(to: object) {
            // The buffer may still answer, which the wait below is too late for.
            let value = try load(rule: rule, fileID: fileID, line: line)
            if condition(value) { return value }
        }
        try execution.wait(
            Access(.wait, object, rule: rule, drainsStores: false, fileID: fileID, line: line),
            value: { execution.words.load(word, by: thread) }, until: { condition(Value(truncatingIfNeeded: $0)) },
            "wait for \(name)")
        let value = seen(execution.words.load(word, by: thread))
        execution.note(" → \(value)")
        return value
    }

    /// The value that a load would see, without a scheduling point: for final checks, and for assertions that are no part of the
    /// program.
    public var unscheduledValue: Value { Value(truncatingIfNeeded: execution.value(of: word, object)) }
}
