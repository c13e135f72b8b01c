import ExploredMemory
import Interleaving
import TableMemory

/// A question about a protocol that exploration decides: threads that call the production functions, and what must hold.
///
/// With all rules in force and the right structure there is no counterexample (unless `expectsViolation`); with any of `rules`
/// lifted, or any of `structures` in its place, there is one.
public struct Scenario: Sendable {
    public let name: String
    /// What is asked, in one line.
    public let question: String
    /// The rules that the answer depends on.
    public let rules: [SafetyRule]
    /// The wrong structures that it shows the consequences of.
    let structures: [any WrongStructure.Type]
    /// The entries of the corpus of races that it answers: see `Documentation/Protocols.md`.
    public let races: [String]
    /// The protocol is unsafe as it stands: a cell of a matrix that documentation calls unsafe.
    public let expectsViolation: Bool
    let program: @Sendable (Execution, Variation) throws -> Void

    init(
        _ name: String, _ question: String, rules: [SafetyRule], structures: [any WrongStructure.Type] = [],
        races: [String] = [], expectsViolation: Bool = false,
        _ program: @escaping @Sendable (Execution, Variation) throws -> Void
    ) {
        self.name = name
        self.question = question
        self.rules = rules
        self.structures = structures
        self.races = races
        self.expectsViolation = expectsViolation
        self.program = program
    }

    /// All scenarios, by name.
    public static var all: [Scenario] {
        (frames + fragments + faults + walks + pins + remaps + growth + halfEntries + moves + collapses + retractions
            + files)
            .sorted { $0.name < $1.name }
    }

    /// Everything that can be different in the scenario and must then have a counterexample.
    public var variations: [Variation] { rules.map(Variation.lifting) + structures.map(Variation.using) }

    /// Explores the scenario.
    public func explore(_ variation: Variation = .none, with explorer: Explorer = Explorer()) -> ScenarioOutcome {
        outcome(variation, explorer.explore { try program($0, variation) })
    }

    /// Runs one schedule again.
    public func replay(_ schedule: Schedule, _ variation: Variation = .none) -> ScenarioOutcome {
        outcome(variation, Explorer().replay(schedule) { try program($0, variation) })
    }

    private func outcome(_ variation: Variation, _ exploration: Exploration) -> ScenarioOutcome {
        ScenarioOutcome(
            scenario: name, lifted: variation.name, expectsViolation: expectsViolation || variation.name != nil,
            exploration: exploration)
    }
}

/// What exploring a scenario came to.
public struct ScenarioOutcome: Sendable {
    public let scenario: String
    /// The rule or structure that was different; `nil` for none.
    public let lifted: String?
    public let expectsViolation: Bool
    public let exploration: Exploration

    /// Whether the verdict is the one that the scenario claims. A search that hit a budget is none.
    public var isExpected: Bool {
        expectsViolation ? exploration.counterexample != nil : exploration.isExhausted
    }
}
