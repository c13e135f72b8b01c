import ExploredMemory
import Interleaving
import TableMemory

/// A question about a protocol that exploration decides: threads that call the production functions, and what must hold.
///
/// With all rules in force there is no counterexample (unless `expectsViolation`), and with any of `rules` lifted there is one.
public struct Scenario: Sendable {
    public let name: String
    /// What is asked, in one line.
    public let question: String
    /// The rules that the answer depends on.
    public let rules: [SafetyRule]
    /// The protocol is unsafe as it stands: a cell of a matrix that documentation calls unsafe.
    public let expectsViolation: Bool
    let program: @Sendable (Execution, SafetyRule?) throws -> Void

    init(
        _ name: String, _ question: String, rules: [SafetyRule], expectsViolation: Bool = false,
        _ program: @escaping @Sendable (Execution, SafetyRule?) throws -> Void
    ) {
        self.name = name
        self.question = question
        self.rules = rules
        self.expectsViolation = expectsViolation
        self.program = program
    }

    /// All scenarios, by name.
    public static var all: [Scenario] { (frames + walks).sorted { $0.name < $1.name } }

    /// Explores the scenario.
    ///
    /// - Parameter rule: The rule that is not in force; `nil` for none.
    public func explore(lifting rule: SafetyRule? = nil, with explorer: Explorer = Explorer()) -> ScenarioOutcome {
        let exploration = explorer.explore { try program($0, rule) }
        return ScenarioOutcome(
            scenario: name, lifted: rule, expectsViolation: expectsViolation || rule != nil, exploration: exploration)
    }

    /// Runs one schedule again.
    public func replay(_ schedule: Schedule, lifting rule: SafetyRule? = nil) -> ScenarioOutcome {
        ScenarioOutcome(
            scenario: name, lifted: rule, expectsViolation: expectsViolation || rule != nil,
            exploration: Explorer().replay(schedule) { try program($0, rule) })
    }
}

/// What exploring a scenario came to.
public struct ScenarioOutcome: Sendable {
    public let scenario: String
    public let lifted: SafetyRule?
    public let expectsViolation: Bool
    public let exploration: Exploration

    /// Whether the verdict is the one that the scenario claims. A search that hit a budget is none.
    public var isExpected: Bool {
        expectsViolation ? exploration.counterexample != nil : exploration.isExhausted
    }
}
