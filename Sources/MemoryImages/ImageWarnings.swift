/// What is odd about an image that can be read all the same. The list is bounded, because an image decides its length.
struct ImageWarnings: Sendable {
    private(set) var lines: [String] = []
    private var omitted = 0
    /// Some of the file that its headers promise is not there.
    private(set) var isTruncated = false

    private static let limit = 16

    mutating func add(_ text: String) { add(at: nil, nil, text) }

    mutating func add(at offset: UInt64?, _ field: String?, _ text: String) {
        guard lines.count < Self.limit else {
            omitted += 1
            return
        }
        var place: [String] = []
        if let offset { place.append("offset 0x" + String(offset, radix: 16)) }
        if let field { place.append(field) }
        lines.append(oneLine(place.isEmpty ? text : place.joined(separator: ", ") + ": " + text))
    }

    mutating func addTruncation(_ text: String) { addTruncation(at: nil, nil, text) }

    mutating func addTruncation(at offset: UInt64?, _ field: String?, _ text: String) {
        isTruncated = true
        add(at: offset, field, text)
    }

    /// The lines, and one more if some were left out.
    var all: [String] {
        omitted == 0 ? lines : lines + ["\(omitted) more of this kind"]
    }
}
