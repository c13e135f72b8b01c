import MemoryImages
import PageTableWalk
import PageTables

/// Writes the counts of one root's survey.
public struct StatisticsReport: Sendable {
    private let root: Root
    private let style: Style

    public init(of root: Root, style: Style = Style(isColoured: false)) {
        self.root = root
        self.style = style
    }

    public func appendText(_ statistics: SurveyStatistics, to buffer: inout ReportBuffer) {
        style.paint(.bold, &buffer) { $0.append(text: root.name) }
        buffer.append(text: "  \(root.space.paging.rawValue), \(root.space.levelCount) levels\n")
        for count in statistics.levels {
            buffer.append("  level ")
            buffer.append(decimal: UInt64(count.level.rawValue))
            buffer.append(text: "\(count.tables)", width: 8, right: true)
            buffer.append(" tables")
            buffer.append(text: "\(count.tableBytes)", width: 10, right: true)
            buffer.append(" bytes")
            buffer.append(text: "\(count.used)", width: 9, right: true)
            buffer.append(
                text: " of \(count.slots) entries used (\(percent(count.occupancy))), \(count.leaves) leaves\n")
        }
        for size in statistics.sizes {
            buffer.append("  ")
            buffer.append(text: "\(size.pages)", width: 8, right: true)
            buffer.append(text: " pages of \(size.pageSize), \(size.bytes) bytes\n")
        }
        buffer.append(
            text: "  \(statistics.rangeCount) ranges, \(statistics.mappedBytes) bytes mapped, "
                + "\(percent(statistics.largePageCoverage)) of them by large pages, "
                + "\(statistics.tableBytes) bytes of tables\n")
    }

    private func percent(_ part: Double) -> String {
        let tenths = Int((part * 1000).rounded())
        return "\(tenths / 10).\(tenths % 10) %"
    }

    public func appendJSON(_ statistics: SurveyStatistics, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.string("root", root.name)
            line.string("format", root.space.paging.rawValue)
            line.objects("levels", statistics.levels) { line, count in
                line.number("level", count.level.rawValue)
                line.number("tables", count.tables)
                line.number("tableBytes", count.tableBytes)
                line.number("slots", count.slots)
                line.number("used", count.used)
                line.number("leaves", count.leaves)
                line.fraction("occupancy", count.occupancy)
            }
            line.objects("sizes", statistics.sizes) { line, count in
                line.number("pageBytes", count.pageSize.bytes)
                line.number("pages", count.pages)
                line.number("bytes", count.bytes)
            }
            line.number("ranges", statistics.rangeCount)
            line.number("tables", statistics.tableCount)
            line.number("tableBytes", statistics.tableBytes)
            line.number("mappedBytes", statistics.mappedBytes)
            line.fraction("largePageCoverage", statistics.largePageCoverage)
        }
    }
}

extension Oddity {
    /// One line that says what is odd and where.
    public var summary: String {
        let place = "entry \(position.index) of the level-\(position.level) table \(position.table)"
        let more = count > 1 ? " and \(count - 1) more" : ""
        switch kind {
        case .malformed(let entry, let reason):
            return "malformed entry \(entry) at \(address) (\(place)\(more)): \(reason)"
        case .loop(let table): return "table \(table) contains itself, reached again at \(address)"
        case .absent(let entries):
            return
                "\(entries) entries of the level-\(position.level) table \(position.table) are not in the image (at \(address))"
        case .repeatLeftOut(let table):
            return "table \(table) is mapped again at \(address); its repetition is left out"
        }
    }

    fileprivate var name: String {
        switch kind {
        case .malformed: "malformed"
        case .loop: "loop"
        case .absent: "absentTable"
        case .repeatLeftOut: "repeatLeftOut"
        }
    }
}

/// Writes what an audit found.
public struct AuditReport: Sendable {
    private let dump: DumpReport
    private let root: Root
    private let style: Style

    public init(of root: Root, view: View, style: Style = Style(isColoured: false)) {
        dump = DumpReport(of: root.space, view: view, style: style)
        self.root = root
        self.style = style
    }

    public func appendText(_ finding: AuditFinding, to buffer: inout ReportBuffer) {
        style.paint(.bold, &buffer) { $0.append(text: root.name) }
        buffer.append("  ")
        switch finding {
        case .writableAndExecutable(let range):
            style.paint(.red, &buffer) { $0.append("writable and executable") }
            buffer.append("\n    ")
            dump.appendText(range, to: &buffer)
        case .userAccessibleKernel(let range):
            style.paint(.red, &buffer) { $0.append("kernel addresses that user code can access") }
            buffer.append("\n    ")
            dump.appendText(range, to: &buffer)
        case .writablePageTables(let range, let tables, let count):
            style.paint(.red, &buffer) { $0.append("page tables that user code can write") }
            buffer.append("\n    ")
            dump.appendText(range, to: &buffer)
            let list = tables.map(\.description).joined(separator: ", ")
            buffer.append(text: "    \(count) tables: \(list)\(count > tables.count ? ", …" : "")\n")
        case .conflictingMemoryTypes(let physical, let first, let second):
            style.paint(.yellow, &buffer) { $0.append(text: "physical \(physical) is mapped with two memory types") }
            buffer.append("\n    ")
            dump.appendText(first, to: &buffer)
            buffer.append("    ")
            dump.appendText(second, to: &buffer)
        case .oddity(let oddity):
            style.paint(.yellow, &buffer) { $0.append(text: oddity.summary) }
            buffer.newline()
        }
    }

    public func appendJSON(_ finding: AuditFinding, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.string("root", root.name)
            switch finding {
            case .writableAndExecutable(let range):
                line.string("finding", "writableAndExecutable")
                append(range, to: &line)
            case .userAccessibleKernel(let range):
                line.string("finding", "userAccessibleKernel")
                append(range, to: &line)
            case .writablePageTables(let range, let tables, let count):
                line.string("finding", "writablePageTables")
                append(range, to: &line)
                line.strings("tables", tables.map(\.description))
                line.number("count", count)
            case .conflictingMemoryTypes(let physical, let first, let second):
                line.string("finding", "conflictingMemoryTypes")
                line.address("physical", physical.first.rawValue)
                line.end("physicalEnd", after: physical.last.rawValue)
                let types = root.space.memoryTypes
                line.objects("mappings", [first, second]) { line, range in
                    line.address("start", range.first.rawValue)
                    line.end("end", after: range.last.rawValue)
                    line.string("memoryType", types[Int(range.attributes.memoryTypeIndex)].description)
                }
            case .oddity(let oddity):
                line.string("finding", oddity.name)
                line.address("start", oddity.address.rawValue)
                line.address("table", oddity.position.table.rawValue)
                line.number("index", oddity.position.index)
                line.number("level", oddity.position.level.rawValue)
                line.number("count", oddity.count)
                line.string("text", oddity.summary)
            }
        }
    }

    private func append(_ range: MappedRange, to line: inout JSONLine) {
        line.address("start", range.first.rawValue)
        line.end("end", after: range.last.rawValue)
        line.address("physical", range.physical.rawValue)
        line.number("pageBytes", range.pageSize.bytes)
    }
}
