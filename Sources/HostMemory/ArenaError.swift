/// Why there is no arena.
public enum ArenaError: Error, Equatable, Sendable {
    /// An arena is at least one page of the machine, and whole pages.
    case invalidSize(bytes: Int, pageBytes: Int)
    /// A named arena is a regular file.
    case notRegularFile(path: String)
    /// A system call failed.
    case system(call: String, path: String?, code: Int32)
}

extension ArenaError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidSize(let bytes, let pageBytes):
            "an arena of \(bytes) bytes is not a positive number of pages of \(pageBytes) bytes"
        case .notRegularFile(let path): "\(path): not a regular file"
        case .system(let call, let path, let code):
            "\(path.map { $0 + ": " } ?? "")\(call): \(systemMessage(code))"
        }
    }
}
