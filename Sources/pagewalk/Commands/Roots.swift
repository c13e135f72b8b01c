import ArgumentParser
import MemoryImages
import Reports

struct Roots: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists the roots of an image: the address spaces that can be walked.",
        discussion: """
            Examples:
              pagewalk roots vmcore
              pagewalk roots vmcore --json
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var jsonOptions: JSONOptions

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        guard !inspected.roots.isEmpty else { throw inspected.noRoots() }
        var buffer = ReportBuffer()
        let report = RootReport(style: StandardOutput.style)
        if jsonOptions.json {
            for root in inspected.roots { report.appendJSON(root, to: &buffer) }
        } else {
            report.appendText(inspected.roots, to: &buffer)
        }
        StandardOutput.write(&buffer)
        try inspected.requireNoProblems()
        try inspected.finish(openingWarnings: openingWarnings)
    }
}
