import ArgumentParser
import MemoryImages
import PageTableWalk
import PageTables
import Reports

struct Find: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Finds all virtual addresses that are mapped to physical memory.",
        discussion: """
            PHYSICAL is an address, or a range A-B whose end is not part of it. The answer is a dump of all mappings, cut to the \
            memory asked for.

            Examples:
              pagewalk find vmcore --all-roots 0x9974000
              pagewalk find vmcore --root A 0x9974000-0x9980000 --json
            """)

    @OptionGroup var imageOptions: ImageOptions
    @OptionGroup var rootOptions: RootsOptions
    @OptionGroup var viewOptions: ViewOptions
    @OptionGroup var jsonOptions: JSONOptions

    @Argument(help: "Physical addresses or ranges.")
    var physical: [String]

    func run() throws {
        let inspected = try imageOptions.open()
        let openingWarnings = inspected.image.warnings.count
        let targets = try physical.map(target)
        if rootOptions.allRoots {
            guard !inspected.roots.isEmpty else { throw inspected.noRoots() }
            try inspected.forEach(inspected.roots) { find(targets, in: $0, of: inspected, named: true) }
        } else {
            find(targets, in: try inspected.select(rootOptions.one), of: inspected, named: false)
        }
        try inspected.finish(openingWarnings: openingWarnings)
    }

    private func target(_ text: String) throws -> PhysicalRange {
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        let first = try address(ends[0], "physical address")
        guard ends.count == 2 else {
            guard ends.count == 1 else { throw InputError("\(text): expected an address or A-B") }
            return PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(first))
        }
        let end = try address(ends[1], "physical address")
        guard end > first else { throw InputError("\(text): ends before it starts") }
        return PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(end - 1))
    }

    private func find(_ targets: [PhysicalRange], in root: Root, of inspected: InspectedImage, named: Bool) {
        let progress = Progress("reading the tables of \(root.name)")
        let survey = root.space.survey(view: viewOptions.view, in: inspected.image.contents)
        progress.done()
        let report = DumpReport(of: root.space, view: viewOptions.view, style: StandardOutput.style)
        var buffer = ReportBuffer()
        for target in targets {
            for range in survey.mappings(of: target) {
                if jsonOptions.json {
                    report.appendJSON(range, root: named ? root.name : nil, to: &buffer)
                } else {
                    if named { buffer.append(text: root.name + "  ") }
                    report.appendText(range, to: &buffer)
                }
                StandardOutput.flushIfLarge(&buffer)
            }
        }
        StandardOutput.write(&buffer)
    }
}
