import ArgumentParser
import MemoryImages
import PageTableWalk
import PageTables
import Reports

struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows everything that a root maps.",
        discussion: """
            Neighbouring pages that are mapped to neighbouring memory with the same attributes are one line.

            Examples:
              pagewalk dump vmcore --root cpu0
              pagewalk dump vmcore --root A --range 0x400000-0x500000 --view linux
              pagewalk dump vmcore --all-roots --kernel --json
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var rootOptions: RootsOptions
    @OptionGroup var rangeOptions: AddressRangeOptions
    @OptionGroup var viewOptions: ViewOptions
    @OptionGroup var jsonOptions: JSONOptions

    @Flag(help: "Show the holes between ranges as well.")
    var holes = false

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        if rootOptions.allRoots {
            guard !inspected.roots.isEmpty else { throw inspected.noRoots() }
            try inspected.forEach(inspected.roots) { try dump($0, of: inspected, named: true) }
        } else {
            try dump(try inspected.select(rootOptions.one), of: inspected, named: false)
        }
        try inspected.finish(openingWarnings: openingWarnings)
    }

    private func dump(_ root: Root, of inspected: InspectedImage, named: Bool) throws {
        guard let part = try rangeOptions.part(of: root.space) else { return }
        let progress = Progress("reading the tables of \(root.name)")
        let survey = root.space.survey(
            part, view: viewOptions.view, in: inspected.image.contents, holes: holes)
        progress.done()
        // Read once: an option's wrapper costs more than a line.
        let json = jsonOptions.json
        let report = DumpReport(of: root.space, view: viewOptions.view, style: StandardOutput.style)
        var buffer = ReportBuffer()
        if !json {
            if named {
                buffer.append(text: "root \(root.name)")
                if let process = root.process { buffer.append(text: ", process \(process)") }
                buffer.append(text: ", \(root.space.paging.rawValue), \(root.space.levelCount) levels\n")
            }
            report.appendHeader(to: &buffer)
        }
        var holes = survey.holes[...]
        for range in survey.ranges {
            while let hole = holes.first, hole.virtual.first < range.first {
                append(hole, report, root, named, to: &buffer)
                holes = holes.dropFirst()
            }
            if json {
                report.appendJSON(range, root: named ? root.name : nil, to: &buffer)
            } else {
                report.appendText(range, to: &buffer)
            }
            StandardOutput.flushIfLarge(&buffer)
        }
        for hole in holes { append(hole, report, root, named, to: &buffer) }
        StandardOutput.write(&buffer)
        mention(survey, of: root)
    }

    private func append(
        _ hole: Hole, _ report: DumpReport, _ root: Root, _ named: Bool, to buffer: inout ReportBuffer
    ) {
        if jsonOptions.json {
            report.appendJSON(hole, root: named ? root.name : nil, to: &buffer)
        } else {
            report.appendText(hole, to: &buffer)
        }
    }
}

/// Says on standard error that tables had more to say than what they map.
func mention(_ survey: Survey, of root: Root) {
    guard let first = survey.oddities.first else { return }
    let count = survey.oddities.count + survey.furtherOddities
    let more = count > 1 ? " (and \(count - 1) more; `pagewalk audit` lists them)" : ""
    StandardError.write(text: "pagewalk: root \(root.name): \(first.summary)\(more)\n")
}
