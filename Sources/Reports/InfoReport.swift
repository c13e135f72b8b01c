import MemoryImages
import PageTables

/// Writes what is known of an image.
public struct InfoReport: Sendable {
    private let style: Style

    public init(style: Style = Style(isColoured: false)) { self.style = style }

    public func appendText(_ inspected: InspectedImage, to buffer: inout ReportBuffer) {
        let image = inspected.image
        func row(_ name: StaticString, _ value: String) {
            style.paint(.dim, &buffer) { $0.append(text: "\(name)", width: 14) }
            buffer.append(text: value)
            buffer.newline()
        }
        row("image", image.path)
        row("container", image.kind)
        row("architecture", inspected.architecture?.rawValue ?? "not known (--paging, --description)")
        if let release = image.vmcoreinfo?["OSRELEASE"] { row("kernel", release) }
        if let page = image.vmcoreinfo?["PAGESIZE"] { row("page size", page) }
        let ranges = image.physicalRanges
        let bytes = ranges.reduce(0 as UInt64) { $0 &+ ($1.byteCount ?? .max) }
        row("memory", "\(bytes) bytes in \(ranges.count) ranges")
        for range in ranges.prefix(8) { row("", range.description) }
        if ranges.count > 8 { row("", "… and \(ranges.count - 8) more") }
        for cpu in image.cpus {
            let values = cpu.values.map { "\($0.name)=\(hexadecimal($0.value))" }
            row("cpu", "\(cpu.cpu)  " + values.joined(separator: " "))
        }
        row("notes", "\(image.notes.count)")
        row("description", inspected.description == nil ? "none" : "\(inspected.description?.roots.count ?? 0) roots")
        for warning in image.warnings { row("warning", warning) }
        row("roots", "\(inspected.roots.count)")
        if !inspected.roots.isEmpty {
            buffer.newline()
            RootReport(style: style).appendText(inspected.roots, to: &buffer)
        }
    }

    public func appendJSON(_ inspected: InspectedImage, to buffer: inout ReportBuffer) {
        let image = inspected.image
        buffer.json { line in
            line.string("image", image.path)
            line.string("container", image.kind)
            if let architecture = inspected.architecture { line.string("architecture", architecture.rawValue) }
            if let release = image.vmcoreinfo?["OSRELEASE"] { line.string("kernel", release) }
            if let page = image.vmcoreinfo?.number("PAGESIZE") ?? image.vmcoreinfo?.decimal("PAGESIZE") {
                line.number("pageBytes", Int(clamping: page))
            }
            line.objects("memory", image.physicalRanges) { line, range in
                line.address("start", range.first.rawValue)
                line.end("end", after: range.last.rawValue)
            }
            line.objects("cpus", image.cpus) { line, cpu in
                line.number("cpu", cpu.cpu)
                line.strings("registers", cpu.values.map { ($0.name, hexadecimal($0.value)) })
            }
            line.number("notes", image.notes.count)
            line.strings("roots", inspected.roots.map(\.name))
            line.strings("warnings", image.warnings)
        }
    }
}
