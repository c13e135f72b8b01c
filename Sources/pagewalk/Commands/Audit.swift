import ArgumentParser
import MemoryImages
import Reports

struct Audit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Looks for mappings that are dangerous, contradictory or broken.",
        discussion: """
            Finds ranges that are writable and executable, user access to kernel addresses, page tables that user code can \
            write, memory that is mapped with two memory types, malformed entries, tables outside memory, and loops. Findings are \
            a report, not a failure: the status is 0.

            Examples:
              pagewalk audit vmcore --root A
              pagewalk audit vmcore --all-roots --json
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var rootOptions: RootsOptions
    @OptionGroup var viewOptions: ViewOptions
    @OptionGroup var jsonOptions: JSONOptions

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        if rootOptions.allRoots {
            guard !inspected.roots.isEmpty else { throw inspected.noRoots() }
            try inspected.forEach(inspected.roots) { audit($0, of: inspected) }
        } else {
            audit(try inspected.select(rootOptions.one), of: inspected)
        }
        try inspected.finish(openingWarnings: openingWarnings)
    }

    private func audit(_ root: Root, of inspected: InspectedImage) {
        let progress = Progress("reading the tables of \(root.name)")
        let survey = root.space.survey(view: viewOptions.view, in: inspected.image.contents)
        let findings = root.space.audit(survey)
        progress.done()
        let report = AuditReport(of: root, view: viewOptions.view, style: StandardOutput.style)
        var buffer = ReportBuffer()
        for finding in findings {
            if jsonOptions.json {
                report.appendJSON(finding, to: &buffer)
            } else {
                report.appendText(finding, to: &buffer)
            }
            StandardOutput.flushIfLarge(&buffer)
        }
        if !jsonOptions.json {
            let noun = findings.count == 1 ? "finding" : "findings"
            buffer.append(text: "\(root.name)  \(findings.count) \(noun) in \(survey.tables.count) tables\n")
        }
        StandardOutput.write(&buffer)
    }
}
