/// Control registers by the names of their manuals, in the order given.
public struct Registers: Hashable, Sendable {
    public private(set) var values: [(name: String, value: UInt64)] = []

    public init() {}

    public init(_ values: [(name: String, value: UInt64)]) { for (name, value) in values { self[name] = value } }

    public subscript(_ name: String) -> UInt64? {
        get { values.first { $0.name == name }?.value }
        set {
            values.removeAll { $0.name == name }
            if let newValue { values.append((name, newValue)) }
        }
    }

    /// These, with those of `other` added or in their place.
    public func overridden(by other: Registers) -> Registers {
        var result = self
        for (name, value) in other.values { result[name] = value }
        return result
    }

    public static func == (left: Registers, right: Registers) -> Bool {
        left.values.elementsEqual(right.values) { $0 == $1 }
    }

    public func hash(into hasher: inout Hasher) {
        for (name, value) in values {
            hasher.combine(name)
            hasher.combine(value)
        }
    }
}

extension UInt64 {
    /// Reads a hexadecimal number with or without `0x`; underscores may group its digits.
    public init?(hexadecimal text: some StringProtocol) { self.init(hexadecimalBytes: Array(text.utf8)[...]) }

    /// The same of ASCII bytes.
    public init?(hexadecimalBytes bytes: ArraySlice<UInt8>) {
        var rest = bytes
        if rest.starts(with: "0x".utf8) || rest.starts(with: "0X".utf8) { rest = rest.dropFirst(2) }
        guard let first = rest.first, first != UInt8(ascii: "_") else { return nil }
        var value: UInt64 = 0
        for byte in rest {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            case UInt8(ascii: "_"): continue
            default: return nil
            }
            guard value >> 60 == 0 else { return nil }
            value = value << 4 | UInt64(digit)
        }
        self = value
    }
}
