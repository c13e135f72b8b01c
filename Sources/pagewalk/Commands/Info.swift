import ArgumentParser
import MemoryImages
import PageTables
import Reports

struct Info: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says what an image is: container, machine, memory, registers, roots.",
        discussion: """
            Examples:
              pagewalk info vmcore
              pagewalk info vmcore --json
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var jsonOptions: JSONOptions

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        var buffer = ReportBuffer()
        let report = InfoReport(style: StandardOutput.style)
        if jsonOptions.json {
            report.appendJSON(inspected, to: &buffer)
        } else {
            report.appendText(inspected, to: &buffer)
        }
        StandardOutput.write(&buffer)
        try inspected.requireNoProblems()
        try inspected.finish(openingWarnings: openingWarnings)
    }
}
