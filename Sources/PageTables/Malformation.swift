/// Why an entry is malformed: a value, because entries come from images and guests that may hold anything.
public enum Malformation: Hashable, Sendable, CustomStringConvertible {
    /// Bits that must be zero are not; the mask of the offenders.
    case reservedBits(UInt64)
    /// The entry says that it belongs to a table of another level (s390x TT, ppc64 NLS).
    case wrongTableType(found: Int, expected: Int)
    /// A large page whose address is not a multiple of its size.
    case misalignedLeaf
    /// A leaf at a level where the format (or the mode it is in) has none.
    case leafAtIllegalLevel
    /// A pointer to a table below the leaf table.
    case tableBelowLeafTable
    /// A combination of bits that the manual reserves.
    case reservedEncoding
    /// An output address wider than the mode allows.
    case addressTooWide

    public var description: String {
        switch self {
        case .reservedBits(let mask): "reserved bits \(hexadecimal(mask)) are set"
        case .wrongTableType(let found, let expected): "table type \(found) where \(expected) is expected"
        case .misalignedLeaf: "large page at a misaligned address"
        case .leafAtIllegalLevel: "leaf at a level that has none"
        case .tableBelowLeafTable: "pointer to a table below the leaf table"
        case .reservedEncoding: "reserved combination of bits"
        case .addressTooWide: "output address is too wide"
        }
    }
}
