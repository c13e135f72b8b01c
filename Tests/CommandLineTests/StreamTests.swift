import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Who reads what the program writes.
@Suite("pagewalk writes")
struct StreamTests {
    private let sample = RepositoryImage.sample

    @Test func `to a reader that stops early, and ends quietly`() async throws {
        // Some hundred kilobytes: more than a pipe holds.
        let outcome = try await PagewalkProgram.shell("\"$pagewalk\" dump '\(sample)' --all-roots --json | head -n 1")
        #expect(outcome.lines.count == 1)
        #expect(outcome.errors == "")
    }

    @Test func `to a reader that stops early where nobody is told of it by a signal`() async throws {
        let outcome = try await PagewalkProgram.shell(
            "trap '' PIPE; { \"$pagewalk\" dump '\(sample)' --all-roots --json; echo $? >&2; } | head -n 1")
        #expect(outcome.lines.count == 1)
        #expect(outcome.errorLines == ["2"])
    }

    @Test func `all of it to a slow reader`() async throws {
        let command = "\"$pagewalk\" dump '\(sample)' --all-roots --json"
        let piped = try await PagewalkProgram.shell("\(command) | (read -r line; echo \"$line\"; cat)")
        #expect(try await PagewalkProgram.shell(command).output == piped.output)
    }

    #if os(Linux)
        @Test func `to a full disk, and says so`() async throws {
            let outcome = try await PagewalkProgram.shell("\"$pagewalk\" formats > /dev/full")
            #expect(outcome.status == 2)
            #expect(outcome.errorLines.count == 1)
            #expect(outcome.errors.hasPrefix("pagewalk: standard output: "))
        }

        @Test func `colours to a terminal only`() async throws {
            let seen = try await onTerminal(["roots", sample], [:])
            #expect(seen.contains("\u{1b}[1m"))
            let file = try await PagewalkProgram.run("roots", sample)
            #expect(!file.output.contains("\u{1b}"))
            // What is left without colours is the same table.
            let plain = seen.replacingOccurrences(of: "\u{1b}\\[[0-9]*m", with: "", options: .regularExpression)
            #expect(plain.replacingOccurrences(of: "\r\n", with: "\n") == file.output)
        }

        @Test func `no colours to somebody who asked for none`() async throws {
            #expect(!(try await onTerminal(["roots", sample], ["NO_COLOR": "1"]).contains("\u{1b}")))
            #expect(!(try await onTerminal(["roots", sample, "--json"], [:]).contains("\u{1b}")))
        }

        /// What a terminal gets to see.
        private func onTerminal(_ arguments: [String], _ environment: [String: String]) async throws -> String {
            let controller = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
            try #require(controller >= 0)
            defer { close(controller) }
            // TIOCSPTLCK, TIOCGPTN: macros that are not imported.
            var (locked, number): (Int32, Int32) = (0, 0)
            try #require(ioctl(controller, 0x4004_5431, &locked) == 0 && ioctl(controller, 0x8004_5430, &number) == 0)
            let terminal = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
            try #require(terminal >= 0)
            defer { close(terminal) }
            let process = Process()
            process.executableURL = PagewalkProgram.url
            process.arguments = arguments
            var inherited = ProcessInfo.processInfo.environment
            inherited["NO_COLOR"] = nil
            process.environment = inherited.merging(environment) { $1 }
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = FileHandle(fileDescriptor: terminal, closeOnDealloc: false)
            process.standardError = FileHandle.nullDevice
            // The few lines fit into the terminal's own buffer, which keeps them until they are read.
            try await process.runToEnd()
            var seen: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 4096)
            _ = fcntl(controller, F_SETFL, O_NONBLOCK)
            while true {
                let count = read(controller, &chunk, chunk.count)
                guard count > 0 else { break }
                seen += chunk[..<count]
            }
            return String(decoding: seen, as: UTF8.self)
        }
    #endif
}
