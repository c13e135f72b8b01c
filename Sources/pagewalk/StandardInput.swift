#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Lines of standard input, read in large pieces: there may be millions of addresses.
struct StandardInput {
    private var bytes: [UInt8] = []
    private var position = 0
    private var isAtEnd = false

    /// A line longer than this is no address; it is handed on in pieces.
    private static let longestLine = 1 << 16

    /// The next line without its end; `nil` at the end of the input.
    mutating func nextLine() -> ArraySlice<UInt8>? {
        var searched = position
        while true {
            if let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { position = end + 1 }
                return bytes[position..<end]
            }
            if isAtEnd || bytes.count - position > Self.longestLine {
                guard position < bytes.count else { return nil }
                defer { position = bytes.count }
                return bytes[position...]
            }
            bytes.removeFirst(position)
            position = 0
            searched = bytes.count
            readMore()
        }
    }

    private mutating func readMore() {
        let start = bytes.count
        let room = 1 << 16
        bytes.append(contentsOf: repeatElement(0, count: room))
        // The pointer is used within the closure only, for at most the room just made.
        let count = bytes.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress.map { $0 + start }, room) }
        bytes.removeLast(room - max(count, 0))
        if count == 0 || count < 0 && errno != EINTR { isAtEnd = true }
    }
}
