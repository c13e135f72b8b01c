import Foundation
import RaceScenarios
import TableMemory
import Testing

@Suite("The corpus of scenarios")
struct RuleCoverageTests {
    /// The names of rules that are declared in the sources of the targets that have a protocol between threads.
    private static func declaredRules() throws -> Set<String> {
        let sources = URL(filePath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Sources")
        var names: Set<String> = []
        for target in ["TableMemory", "PageTableWalk", "VirtualMemory"] {
            let folder = sources.appending(path: target)
            let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
            for case let file as URL in files where file.pathExtension == "swift" {
                let text = try String(contentsOf: file, encoding: .utf8)
                for declaration in text.matches(of: /static\s+var\s+(\w+)\s*:\s*SafetyRule\b/) {
                    names.insert(String(declaration.1))
                }
            }
        }
        return names
    }

    @Test func `lifts every rule that is declared`() throws {
        let declared = try Self.declaredRules()
        try #require(declared.count > 10)
        let lifted = Set(
            Scenario.all.flatMap { scenario in (scenario.rules + scenario.storeOrderRules).map { "\($0.name)" } })
        #expect(declared.subtracting(lifted) == [], "no scenario misses these rules")
        #expect(lifted.subtracting(declared) == [], "these rules are not named like their declarations")
    }

    @Test func `has each name and each question once`() {
        let scenarios = Scenario.all
        #expect(Set(scenarios.map(\.name)).count == scenarios.count)
        #expect(Set(scenarios.map(\.question)).count == scenarios.count)
    }

    @Test func `has something different for each scenario that is safe`() {
        for scenario in Scenario.all where !scenario.expectsViolation {
            #expect(!scenario.variations.isEmpty, "\(scenario.name) could pass because nothing happens in it")
        }
    }
}
