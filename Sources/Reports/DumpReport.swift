import MemoryImages
import PageTableWalk
import PageTables

/// Writes mapped ranges, as a table or as JSON Lines.
public struct DumpReport: Sendable {
    private let notions: FormatNotions
    private let memoryTypes: [MemoryType]
    private let hasMemoryTypes: Bool
    private let style: Style
    private let digits: Int

    public init(of space: AnyAddressSpace, view: View, style: Style = Style(isColoured: false)) {
        self.init(space.notions(in: view), space.memoryTypes, space.trees, style)
    }

    /// As of an image, for a space of a format that is known: a live one.
    public init<Format: PageTableFormat>(of space: AddressSpace<Format>, style: Style = Style(isColoured: false)) {
        let types = (0...UInt8.max).map { space.format.memoryType($0) }
        self.init(Format.notions, types, space.trees, style)
    }

    private init(_ notions: FormatNotions, _ memoryTypes: [MemoryType], _ trees: [TableTree], _ style: Style) {
        self.notions = notions
        self.memoryTypes = memoryTypes
        self.style = style
        hasMemoryTypes = memoryTypes.contains { $0 != .unspecified }
        let top = trees.map(\.range.last.rawValue).max() ?? 0
        digits = top > 0xffff_ffff ? 16 : 8
    }

    /// The names of the columns.
    public func appendHeader(to buffer: inout ReportBuffer) {
        style.paint(.dim, &buffer) { buffer in
            buffer.append(text: "start", width: digits + 2)
            buffer.append("     ")
            buffer.append(text: "end", width: digits + 4)
            buffer.append(text: "size", width: 8, right: true)
            buffer.append("     ")
            buffer.append(text: "physical", width: digits + 2)
            buffer.append("  ")
            buffer.append(text: "page", width: 8, right: true)
            if notions.user { buffer.append("  rights  ") } else { buffer.append("  rights") }
            if !notions.flags.isEmpty { buffer.append("  flags") }
            if hasMemoryTypes { buffer.append("  memory") }
        }
        buffer.newline()
    }

    /// One line of the table:
    ///
    ///     0x0000000000400000 ..< 0x0000000000401000    4 KiB  -> 0x0000000009974000     4 KiB  user r-x  a--  write-back
    public func appendText(_ range: MappedRange, to buffer: inout ReportBuffer) {
        let rights = range.attributes.rights
        buffer.append(hexadecimal: range.first.rawValue, digits: digits)
        buffer.append(" ..< ")
        buffer.append(endAfter: range.last.rawValue, digits: digits)
        if range.last.rawValue != .max { buffer.append("  ") } else { buffer.append(" ") }
        appendSize(range.byteCount, to: &buffer)
        buffer.append("  -> ")
        buffer.append(hexadecimal: range.physical.rawValue, digits: digits)
        buffer.append("  ")
        appendSize(range.pageSize.bytes, to: &buffer)
        let danger = notions.execute && rights.canWrite && rights.canExecute
        style.paint(danger ? .red : rights.isUser ? .green : .cyan, &buffer) { buffer in
            if !notions.user {
                buffer.append("  ")
            } else if rights.isUser {
                buffer.append("  user ")
            } else {
                buffer.append("  kern ")
            }
            buffer.append(byte: rights.canRead ? UInt8(ascii: "r") : UInt8(ascii: "-"))
            buffer.append(byte: rights.canWrite ? UInt8(ascii: "w") : UInt8(ascii: "-"))
            buffer.append(byte: rights.canExecute ? UInt8(ascii: "x") : UInt8(ascii: "-"))
        }
        if !notions.flags.isEmpty { buffer.append("  ") }
        appendFlag(.accessed, UInt8(ascii: "a"), range, to: &buffer)
        appendFlag(.dirty, UInt8(ascii: "d"), range, to: &buffer)
        appendFlag(.global, UInt8(ascii: "g"), range, to: &buffer)
        let type = memoryTypes[Int(range.attributes.memoryTypeIndex)]
        if type != .unspecified {
            buffer.append("  ")
            buffer.append(text: type.description)
        }
        if range.attributes.protectionKey != 0 {
            buffer.append("  key ")
            buffer.append(decimal: UInt64(range.attributes.protectionKey))
        }
        buffer.newline()
    }

    private func appendFlag(_ flag: EntryFlags, _ letter: UInt8, _ range: MappedRange, to buffer: inout ReportBuffer) {
        if notions.flags.contains(flag) {
            buffer.append(byte: range.attributes.flags.contains(flag) ? letter : UInt8(ascii: "-"))
        }
    }

    /// A byte count in eight columns, in the largest unit that gives a whole number.
    private func appendSize(_ bytes: UInt64, to buffer: inout ReportBuffer) {
        let unit = min(bytes.trailingZeroBitCount / 10, 6)
        let value = bytes == .max ? 16 : bytes >> UInt64(unit * 10)
        var width = 0
        var rest = value
        repeat {
            width += 1
            rest /= 10
        } while rest > 0
        buffer.spaces(5 - width)
        buffer.append(decimal: value)
        switch bytes == .max ? 6 : unit {
        case 0: buffer.append(" B  ")
        case 1: buffer.append(" KiB")
        case 2: buffer.append(" MiB")
        case 3: buffer.append(" GiB")
        case 4: buffer.append(" TiB")
        case 5: buffer.append(" PiB")
        default: buffer.append(" EiB")
        }
    }

    /// A hole, and how far a walk into it comes.
    public func appendText(_ hole: Hole, to buffer: inout ReportBuffer) {
        style.paint(.dim, &buffer) { buffer in
            buffer.append(hexadecimal: hole.virtual.first.rawValue, digits: digits)
            buffer.append(" ..< ")
            buffer.append(endAfter: hole.virtual.last.rawValue, digits: digits)
            buffer.append("  hole, level ")
            buffer.append(text: hole.level.description)
        }
        buffer.newline()
    }

    /// One JSON object.
    ///
    /// - Parameter root: The name of the root, where a report has several.
    public func appendJSON(_ range: MappedRange, root: String? = nil, to buffer: inout ReportBuffer) {
        buffer.json { line in
            if let root { line.string("root", root) }
            line.address("start", range.first.rawValue)
            line.end("end", after: range.last.rawValue)
            line.address("physical", range.physical.rawValue)
            line.number("pageBytes", range.pageSize.bytes)
            appendAttributes(range.attributes, to: &line)
        }
    }

    /// A hole as JSON: `start`, `end`, `hole` and `level`.
    public func appendJSON(_ hole: Hole, root: String? = nil, to buffer: inout ReportBuffer) {
        buffer.json { line in
            if let root { line.string("root", root) }
            line.address("start", hole.virtual.first.rawValue)
            line.end("end", after: hole.virtual.last.rawValue)
            line.flag("hole", true)
            line.number("level", hole.level.rawValue)
        }
    }

    private func appendAttributes(_ attributes: EntryAttributes, to line: inout JSONLine) {
        line.flag("read", attributes.rights.canRead)
        line.flag("write", attributes.rights.canWrite)
        if notions.execute { line.flag("execute", attributes.rights.canExecute) }
        if notions.user { line.flag("user", attributes.rights.isUser) }
        if notions.flags.contains(.global) { line.flag("global", attributes.flags.contains(.global)) }
        if notions.flags.contains(.accessed) { line.flag("accessed", attributes.flags.contains(.accessed)) }
        if notions.flags.contains(.dirty) { line.flag("dirty", attributes.flags.contains(.dirty)) }
        line.string("memoryType", memoryTypes[Int(attributes.memoryTypeIndex)].description)
    }
}
