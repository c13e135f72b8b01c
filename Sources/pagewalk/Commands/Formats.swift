import ArgumentParser
import MemoryImages
import Reports

struct Formats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists the page-table formats, with their geometry and what is supported.",
        discussion: """
            Examples:
              pagewalk formats
              pagewalk formats --json
            """)

    @OptionGroup var jsonOptions: JSONOptions

    func run() throws {
        var buffer = ReportBuffer()
        let report = FormatReport(style: StandardOutput.style)
        for paging in Paging.allCases {
            if jsonOptions.json {
                report.appendJSON(paging.geometry, to: &buffer)
            } else {
                report.appendText(paging.geometry, to: &buffer)
            }
        }
        StandardOutput.write(&buffer)
    }
}
