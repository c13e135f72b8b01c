/// Colours of a terminal, or none.
public struct Style: Sendable {
    public let isColoured: Bool

    public init(isColoured: Bool) { self.isColoured = isColoured }

    public enum Colour: Sendable {
        case plain
        case bold
        case dim
        case red
        case green
        case yellow
        case cyan

        var sequence: StaticString {
            switch self {
            case .plain: "\u{1b}[0m"
            case .bold: "\u{1b}[1m"
            case .dim: "\u{1b}[2m"
            case .red: "\u{1b}[31m"
            case .green: "\u{1b}[32m"
            case .yellow: "\u{1b}[33m"
            case .cyan: "\u{1b}[36m"
            }
        }
    }

    /// Appends what `body` appends in a colour.
    func paint(_ colour: Colour, _ buffer: inout ReportBuffer, _ body: (inout ReportBuffer) -> Void) {
        guard isColoured, colour != .plain else { return body(&buffer) }
        buffer.append(colour.sequence)
        body(&buffer)
        buffer.append(Colour.plain.sequence)
    }
}
