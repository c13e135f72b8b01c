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
        for model in scenario.models {
            let outcome = scenario.explore(with: Explorer(model: model))
            #expect(outcome.isExpected, "\(outcome.exploration)")
        }
    }

    @Test("is as right with store buffers as without", arguments: Scenario.all)
    func storeBuffers(_ scenario: Scenario) {
        let explorer = Explorer(model: .totalStoreOrder, budget: Budget(executions: 20_000))
        let found = scenario.explore(with: explorer).exploration
        #expect((found.counterexample != nil) == scenario.expectsViolation, "\(found)")
    }

    @Test("has a counterexample as soon as any of its rules or structures is lifted", arguments: Scenario.all)
    func lifted(_ scenario: Scenario) {
        for variation in scenario.variations {
            for model in scenario.models {
                let outcome = scenario.explore(variation, with: Explorer(model: model))
                #expect(outcome.isExpected, "lifting \(variation.name ?? "nothing"): \(outcome.exploration)")
            }
        }
    }

    @Test("has a counterexample that its schedule replays", arguments: Scenario.all)
    func replays(_ scenario: Scenario) throws {
        guard let variation = scenario.variations.last, let model = scenario.models.last else { return }
        let explorer = Explorer(model: model)
        let counterexample = try #require(scenario.explore(variation, with: explorer).exploration.counterexample)
        let replayed = scenario.replay(counterexample.schedule, variation, model: model)
        let again = try #require(replayed.exploration.counterexample)
        #expect(again.property == counterexample.property)
    }
}
