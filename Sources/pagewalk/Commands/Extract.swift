import ArgumentParser
import MemoryImages
import Reports

struct Extract: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes a compact ELF core that holds only the page tables.",
        discussion: """
            The output has the exact bytes of every table that the roots reach, the notes and VMCOREINFO: every root walks the \
            same from it, and no contents of memory are in it. Roots that a description names are described in OUTPUT.json.

            Examples:
              pagewalk extract vmcore --output tables.elf
              pagewalk extract vmcore --root A --output a.elf
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var rootOptions: RootOptions

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file"))
    var output: String

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        var roots = inspected.roots
        if rootOptions.root != nil || roots.isEmpty { roots = [try inspected.select(rootOptions)] }
        let progress = Progress("collecting tables")
        var walkable: [Root] = []
        var failure: (any Error)?
        do { try inspected.forEach(roots) { walkable.append($0) } } catch { failure = error }
        guard !walkable.isEmpty, let extraction = TableExtraction(of: inspected, roots: walkable) else {
            progress.done()
            throw failure ?? inspected.noRoots()
        }
        let files = try extraction.write(to: output)
        progress.done()
        StandardOutput.write(
            text: "\(extraction.tableCount) tables of \(walkable.count) roots, \(extraction.byteCount) bytes: "
                + files.joined(separator: ", ") + "\n")
        if let failure { throw failure }
        try inspected.finish(openingWarnings: openingWarnings)
    }
}
