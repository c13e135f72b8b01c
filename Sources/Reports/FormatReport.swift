import MemoryImages
import PageTables

/// Writes the formats and their geometry.
public struct FormatReport: Sendable {
    private let style: Style

    public init(style: Style = Style(isColoured: false)) { self.style = style }

    public func appendText(_ geometry: PagingGeometry, to buffer: inout ReportBuffer) {
        style.paint(.bold, &buffer) { $0.append(text: geometry.paging.rawValue) }
        let order = geometry.byteOrder == .big ? "big" : "little"
        let depth =
            geometry.hasFixedDepth
            ? "\(geometry.levels.count) levels" : "up to \(geometry.levels.count) levels, folded by each root"
        buffer.append(
            text:
                "  \(depth), \(geometry.entryBytes)-byte \(order)-endian entries, root \(geometry.paging.rootRegister), "
                + "views: hardware, linux\n")
        let folded = Self.foldedLevels(geometry)
        if !folded.isEmpty { buffer.append(text: "  folded levels: \(folded)\n") }
        for level in geometry.levels {
            buffer.append("  level ")
            buffer.append(decimal: UInt64(level.level.rawValue))
            buffer.append(text: "\(1 << level.log2Entries)", width: 7, right: true)
            buffer.append(" entries of ")
            buffer.append(
                text: level.log2Bytes < 64 ? PageSize(log2Bytes: level.log2Bytes).description : "16 EiB", width: 8)
            let sizes = level.leafSizes.map(\.description).joined(separator: ", ")
            buffer.append(text: sizes.isEmpty ? "  tables only\n" : "  pages of \(sizes)\n")
        }
    }

    /// `2, 3, 4 at run time`: which of Linux's five levels are folded, and when that is decided.
    public static func foldedLevels(_ geometry: PagingGeometry) -> String {
        func levels(_ folding: Folding, _ words: String) -> String? {
            let numbers = geometry.folding.indices.filter { geometry.folding[$0] == folding }.map { "\($0)" }
            return numbers.isEmpty ? nil : numbers.joined(separator: ", ") + words
        }
        return [levels(.statically, " statically"), levels(.atRunTime, " at run time")].compactMap(\.self)
            .joined(separator: "; ")
    }

    public func appendJSON(_ geometry: PagingGeometry, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.string("format", geometry.paging.rawValue)
            line.string("architecture", geometry.paging.architecture.rawValue)
            line.string("rootRegister", geometry.paging.rootRegister)
            line.number("entryBytes", geometry.entryBytes)
            line.string("byteOrder", geometry.byteOrder == .big ? "big" : "little")
            line.flag("fixedDepth", geometry.hasFixedDepth)
            line.objects("levels", geometry.levels) { line, level in
                line.number("level", level.level.rawValue)
                line.number("entries", 1 << level.log2Entries)
                line.number("log2BytesPerEntry", level.log2Bytes)
                line.strings("leafSizes", level.leafSizes.map { "\($0.bytes)" })
            }
            line.strings(
                "folding", geometry.folding.enumerated().map { ("\($0.offset)", $0.element.rawValue) })
            line.strings("views", View.allCases.map(\.rawValue))
            line.flag("user", geometry.notions.user)
            line.flag("execute", geometry.notions.execute)
            line.flag("accessed", geometry.notions.flags.contains(.accessed))
            line.flag("dirty", geometry.notions.flags.contains(.dirty))
            line.flag("global", geometry.notions.flags.contains(.global))
        }
    }
}
