/// The field of a control register that a root was to be taken from, by its name in the manual.
public enum RootField: UInt8, Hashable, Sendable, CustomStringConvertible {
    case t0sz
    case t1sz
    case tg0
    case tg1
    case ttbr0
    case ttbr1

    public var description: String {
        switch self {
        case .t0sz: "T0SZ"
        case .t1sz: "T1SZ"
        case .tg0: "TG0"
        case .tg1: "TG1"
        case .ttbr0: "TTBR0"
        case .ttbr1: "TTBR1"
        }
    }
}
