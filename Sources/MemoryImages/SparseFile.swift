#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A temporary file without a name, written from front to back. Blocks of zeros become holes.
struct SparseFile: ~Copyable {
    private let descriptor: Int32
    /// Of the image that the content comes from, for messages.
    private let path: String
    private let directory: String
    private let limit: UInt64
    private var byteCount: UInt64 = 0

    private static let blockBytes = 64 << 10

    init(for path: String, limit: UInt64) throws(ImageError) {
        let directory = getenv("TMPDIR").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        var name = Array((directory + "/pagewalk-XXXXXX").utf8CString)
        let opened = mkstemp(&name)
        guard opened >= 0 else {
            throw ImageError(path, "temporary file in \(directory) (TMPDIR)", .system(systemMessage()))
        }
        descriptor = opened
        self.path = path
        self.limit = limit
        self.directory = directory
        unlink(name)
    }

    deinit { close(descriptor) }

    /// Writes bytes at the end.
    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        guard UInt64(bytes.count) <= limit - byteCount else { throw ImageError(path, .tooLarge(limit: limit)) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let block = UnsafeRawBufferPointer(rebasing: rest.prefix(Self.blockBytes))
            rest = rest.dropFirst(Self.blockBytes)
            if !block.allSatisfyZero { try write(block) }
            byteCount += UInt64(block.count)
        }
    }

    private func write(_ block: UnsafeRawBufferPointer) throws(ImageError) {
        var written = 0
        while written < block.count {
            let count = pwrite(
                descriptor, block.baseAddress.map { $0 + written }, block.count - written,
                off_t(byteCount) + off_t(written))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw ImageError(path, "temporary file in \(directory) (TMPDIR)", .system(systemMessage()))
            }
            written += count
        }
    }

    /// Everything that was written.
    consuming func map() throws(ImageError) -> MappedFile {
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
            throw ImageError(path, "temporary file in \(directory) (TMPDIR)", .system(systemMessage()))
        }
        return try MappedFile(descriptor: descriptor, path: path)
    }
}

extension UnsafeRawBufferPointer {
    /// Whether there is nothing but zeros.
    var allSatisfyZero: Bool {
        var offset = 0
        while offset + 8 <= count {
            if loadUnaligned(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
            offset += 8
        }
        return self[offset...].allSatisfy { $0 == 0 }
    }
}
