import PageTables

/// One JSON object on one line, written field by field in the order given.
///
/// Not copyable: a copy would share the bytes, and the next append would duplicate all of them.
public struct JSONLine: ~Copyable {
    private var buffer: ReportBuffer
    private var isFirst = true

    /// - Parameter buffer: What the line is appended to; `finish` gives it back.
    public init(_ buffer: consuming ReportBuffer) {
        self.buffer = buffer
        self.buffer.append("{")
    }

    private mutating func key(_ name: StaticString) {
        if !isFirst { buffer.append(",") }
        isFirst = false
        buffer.append("\"")
        buffer.append(name)
        buffer.append("\":")
    }

    /// An address: a string, because JSON's numbers lose bits.
    public mutating func address(_ name: StaticString, _ value: UInt64) {
        key(name)
        buffer.append("\"")
        buffer.append(hexadecimal: value)
        buffer.append("\"")
    }

    /// The end of a range, which may be 2^64.
    public mutating func end(_ name: StaticString, after last: UInt64) {
        key(name)
        buffer.append("\"")
        buffer.append(endAfter: last)
        buffer.append("\"")
    }

    public mutating func number(_ name: StaticString, _ value: UInt64) {
        key(name)
        buffer.append(decimal: value)
    }

    public mutating func number(_ name: StaticString, _ value: Int) {
        key(name)
        if value < 0 { buffer.append("-") }
        buffer.append(decimal: UInt64(value.magnitude))
    }

    /// A part of a whole, with four digits.
    public mutating func fraction(_ name: StaticString, _ value: Double) {
        key(name)
        let scaled = UInt64((min(max(value, 0), 1) * 10_000).rounded())
        buffer.append(decimal: scaled / 10_000)
        buffer.append(".")
        let rest = scaled % 10_000
        for divisor in [1000, 100, 10] as [UInt64] where rest < divisor { buffer.append("0") }
        buffer.append(decimal: rest)
    }

    /// Seconds, to the microsecond.
    public mutating func seconds(_ name: StaticString, _ value: Double) {
        key(name)
        let microseconds = UInt64(min(max(value, 0), 1e12) * 1e6)
        buffer.append(decimal: microseconds / 1_000_000)
        buffer.append(".")
        let rest = microseconds % 1_000_000
        for divisor in [100_000, 10_000, 1000, 100, 10] as [UInt64] where rest < divisor { buffer.append("0") }
        buffer.append(decimal: rest)
    }

    public mutating func flag(_ name: StaticString, _ value: Bool) {
        key(name)
        if value { buffer.append("true") } else { buffer.append("false") }
    }

    public mutating func string(_ name: StaticString, _ value: String) {
        key(name)
        quoted(value)
    }

    public mutating func strings(_ name: StaticString, _ values: [String]) {
        key(name)
        buffer.append("[")
        for (index, value) in values.enumerated() {
            if index > 0 { buffer.append(",") }
            quoted(value)
        }
        buffer.append("]")
    }

    public mutating func null(_ name: StaticString) {
        key(name)
        buffer.append("null")
    }

    /// An object of strings whose keys are only known now.
    public mutating func strings(_ name: StaticString, _ values: [(String, String)]) {
        key(name)
        buffer.append("{")
        for (index, value) in values.enumerated() {
            if index > 0 { buffer.append(",") }
            quoted(value.0)
            buffer.append(":")
            quoted(value.1)
        }
        buffer.append("}")
    }

    /// An array of objects.
    public mutating func objects<Element>(
        _ name: StaticString, _ values: [Element], _ body: (inout JSONLine, Element) -> Void
    ) {
        key(name)
        buffer.append("[")
        for (index, value) in values.enumerated() {
            if index > 0 { buffer.append(",") }
            buffer.append("{")
            isFirst = true
            body(&self, value)
            buffer.append("}")
        }
        buffer.append("]")
        isFirst = false
    }

    private mutating func quoted(_ text: String) {
        buffer.append("\"")
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): buffer.append("\\\"")
            case UInt8(ascii: "\\"): buffer.append("\\\\")
            case UInt8(ascii: "\n"): buffer.append("\\n")
            case UInt8(ascii: "\t"): buffer.append("\\t")
            case 0..<0x20:
                buffer.append("\\u00")
                buffer.append(byte: byte < 16 ? UInt8(ascii: "0") : UInt8(ascii: "1"))
                let low = byte & 15
                buffer.append(byte: low < 10 ? UInt8(ascii: "0") + low : UInt8(ascii: "a") + low - 10)
            default: buffer.append(byte: byte)
            }
        }
        buffer.append("\"")
    }

    public consuming func finish() -> ReportBuffer {
        buffer.append("}")
        buffer.newline()
        return buffer
    }
}

extension ReportBuffer {
    /// Appends one JSON object and a newline.
    public mutating func json(_ body: (inout JSONLine) -> Void) {
        // The line must have the only copy of the bytes, or its first append copies them all.
        var taken = ReportBuffer(reserving: 0)
        swap(&self, &taken)
        var line = JSONLine(consume taken)
        body(&line)
        self = line.finish()
    }
}
