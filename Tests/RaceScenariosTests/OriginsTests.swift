import Foundation
import RaceScenarios
import Testing

/// The table of demands names functions, tests and scenarios, and names are easily left behind.
@Suite("What the documentation answers the origins with")
struct OriginsTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The names in the cells of the tables: functions, tests and scenarios.
    private static func names() throws -> [(functions: [String], tests: [String], scenarios: [String])] {
        let text = try String(contentsOf: root.appending(path: "Documentation/Origins.md"), encoding: .utf8)
        return text.split(separator: "\n").compactMap { line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map { $0.split(separator: "`") }
            guard cells.count == 6, line.hasPrefix("| "), !line.hasPrefix("| demand") else { return nil }
            let quoted = cells.map { cell in
                cell.enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
            }
            return (quoted[2], quoted[3], quoted[4])
        }
    }

    private static func sources(of folder: String) throws -> String {
        let files = FileManager.default.enumerator(at: root.appending(path: folder), includingPropertiesForKeys: nil)
        return try (files?.allObjects as? [URL] ?? []).filter { $0.pathExtension == "swift" }
            .map { try String(contentsOf: $0, encoding: .utf8) }.joined()
    }

    @Test func `are functions that exist`() throws {
        let sources = try Self.sources(of: "Sources")
        for name in try Self.names().flatMap(\.functions) {
            let last = name.split(separator: ".").last ?? ""
            let isThere = ["func ", "struct ", "enum ", "class ", "protocol ", "var ", "let "].contains { keyword in
                sources.contains("\(keyword)\(last)")
            }
            #expect(isThere, "\(name) is nowhere declared")
        }
    }

    @Test func `are tests that exist`() throws {
        let tests = try Self.sources(of: "Tests")
        for name in try Self.names().flatMap(\.tests) {
            let isThere = tests.contains("func `\(name)`") || tests.contains("\"\(name)\"")
            #expect(isThere, "no test is called \(name)")
        }
    }

    @Test func `are scenarios that exist`() throws {
        let known = Set(Scenario.all.map(\.name))
        let named = try Self.names().flatMap(\.scenarios)
        #expect(named.count > 40)
        for name in named { #expect(known.contains(name), "no scenario is called \(name)") }
    }
}
