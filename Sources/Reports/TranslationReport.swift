import MemoryImages
import PageTableWalk
import PageTables

/// Writes translations, as text or as JSON Lines.
public struct TranslationReport: Sendable {
    private let notions: FormatNotions
    private let style: Style

    public init(of space: AnyAddressSpace, view: View, style: Style = Style(isColoured: false)) {
        notions = space.notions(in: view)
        self.style = style
    }

    public func appendText(_ translation: ImageTranslation, to buffer: inout ReportBuffer) {
        for step in translation.steps {
            style.paint(.dim, &buffer) { buffer in
                buffer.append("  level ")
                buffer.append(decimal: UInt64(step.position.level.rawValue))
                buffer.append("  table ")
                buffer.append(hexadecimal: step.position.table.rawValue)
                buffer.append("  index ")
                buffer.append(decimal: UInt64(step.position.index))
                buffer.append("  entry ")
                buffer.append(hexadecimal: step.entry.rawValue)
            }
            buffer.newline()
        }
        buffer.append(hexadecimal: translation.address.rawValue)
        buffer.append(" -> ")
        if let page = translation.page {
            buffer.append(hexadecimal: page.physical.rawValue)
            buffer.append("  ")
            buffer.append(text: page.pageSize.description)
            buffer.append("  ")
            if notions.user {
                if page.rights.isUser { buffer.append("user ") } else { buffer.append("kern ") }
            }
            buffer.append(byte: page.rights.canRead ? UInt8(ascii: "r") : UInt8(ascii: "-"))
            buffer.append(byte: page.rights.canWrite ? UInt8(ascii: "w") : UInt8(ascii: "-"))
            buffer.append(byte: page.rights.canExecute ? UInt8(ascii: "x") : UInt8(ascii: "-"))
        } else {
            style.paint(.yellow, &buffer) { $0.append(text: Self.text(translation.reason)) }
        }
        buffer.newline()
    }

    private static func text(_ reason: UnmappedReason?) -> String {
        switch reason {
        case .notPresent, nil: "not present"
        case .malformed: "malformed entry"
        case .outOfRange: "outside what the root translates"
        case .absentFromImage: "a table is not in the image"
        case .notHardwareValid: "present to Linux, not valid to hardware"
        }
    }

    /// - Parameter withSteps: Whether `entries` is written, even if empty.
    public func appendJSON(_ translation: ImageTranslation, withSteps: Bool, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.address("virtual", translation.address.rawValue)
            line.flag("mapped", translation.page != nil)
            if let page = translation.page {
                line.address("physical", page.physical.rawValue)
                line.number("pageBytes", page.pageSize.bytes)
                line.number("level", page.level.rawValue)
                line.flag("read", page.rights.canRead)
                line.flag("write", page.rights.canWrite)
                if notions.execute { line.flag("execute", page.rights.canExecute) }
                if notions.user { line.flag("user", page.rights.isUser) }
            } else {
                line.string("reason", translation.reason?.rawValue ?? UnmappedReason.notPresent.rawValue)
            }
            if withSteps {
                line.objects("entries", translation.steps) { line, step in
                    line.address("table", step.position.table.rawValue)
                    line.number("index", step.position.index)
                    line.address("value", step.entry.rawValue)
                    line.number("level", step.position.level.rawValue)
                }
            }
        }
    }
}
