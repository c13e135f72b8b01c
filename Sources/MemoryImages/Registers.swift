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
    public init?(hexadecimal text: some StringProtocol) {
        let digits = text.hasPrefix("0x") || text.hasPrefix("0X") ? text.dropFirst(2) : text[...]
        guard let first = digits.first, first != "_", first != "+", first != "-" else { return nil }
        self.init(String(digits.filter { $0 != "_" }), radix: 16)
    }
}
