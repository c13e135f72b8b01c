import FoundationEssentials
import PageTables

/// What a person says about an image that does not say it itself: registers and named roots, as JSON.
///
/// The form is documented in `Documentation/Reports.md`.
public struct ImageDescription: Sendable {
    public struct Root: Sendable {
        public let name: String
        public let process: Int?
        public let levels: Int?
        public let paging: Paging?
        /// Those of the root over those that all roots share.
        public let registers: Registers
    }

    public struct Memory: Sendable {
        public let physical: UInt64
        public let bytes: UInt64
        public let offset: UInt64
    }

    /// No description that a person wrote is longer, in bytes.
    private static let largestFile = 16 << 20

    public let architecture: Architecture
    public let byteOrder: ByteOrder?
    public let registers: Registers
    public let roots: [Root]
    /// Where the bytes of a raw image belong; empty where the image says it itself.
    public let memory: [Memory]

    /// Reads a description from a file.
    /// - Throws: `ImageError` that names the file and the field.
    public init(path: String) throws(ImageError) {
        let file = try MappedFile(path: path)
        guard file.byteCount <= Self.largestFile else {
            throw ImageError(path, .tooLarge(limit: UInt64(Self.largestFile)))
        }
        try self.init(json: file.bytes(at: 0, count: UInt64(file.byteCount)) ?? [], path: path)
    }

    /// - Parameter path: The name that errors give.
    public init(json: [UInt8], path: String) throws(ImageError) {
        let form: Form
        do {
            form = try JSONDecoder().decode(Form.self, from: Data(json))
        } catch let error as DecodingError {
            let (field, reason) = explain(error)
            throw ImageError(path, field, .invalid(reason))
        } catch {
            throw ImageError(path, "JSON", .invalid("not readable"))
        }
        func fail(_ field: String, _ reason: String) -> ImageError {
            ImageError(path, field, .invalid(reason))
        }
        func number(_ text: String, _ field: String) throws(ImageError) -> UInt64 {
            guard let value = UInt64(hexadecimal: text) else {
                throw fail(field, "'\(text)' is not a hexadecimal number")
            }
            return value
        }
        func registers(_ values: [String: String]?, _ field: String) throws(ImageError) -> Registers {
            var result = Registers()
            for (name, text) in (values ?? [:]).sorted(by: { $0.key < $1.key }) {
                result[name] = try number(text, "\(field).\(name)")
            }
            return result
        }
        guard let architecture = Architecture(name: form.architecture) else {
            let known = Architecture.allCases.map(\.rawValue).joined(separator: ", ")
            throw fail("architecture", "'\(form.architecture)' is not one of \(known)")
        }
        self.architecture = architecture
        switch form.byteOrder {
        case nil: byteOrder = nil
        case "little": byteOrder = .little
        case "big": byteOrder = .big
        case .some(let other): throw fail("byteOrder", "'\(other)' is neither little nor big")
        }
        let shared = try registers(form.registers, "registers")
        self.registers = shared
        var roots: [Root] = []
        for (index, root) in (form.roots ?? []).enumerated() {
            let field = "roots[\(index)]"
            guard !roots.contains(where: { $0.name == root.name }) else {
                throw fail("\(field).name", "'\(root.name)' names two roots")
            }
            var paging: Paging?
            if let name = root.paging {
                guard let known = Paging(rawValue: name) else {
                    throw fail("\(field).paging", "'\(name)' is no format; `pagewalk formats` lists them")
                }
                paging = known
            }
            let own = try registers(root.registers, "\(field).registers")
            roots.append(
                Root(
                    name: root.name, process: root.process, levels: root.levels, paging: paging,
                    registers: shared.overridden(by: own)))
        }
        self.roots = roots
        var memory: [Memory] = []
        for (index, part) in (form.memory ?? []).enumerated() {
            let field = "memory[\(index)]"
            memory.append(
                Memory(
                    physical: try number(part.physical, "\(field).physical"),
                    bytes: try number(part.bytes, "\(field).bytes"),
                    offset: try number(part.offset, "\(field).offset")))
        }
        self.memory = memory
    }

    /// The JSON as it stands in the file.
    private struct Form: Decodable {
        struct Root: Decodable {
            let name: String
            let process: Int?
            let levels: Int?
            let paging: String?
            let registers: [String: String]?
        }

        struct Memory: Decodable {
            let physical: String
            let bytes: String
            let offset: String
        }

        let architecture: String
        let byteOrder: String?
        let registers: [String: String]?
        let roots: [Root]?
        let memory: [Memory]?
    }
}

/// The field and the reason of a decoding error.
private func explain(_ error: DecodingError) -> (field: String, reason: String) {
    func path(_ keys: [any CodingKey]) -> String {
        let text = keys.reduce("") { text, key in
            if let index = key.intValue { return text + "[\(index)]" }
            return text.isEmpty ? key.stringValue : text + "." + key.stringValue
        }
        return text.isEmpty ? "JSON" : text
    }
    switch error {
    case .keyNotFound(let key, let context): return (path(context.codingPath + [key]), "is missing")
    case .typeMismatch(let type, let context): return (path(context.codingPath), "is no \(type)")
    case .valueNotFound(let type, let context): return (path(context.codingPath), "is null instead of \(type)")
    case .dataCorrupted(let context): return (path(context.codingPath), context.debugDescription)
    @unknown default: return ("JSON", "not readable")
    }
}
