import ArgumentParser
import MemoryImages
import Reports

@main
struct Pagewalk: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pagewalk",
        abstract: "Shows what is mapped in the memory of a machine.",
        discussion: """
            An IMAGE is an ELF core, a kdump-compressed dump (plain or flattened), a LiME capture or raw memory with a \
            description; gzip and zstd are opened transparently. Roots come from the image's notes, from IMAGE.json beside it \
            or --description FILE, or from --root.

            Examples:
              pagewalk info vmcore
              pagewalk roots vmcore
              pagewalk dump vmcore --root cpu0 --user
              pagewalk dump ram.bin --raw-base 0 --paging x86-64 --root 0x2fa0000
              pagewalk translate vmcore --root cpu0 --steps 0x400000
              pagewalk find vmcore --root cpu0 0x9974000
              pagewalk extract vmcore --output tables.elf
            """,
        version: "0.1.0",
        subcommands: [
            Info.self, Roots.self, Translate.self, Dump.self, Find.self, Stats.self, Audit.self, Extract.self,
            Formats.self, Check.self, Stress.self,
        ])

    /// Every kind of bad use or bad input ends with status 2 and one line; the parser's own choice would be 64.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as ImageError {
            complain(error.description)
        } catch let error as RootResolutionError {
            complain(error.description)
        } catch let error as InputError {
            complain(error.description)
        } catch let code as ExitCode {
            endProcess(withStatus: code.rawValue)
        } catch {
            let status = exitCode(for: error)
            if status == .success {
                StandardOutput.write(text: fullMessage(for: error) + "\n")
                endProcess(withStatus: 0)
            }
            StandardError.write(text: fullMessage(for: error) + "\n")
            endProcess(withStatus: 2)
        }
    }

    private static func complain(_ message: String) -> Never {
        StandardError.write(text: "pagewalk: \(message)\n")
        endProcess(withStatus: 2)
    }
}

/// What is wrong with what the user gave, in one line.
struct InputError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
