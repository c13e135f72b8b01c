import FoundationEssentials
import PageTables

extension ImageDescription {
    /// The JSON of a description that names `roots`.
    static func json(architecture: Architecture, byteOrder: ByteOrder?, roots: [MemoryImages.Root]) -> [UInt8] {
        let form = WrittenDescription(
            architecture: architecture.rawValue, byteOrder: byteOrder.map { $0 == .big ? "big" : "little" },
            roots: roots.map { root in
                WrittenDescription.Root(
                    name: root.name, process: root.process, paging: root.space.paging.rawValue,
                    registers: Dictionary(
                        root.registers.values.map { ($0.name, hexadecimal($0.value)) }, uniquingKeysWith: { $1 }))
            })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        // Strings and numbers only: there is nothing that cannot be encoded.
        let data = (try? encoder.encode(form)) ?? Data()
        return Array(data) + [UInt8(ascii: "\n")]
    }
}

private struct WrittenDescription: Encodable {
    struct Root: Encodable {
        let name: String
        let process: Int?
        let paging: String
        let registers: [String: String]
    }

    let architecture: String
    let byteOrder: String?
    let roots: [Root]
}
