/// A line of a protocol that exists only for safety.
///
/// Each such line stands behind `if memory.enforces(.theRule) { … }`, without an `else`. On the host that is a constant true
/// and disappears. A checker lifts one rule at a time: with all enforced there must be no counterexample, and with any one
/// lifted there must be one; a rule whose lifting nothing detects is either not needed or not tested.
///
/// A rule is declared beside the protocol that it belongs to, in an extension of this type.
public struct SafetyRule: Sendable {
    public let name: StaticString
    /// What the rule demands, and of whom.
    public let demand: StaticString
    /// What happens without it, and where it once did.
    public let history: StaticString

    @inlinable
    public init(name: StaticString, demand: StaticString, history: StaticString) {
        self.name = name
        self.demand = demand
        self.history = history
    }
}

extension SafetyRule: Equatable {
    /// Rules are told apart by their names.
    public static func == (left: SafetyRule, right: SafetyRule) -> Bool {
        left.name.utf8CodeUnitCount == right.name.utf8CodeUnitCount
            && left.name.withUTF8Buffer { left in right.name.withUTF8Buffer { left.elementsEqual($0) } }
    }
}
