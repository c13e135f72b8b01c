import ArgumentParser
import MemoryImages
import Reports

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Counts tables and pages: per level, per size, and how full the tables are.",
        discussion: """
            Examples:
              pagewalk stats vmcore
              pagewalk stats vmcore --root A --json
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var rootOptions: RootOptions
    @OptionGroup var viewOptions: ViewOptions
    @OptionGroup var jsonOptions: JSONOptions

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        var roots = inspected.roots
        if rootOptions.root != nil || roots.isEmpty { roots = [try inspected.select(rootOptions)] }
        try inspected.forEach(roots) { root in
            let progress = Progress("reading the tables of \(root.name)")
            let survey = root.space.survey(view: viewOptions.view, in: inspected.image.contents)
            progress.done()
            let report = StatisticsReport(of: root, style: StandardOutput.style)
            var buffer = ReportBuffer()
            let statistics = root.space.statistics(of: survey)
            if jsonOptions.json {
                report.appendJSON(statistics, to: &buffer)
            } else {
                report.appendText(statistics, to: &buffer)
            }
            StandardOutput.write(&buffer)
            mention(survey, of: root)
        }
        try inspected.finish(openingWarnings: openingWarnings)
    }
}
