/// Bytes of a report on their way out. Numbers are written digit by digit: a dump has tens of thousands of lines, and a
/// `String` for each field would cost more than walking the tables.
public struct ReportBuffer: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() { self.init(reserving: 1 << 16) }

    init(reserving capacity: Int) { bytes.reserveCapacity(capacity) }

    public var isEmpty: Bool { bytes.isEmpty }

    /// Forgets the bytes and keeps their room.
    public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    public mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    public mutating func append(text: String) { bytes.append(contentsOf: text.utf8) }

    public mutating func append(byte: UInt8) { bytes.append(byte) }

    public mutating func newline() { bytes.append(UInt8(ascii: "\n")) }

    public mutating func spaces(_ count: Int) {
        for _ in 0..<max(count, 0) { bytes.append(UInt8(ascii: " ")) }
    }

    /// `0x` and at least `digits` digits.
    public mutating func append(hexadecimal value: UInt64, digits: Int = 1) {
        bytes.append(UInt8(ascii: "0"))
        bytes.append(UInt8(ascii: "x"))
        let needed = max((64 - value.leadingZeroBitCount + 3) / 4, digits, 1)
        var shift = (needed - 1) * 4
        while shift >= 0 {
            let digit = shift < 64 ? UInt8(truncatingIfNeeded: value >> UInt64(shift) & 15) : 0
            bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            shift -= 4
        }
    }

    /// The end of a range whose last address is `last`; `0x10000000000000000` behind the top.
    public mutating func append(endAfter last: UInt64, digits: Int = 1) {
        if last == .max { append("0x10000000000000000") } else { append(hexadecimal: last + 1, digits: digits) }
    }

    public mutating func append(decimal value: UInt64) {
        if value >= 10 { append(decimal: value / 10) }
        bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
    }

    /// Text padded with spaces to a width, on its left or on its right side.
    public mutating func append(text: String, width: Int, right: Bool = false) {
        let missing = width - text.utf8.count
        if right { spaces(missing) }
        append(text: text)
        if !right { spaces(missing) }
    }
}
