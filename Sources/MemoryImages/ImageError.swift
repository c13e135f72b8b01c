/// Why an image cannot be read, or a capture not be written: the file, the place in it, and what is wrong there.
public struct ImageError: Error, Hashable, Sendable, CustomStringConvertible {
    public let path: String
    /// Where in the file, in bytes from its start; `nil` where it is about the file as a whole.
    public let offset: UInt64?
    /// The field, in the words of the container's own definition: `program header 3 (p_offset)`.
    public let field: String?
    public let reason: Reason

    public enum Reason: Hashable, Sendable {
        /// The system refused something; its own words.
        case system(String)
        case notRegularFile
        case isDirectory
        case empty
        /// The file ends before the field does.
        case truncated
        /// The field points behind the end of the file.
        case behindEnd
        /// No container that is known here.
        case unknownContainer
        /// A value that no reader could make sense of; what would.
        case invalid(String)
        /// A well-formed file of a kind that is not read here; what to do about it.
        case unsupported(String)
        /// Compressed data that its decompressor refuses; its own words.
        case corrupt(String)
        /// Decompressed data beyond the limit, in bytes.
        case tooLarge(limit: UInt64)
        /// Memory that should be written is not in the image.
        case absent
    }

    public init(_ path: String, at offset: UInt64? = nil, _ field: String, _ reason: Reason) {
        self.path = path
        self.offset = offset
        self.field = field
        self.reason = reason
    }

    public init(_ path: String, _ reason: Reason) {
        self.path = path
        offset = nil
        field = nil
        self.reason = reason
    }

    /// One line: file, offset, field, reason.
    public var description: String {
        var place: [String] = []
        if let offset { place.append("offset 0x" + String(offset, radix: 16)) }
        if let field { place.append(field) }
        let parts = place.isEmpty ? [path, reason.text] : [path, place.joined(separator: ", "), reason.text]
        return oneLine(parts.joined(separator: ": "))
    }
}

extension ImageError.Reason {
    /// The reason in words.
    var text: String {
        switch self {
        case .system(let words): words
        case .notRegularFile: "not a regular file"
        case .isDirectory: "is a directory"
        case .empty: "the file is empty"
        case .truncated: "the file ends before it"
        case .behindEnd: "points behind the end of the file"
        case .unknownContainer:
            "not a memory image: expected an ELF core, kdump-compressed (plain or flattened) or LiME, "
                + "or one of them compressed with zstd or gzip; raw memory needs its physical address"
        case .invalid(let expectation): expectation
        case .unsupported(let advice): advice
        case .corrupt(let words): "compressed data is corrupt: \(words)"
        case .tooLarge(let limit): "more than \(limit) bytes when decompressed"
        case .absent: "this memory is not in the image"
        }
    }
}

/// Names and file contents reach messages, and a message is one line.
func oneLine(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else { return text }
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        result.append(scalar.value < 0x20 || scalar.value == 0x7f ? "?" : scalar)
    }
    return String(result)
}
