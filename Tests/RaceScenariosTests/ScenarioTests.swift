import Interleaving
import RaceScenarios
import TableMemory
import Testing

extension Scenario: CustomTestStringConvertible {
    public var testDescription: String { name }
}

@Suite("A scenario")
struct ScenarioTests {
    @Test("has the verdict that it claims with all rules in force", arguments: Scenario.all)
    func enforced(_ scenario: Scenario) {
        let outcome = scenario.explore()
        #expect(outcome.isExpected, "\(outcome.exploration)")
    }

    @Test("has a counterexample as soon as any of its rules or structures is lifted", arguments: Scenario.all)
    func lifted(_ scenario: Scenario) {
        for variation in scenario.variations {
            let outcome = scenario.explore(variation)
            #expect(outcome.isExpected, "lifting \(variation.name ?? "nothing"): \(outcome.exploration)")
        }
    }

    @Test("has a counterexample that its schedule replays", arguments: Scenario.all)
    func replays(_ scenario: Scenario) throws {
        guard let variation = scenario.variations.first else { return }
        let counterexample = try #require(scenario.explore(variation).exploration.counterexample)
        let again = try #require(scenario.replay(counterexample.schedule, variation).exploration.counterexample)
        #expect(again.property == counterexample.property)
    }
}
