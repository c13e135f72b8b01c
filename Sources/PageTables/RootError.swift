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

    public var description: String {
        switch self {
        case .realSpace: "translation is off: addresses are real"
        case .wrongMode(let found, let expected): "translation mode \(found) where \(expected) is expected"
        case .wrongAddressBits(let found, let expected):
            "a tree for \(found)-bit addresses, not for \(expected)-bit ones"
        case .wrongIndexBits(let found, let expected):
            "a top table of \(found) index bits where \(expected) are expected"
        }
    }
}
