import PageTables

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A whole file, mapped to be read. It stays mapped as long as anything refers to this object, and every offset is
/// checked against its size.
///
/// A file that somebody makes shorter while it is mapped takes pages away from under the reader, and the system ends the
/// process (SIGBUS). An image is expected to stay as it is while it is read.
public final class MappedFile: @unchecked Sendable {
    // Unchecked because of the pointer: it is to memory that is never written and lives until `deinit`.

    /// For messages.
    public let path: String
    /// Size in bytes.
    public let byteCount: Int
    /// The first byte; without meaning if `byteCount` is 0.
    let base: UnsafeRawPointer

    /// Maps the file at `path`.
    /// - Throws: if it cannot be opened, or is a directory, a pipe or a device. An empty file is no error.
    public convenience init(path: String) throws(ImageError) {
        // Without O_NONBLOCK, a pipe that nobody writes to would be waited for.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw ImageError(path, .system(systemMessage())) }
        defer { close(descriptor) }
        try self.init(descriptor: descriptor, path: path)
    }

    /// Whether there is something of that name.
    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// All bytes of a file, decompressed if it is compressed with zstd or gzip.
    ///
    /// - Parameter limit: The most bytes that there may be.
    public static func decompressedBytes(path: String, limit: UInt64 = 1 << 30) throws(ImageError) -> [UInt8] {
        var file = try MappedFile(path: path)
        if let format = CompressedFile.Format(file) { file = try CompressedFile.decompress(file, format, limit: limit) }
        return file.bytes(at: 0, count: UInt64(file.byteCount)) ?? []
    }

    /// Maps an open file, which may be closed afterwards.
    init(descriptor: Int32, path: String) throws(ImageError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw ImageError(path, .system(systemMessage())) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw ImageError(path, .isDirectory)
        default: throw ImageError(path, .notRegularFile)
        }
        guard let size = Int(exactly: status.st_size) else { throw ImageError(path, .system("too large to map")) }
        self.path = path
        byteCount = size
        if size == 0 {
            base = Self.nothing
        } else {
            guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
                throw ImageError(path, .system(systemMessage()))
            }
            base = UnsafeRawPointer(address)
        }
    }

    deinit {
        if byteCount > 0 { munmap(UnsafeMutableRawPointer(mutating: base), byteCount) }
    }

    private nonisolated(unsafe) static let nothing = UnsafeRawPointer(
        UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8))

    /// Whether the file has all of these bytes.
    func contains(_ offset: UInt64, _ count: UInt64) -> Bool {
        offset <= UInt64(byteCount) && count <= UInt64(byteCount) - offset
    }

    /// `count` bytes at `offset` if the file has them all, valid as long as the file is.
    func pointer(at offset: UInt64, count: UInt64) -> UnsafeRawPointer? {
        contains(offset, count) ? base + Int(offset) : nil
    }

    func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self, at offset: UInt64, _ order: ByteOrder
    ) -> Value? {
        guard let pointer = pointer(at: offset, count: UInt64(MemoryLayout<Value>.size)) else { return nil }
        return Value(memory: pointer.loadUnaligned(as: Value.self), order)
    }

    /// `count` bytes at `offset` if the file has them all.
    func bytes(at offset: UInt64, count: UInt64) -> [UInt8]? {
        guard let pointer = pointer(at: offset, count: count) else { return nil }
        return [UInt8](UnsafeRawBufferPointer(start: pointer, count: Int(count)))
    }

    func starts(with prefix: some Sequence<UInt8>, at offset: UInt64 = 0) -> Bool {
        let prefix = Array(prefix)
        guard let pointer = pointer(at: offset, count: UInt64(prefix.count)) else { return false }
        return UnsafeRawBufferPointer(start: pointer, count: prefix.count).elementsEqual(prefix)
    }
}

/// What the system says about the call that just failed.
func systemMessage() -> String { String(cString: strerror(errno)) }
