import MemoryImages
import PageTables

/// Writes the roots of an image.
public struct RootReport: Sendable {
    private let style: Style

    public init(style: Style = Style(isColoured: false)) { self.style = style }

    public func appendText(_ roots: [Root], to buffer: inout ReportBuffer) {
        let names = max(roots.map(\.name.utf8.count).max() ?? 0, 4) + 2
        let formats = max(roots.map(\.space.paging.rawValue.utf8.count).max() ?? 0, 6) + 2
        style.paint(.dim, &buffer) { buffer in
            buffer.append(text: "root", width: names)
            buffer.append(text: "format", width: formats)
            buffer.append("levels  process  source        registers")
        }
        buffer.newline()
        for root in roots {
            style.paint(.bold, &buffer) { $0.append(text: root.name, width: names) }
            buffer.append(text: root.space.paging.rawValue, width: formats)
            buffer.append(text: "\(root.space.levelCount)", width: 6, right: true)
            buffer.append(text: root.process.map { "\($0)" } ?? "", width: 9, right: true)
            buffer.append("  ")
            buffer.append(text: root.source.rawValue, width: 12)
            buffer.append("  ")
            let registers = root.registers.values.map { "\($0.name)=\(hexadecimal($0.value))" }
            buffer.append(text: registers.joined(separator: " "))
            buffer.newline()
        }
    }

    public func appendJSON(_ root: Root, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.string("name", root.name)
            line.strings("registers", root.registers.values.map { ($0.name, hexadecimal($0.value)) })
            line.string("format", root.space.paging.rawValue)
            line.number("levels", root.space.levelCount)
            line.string("source", root.source.rawValue)
            if let process = root.process { line.number("process", process) }
        }
    }
}
