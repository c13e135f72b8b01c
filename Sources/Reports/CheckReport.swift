import Interleaving
import RaceScenarios
import TableMemory

/// Writes what explorations of scenarios came to.
public struct CheckReport: Sendable {
    private let style: Style

    public init(style: Style = Style(isColoured: false)) { self.style = style }

    public func appendListing(_ scenario: Scenario, json: Bool, to buffer: inout ReportBuffer) {
        let rules = scenario.variations.compactMap(\.name)
        if json {
            buffer.json { line in
                line.string("scenario", scenario.name)
                line.string("question", scenario.question)
                line.strings("rules", rules)
                line.strings("races", scenario.races)
                line.string("expected", scenario.expectsViolation ? "violation" : "none")
            }
        } else {
            style.paint(.bold, &buffer) { $0.append(text: scenario.name) }
            buffer.append(text: "\n  \(scenario.question)\n")
            if scenario.expectsViolation { buffer.append("  expected: a violation, with all rules in force\n") }
            if !scenario.races.isEmpty {
                buffer.append(text: "  answers: \(scenario.races.joined(separator: ", "))\n")
            }
            if !rules.isEmpty { buffer.append(text: "  can be lifted: \(rules.joined(separator: ", "))\n") }
        }
    }

    /// - Parameter withSteps: Whether a counterexample is shown step by step, in text.
    public func append(
        _ outcome: ScenarioOutcome, json: Bool, withSteps: Bool, to buffer: inout ReportBuffer
    ) {
        if json { return appendJSON(outcome, to: &buffer) }
        let exploration = outcome.exploration
        style.paint(outcome.isExpected ? .green : .red, &buffer) {
            $0.append(text: outcome.isExpected ? "as expected" : "NOT EXPECTED", width: 13)
        }
        style.paint(.bold, &buffer) { $0.append(text: outcome.scenario, width: 49) }
        buffer.append(text: outcome.lifted.map { "without \($0)" } ?? "all rules", width: 42)
        buffer.append(text: exploration.model.rawValue, width: 5)
        buffer.append(text: Self.verdict(of: exploration), width: 14)
        buffer.append(text: "\(exploration.executions) executions\n")
        guard withSteps else { return }
        if let counterexample = exploration.counterexample {
            let lift = outcome.lifted.map { " --lift \($0)" } ?? ""
            let model = exploration.model == .sequential ? "" : " --model \(exploration.model.rawValue)"
            buffer.append(text: counterexample.table)
            buffer.append(
                text:
                    "\nreplay: pagewalk check \(outcome.scenario)\(lift)\(model) --replay \(counterexample.schedule)\n")
        } else if !outcome.isExpected {
            buffer.append(text: "\(exploration)\n")
        }
    }

    private func appendJSON(_ outcome: ScenarioOutcome, to buffer: inout ReportBuffer) {
        let exploration = outcome.exploration
        buffer.json { line in
            line.string("scenario", outcome.scenario)
            if let rule = outcome.lifted { line.string("lifted", rule) } else { line.null("lifted") }
            line.string("model", exploration.model.description)
            line.string("verdict", Self.verdict(of: exploration))
            line.string("expected", outcome.expectsViolation ? "violation" : "none")
            line.number("executions", exploration.executions)
            line.number("steps", exploration.steps)
            line.seconds("seconds", exploration.seconds)
            if let counterexample = exploration.counterexample {
                line.string("property", counterexample.property)
                line.string("replay", "\(counterexample.schedule)")
            } else {
                line.null("property")
                line.null("replay")
            }
        }
    }

    private static func verdict(of exploration: Exploration) -> String {
        switch exploration.verdict {
        case .violation: "violation"
        case .none: "none"
        case .notExhausted: "notExhausted"
        }
    }
}
