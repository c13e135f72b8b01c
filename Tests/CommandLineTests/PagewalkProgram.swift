import Foundation
import Testing

/// The built program, run as a user runs it.
enum PagewalkProgram {
    /// Beside the test bundle, whatever the configuration.
    static let url: URL = {
        #if os(Linux)
            let bundle = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        #else
            let bundle =
                Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL ?? Bundle.main.bundleURL
        #endif
        return bundle.deletingLastPathComponent().appendingPathComponent("pagewalk")
    }()

    /// What one run came to.
    struct Outcome {
        let status: Int32
        /// Whether a signal ended it: a crash.
        let wasKilled: Bool
        let output: String
        let errors: String

        var lines: [String] { output.split(separator: "\n").map(String.init) }
        var errorLines: [String] { errors.split(separator: "\n").map(String.init) }

        /// Standard output as JSON Lines.
        func objects() throws -> [[String: JSONValue]] {
            try lines.map { try JSONDecoder().decode([String: JSONValue].self, from: Data($0.utf8)) }
        }
    }

    /// Runs `pagewalk` with these arguments.
    static func run(
        _ arguments: String..., input: String = "", environment: [String: String] = [:]
    ) async throws -> Outcome {
        try await run(arguments, input: input, environment: environment)
    }

    static func run(
        _ arguments: [String], input: String = "", environment: [String: String] = [:]
    ) async throws -> Outcome {
        try await launch(url, arguments, input: input, environment: environment)
    }

    /// Runs a line of shell, in which `$pagewalk` is the program.
    static func shell(_ line: String) async throws -> Outcome {
        try await launch(
            URL(fileURLWithPath: "/bin/sh"), ["-c", line], input: "", environment: ["pagewalk": url.path])
    }

    private static func launch(
        _ program: URL, _ arguments: [String], input: String, environment: [String: String]
    ) async throws -> Outcome {
        // Files and not pipes: nobody has to read one stream while the other fills.
        let folder = try ScratchFolder()
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = try FileHandle(forReadingFrom: try folder.write(Array(input.utf8), to: "input"))
        process.standardOutput = try FileHandle(forWritingTo: try folder.write([], to: "output"))
        process.standardError = try FileHandle(forWritingTo: try folder.write([], to: "errors"))
        try await process.runToEnd()
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: folder.url.appendingPathComponent(name)), as: UTF8.self)
        }
        return Outcome(
            status: process.terminationStatus, wasKilled: process.terminationReason == .uncaughtSignal,
            output: try text("output"), errors: try text("errors"))
    }
}

extension Process {
    /// Starts and waits without blocking a thread of the tests.
    func runToEnd() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            terminationHandler = { _ in continuation.resume() }
            do {
                try run()
            } catch {
                terminationHandler = nil
                continuation.resume(throwing: error)
            }
        }
    }
}

/// A folder that goes away with its owner.
final class ScratchFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("pagewalk-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    @discardableResult
    func write(_ bytes: [UInt8], to name: String) throws -> URL {
        let file = url.appendingPathComponent(name)
        try Data(bytes).write(to: file)
        return file
    }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }
}

/// JSON that keeps numbers, strings and booleans apart.
enum JSONValue: Decodable, Equatable {
    case flag(Bool)
    case number(Double)
    case text(String)
    case list([JSONValue])
    case object([String: JSONValue])
    case null

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .flag(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .list(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    var text: String? { if case .text(let value) = self { value } else { nil } }
    var number: Int? { if case .number(let value) = self { Int(exactly: value) } else { nil } }
    var flag: Bool? { if case .flag(let value) = self { value } else { nil } }
    var list: [JSONValue]? { if case .list(let value) = self { value } else { nil } }
    var object: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }

    /// An address as reports write it: a string of lowercase hexadecimal with `0x`.
    var isAddress: Bool {
        guard let text, text.hasPrefix("0x") else { return false }
        return text.count > 2 && text.dropFirst(2).allSatisfy { $0.isHexDigit && !$0.isUppercase }
    }
}

/// Images of the repository.
enum RepositoryImage {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// An s390x machine with its description beside it: `cpu0`, `kernel`, `A`, `A.child`, `B`, `C`.
    static let sample = root.appendingPathComponent("Samples/s390x/pagetables.elf.zst").path

    /// A fixture, and the option that names its description.
    static func arguments(_ guest: String) -> [String] {
        let folder = root.appendingPathComponent("Tests/Fixtures/\(guest)")
        return [
            folder.appendingPathComponent("pagetables.elf.zst").path, "--description",
            folder.appendingPathComponent("description.json").path,
        ]
    }
}
