import Reports

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes whole buffers to standard output.
enum StandardOutput {
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Colours only where somebody looks, and not where they asked for none (https://no-color.org).
    static var style: Style { Style(isColoured: isTerminal && getenv("NO_COLOR") == nil) }

    static func write(_ buffer: inout ReportBuffer) {
        writeAll(buffer.bytes, to: STDOUT_FILENO)
        buffer.removeAll()
    }

    static func write(text: String) { writeAll(Array(text.utf8), to: STDOUT_FILENO) }

    /// Writes once enough has gathered.
    static func flushIfLarge(_ buffer: inout ReportBuffer) { if buffer.bytes.count >= 1 << 16 { write(&buffer) } }
}

enum StandardError {
    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    static func write(text: String) { writeAll(Array(text.utf8), to: STDERR_FILENO) }
}

/// A reader that went away (`| head`) is no error of ours, but there is nobody left to write for.
private func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    // The pointer is used within the closure only, and never beyond the bytes it has.
    bytes.withUnsafeBytes { bytes in
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = writePart(descriptor, rest)
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                if errno != EPIPE && descriptor == STDOUT_FILENO {
                    let message = "pagewalk: standard output: \(String(cString: strerror(errno)))\n"
                    writeAll(Array(message.utf8), to: STDERR_FILENO)
                }
                endProcess(withStatus: 2)
            }
            rest = rest.dropFirst(count)
        }
    }
}

private func writePart(_ descriptor: Int32, _ bytes: Slice<UnsafeRawBufferPointer>) -> Int {
    let part = UnsafeRawBufferPointer(rebasing: bytes)
    return write(descriptor, part.baseAddress, part.count)
}

func endProcess(withStatus status: Int32) -> Never { exit(status) }
