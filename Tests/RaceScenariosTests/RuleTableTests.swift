import Foundation
import RaceScenarios
import Testing

@Suite("RuleTableTests")
struct RuleTableTests {
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Documentation/SafetyRules.md")

    @Test("The rules in the documentation are those of the corpus")
    func table() throws {
        let table = Scenario.documentation
        if ProcessInfo.processInfo.environment["PAGEWALK_WRITE_RULES"] != nil {
            try table.write(to: Self.file, atomically: true, encoding: .utf8)
        }
        let written = try String(contentsOf: Self.file, encoding: .utf8)
        #expect(written == table, "`make rules` writes it anew")
    }
}
