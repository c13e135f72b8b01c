#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A file that gets its name when it is complete.
struct NewFile: ~Copyable {
    private let path: String
    private let temporaryPath: String
    private let descriptor: Int32
    private var byteCount: UInt64 = 0
    private var isFinished = false

    /// Writes a whole file.
    static func write(_ bytes: [UInt8], to path: String) throws(ImageError) {
        var file = try NewFile(path)
        try file.append(bytes)
        _ = try file.finish()
    }

    init(_ path: String) throws(ImageError) {
        // A device or a directory must not be replaced by a file.
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw ImageError(path, status.st_mode & S_IFMT == S_IFDIR ? .isDirectory : .notRegularFile)
        }
        var name = Array((path + ".XXXXXX").utf8CString)
        let opened = mkstemp(&name)
        guard opened >= 0 else { throw ImageError(path, .system(systemMessage())) }
        self.path = path
        descriptor = opened
        temporaryPath = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        close(descriptor)
        if !isFinished { unlink(temporaryPath) }
    }

    mutating func append(_ bytes: [UInt8]) throws(ImageError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { rest in
                #if canImport(Darwin)
                    Darwin.write(descriptor, rest.baseAddress.map { $0 + written }, rest.count - written)
                #elseif canImport(Musl)
                    Musl.write(descriptor, rest.baseAddress.map { $0 + written }, rest.count - written)
                #else
                    Glibc.write(descriptor, rest.baseAddress.map { $0 + written }, rest.count - written)
                #endif
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw ImageError(path, at: byteCount + UInt64(written), "writing", .system(systemMessage()))
            }
            written += count
        }
        byteCount += UInt64(bytes.count)
    }

    /// - Returns: bytes of the file.
    consuming func finish() throws(ImageError) -> UInt64 {
        // `mkstemp` keeps the file from everybody else; a new file's rights are the creator's to limit.
        let mask = umask(0)
        umask(mask)
        guard fchmod(descriptor, 0o666 & ~mask) == 0, rename(temporaryPath, path) == 0 else {
            throw ImageError(path, .system(systemMessage()))
        }
        isFinished = true
        return byteCount
    }
}
