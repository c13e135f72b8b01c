import Foundation
import Testing

/// Each file in `Witnesses` is compiled against the built modules. The first comment of one that must not compile is
/// `// expected:` and what the compiler says.
@Suite("Misuse of witnesses does not compile")
struct WitnessTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Witnesses")
    private static let right = "WalksInsideItsSection.swift"

    private static let wrong: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".swift") && $0 != right }.sorted()
    }()

    /// Beside or above the test bundle, whatever the configuration.
    private func modules() throws -> URL {
        #if os(Linux)
            var place = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        #else
            var place =
                Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL ?? Bundle.main.bundleURL
        #endif
        while place.pathComponents.count > 1 {
            place.deleteLastPathComponent()
            let modules = place.appendingPathComponent("Modules")
            let module = modules.appendingPathComponent("HostMemory.swiftmodule").path
            if FileManager.default.fileExists(atPath: module) { return modules }
        }
        throw CocoaError(.fileNoSuchFile)
    }

    private func compiler() throws -> URL {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let candidates = folders.map { URL(fileURLWithPath: String($0)).appendingPathComponent("swiftc") }
        return try #require(
            candidates.first { FileManager.default.isExecutableFile(atPath: $0.path) }, "swiftc is not in PATH")
    }

    /// Compiles as far as everything is diagnosed; noncopyable values are checked after types are.
    private func compile(_ name: String) throws -> (succeeds: Bool, messages: String) {
        let headers = Self.folder.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Sources/CHostAtomics/include")
        let (process, messages) = (Process(), Pipe())
        process.executableURL = try compiler()
        process.arguments = [
            "-emit-sil", "-o", "/dev/null", "-swift-version", "6", "-parse-as-library", "-module-name", "Snippet",
            "-I", try modules().path, "-I", headers.path, Self.folder.appendingPathComponent(name).path,
        ]
        process.standardError = messages
        try process.run()
        let text = messages.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus == 0, String(decoding: text, as: UTF8.self))
    }

    @Test func `walks inside of their sections compile`() throws {
        let outcome = try compile(Self.right)
        #expect(outcome.succeeds, "\(outcome.messages)")
    }

    @Test func `there are snippets to try`() {
        #expect(Self.wrong.count >= 10)
    }

    @Test(arguments: wrong)
    func `a snippet that misuses a witness is refused for its reason`(name: String) throws {
        let source = try String(contentsOf: Self.folder.appendingPathComponent(name), encoding: .utf8)
        let marker = "// expected: "
        let line = try #require(source.split(separator: "\n").first { $0.hasPrefix(marker) })
        let expected = line.dropFirst(marker.count)
        let outcome = try compile(name)
        #expect(!outcome.succeeds)
        let errors = outcome.messages.split(separator: "\n").filter { $0.contains("error: ") }
        #expect(errors.contains { $0.contains(expected) }, "\(outcome.messages)")
    }
}
