/// Why a root register (or a table entry that plays its part) describes no tree that a format can walk.
public enum RootError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Translation is off: addresses go to memory as they are (s390x: ASCE.R; riscv: satp mode "Bare").
    case realSpace
    /// The register's mode is another one than the format's.
    case wrongMode(found: Int, expected: Int)
    /// The tree translates addresses of another width than the format's (ppc64: RTS).
    case wrongAddressBits(found: Int, expected: Int)
    /// The top table is indexed by another number of bits than the format's (ppc64: RPDS).
    case wrongIndexBits(found: Int, expected: Int)
    /// The field gives addresses of a width that the architecture does not have (arm64: TxSZ).
    case addressSizeOutOfRange(field: RootField, value: Int)
    /// The tree has pages and tables of another size than the format's: log2 of the bytes (arm64: TGx).
    case wrongGranule(field: RootField, found: Int, expected: Int)
    /// The top table lies beyond the addresses that memory has.
    case addressTooWide(field: RootField, address: PhysicalAddress)

    public var description: String {
        switch self {
        case .realSpace: "translation is off: addresses are real"
        case .wrongMode(let found, let expected): "translation mode \(found) where \(expected) is expected"
        case .wrongAddressBits(let found, let expected):
            "a tree for \(found)-bit addresses, not for \(expected)-bit ones"
        case .wrongIndexBits(let found, let expected):
            "a top table of \(found) index bits where \(expected) are expected"
        case .addressSizeOutOfRange(let field, let value): "\(field) = \(value) is out of range"
        case .wrongGranule(let field, let found, let expected):
            "\(field) names pages of 2^\(found) bytes where 2^\(expected) are expected"
        case .addressTooWide(let field, let address): "\(field) has a table at \(address), which is too wide"
        }
    }
}
