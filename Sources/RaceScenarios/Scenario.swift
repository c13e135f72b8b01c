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
    /// The rules and the wrong structures that need a store buffer to be missed: without one of them there is a
    /// counterexample under total store order, and none under sequential consistency.
    public let storeOrderRules: [SafetyRule]
    let storeOrderStructures: [any WrongStructure.Type]
    /// The memory models that it is about.
    public let models: [MemoryModel]
    /// The entries of the corpus of races that it answers: see `Documentation/Protocols.md`.
    public let races: [String]
    /// The protocol is unsafe as it stands: a cell of a matrix that documentation calls unsafe.
    public let expectsViolation: Bool
    let program: @Sendable (Execution, Variation) throws -> Void

    init(
        _ name: String, _ question: String, rules: [SafetyRule], structures: [any WrongStructure.Type] = [],
        storeOrderRules: [SafetyRule] = [], storeOrderStructures: [any WrongStructure.Type] = [],
        races: [String] = [], models: [MemoryModel] = [.sequential], expectsViolation: Bool = false,
        _ program: @escaping @Sendable (Execution, Variation) throws -> Void
    ) {
        self.name = name
        self.question = question
        self.rules = rules
        self.structures = structures
        self.storeOrderRules = storeOrderRules
        self.storeOrderStructures = storeOrderStructures
        self.models = models
        self.races = races
        self.expectsViolation = expectsViolation
        self.program = program
    }

    /// All scenarios, by name.
    public static var all: [Scenario] {
        (frames + fragments + faults + fillings + walks + pins + remaps + growth + halfEntries + moves + collapses
            + retractions + files + copies + fileSizes + reverseMaps + fileTranslations + users + translations + flushes
            + mirrors + dirtyRecords + surveys + records + guests)
            .sorted { $0.name < $1.name }
    }

    /// Everything that can be different in the scenario and must then have a counterexample.
    public var variations: [Variation] {
        allRules.map(Variation.lifting) + allStructures.map(Variation.using)
    }

    var allRules: [SafetyRule] { rules + storeOrderRules }
    var allStructures: [any WrongStructure.Type] { structures + storeOrderStructures }

    /// Explores the scenario, in the model of the explorer.
    public func explore(_ variation: Variation = .none, with explorer: Explorer = Explorer()) -> ScenarioOutcome {
        outcome(variation, explorer.explore { try program($0, variation) })
    }

    /// Runs one schedule again.
    public func replay(
        _ schedule: Schedule, _ variation: Variation = .none, model: MemoryModel = .sequential
    ) -> ScenarioOutcome {
        outcome(variation, Explorer(model: model).replay(schedule) { try program($0, variation) })
    }

    private func outcome(_ variation: Variation, _ exploration: Exploration) -> ScenarioOutcome {
        ScenarioOutcome(
            scenario: name, lifted: variation.name,
            expectsViolation: expectsViolation || matters(variation, in: exploration.model), exploration: exploration)
    }

    private func matters(_ variation: Variation, in model: MemoryModel) -> Bool {
        guard let name = variation.name else { return false }
        if model == .totalStoreOrder { return true }
        return !storeOrderRules.contains { "\($0.name)" == name } && !storeOrderStructures.contains { $0.name == name }
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
