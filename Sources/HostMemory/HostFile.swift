import Synchronization
import TableMemory

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A regular file of the system as a backing store, by `pread` and `pwrite`.
///
/// What is written is the system's, which may find out later that it cannot keep it: `synchronize` and `close` say so.
public final class HostFile: BackingStore {
    /// What is allowed, and what becomes of a file that is not there.
    public enum Mode: Sendable {
        /// The file has to be there; writing and resizing fail, and no shared region lets anybody write to it.
        case readOnly
        case readWrite
        /// As `readWrite`; a file that is not there is made.
        case create
    }

    /// As it was given, for messages.
    public let path: String
    public let isWritable: Bool
    /// What system calls know the file by; -1 when it is closed.
    private let openDescriptor: Atomic<Int32>
    var descriptor: Int32 { openDescriptor.load(ordering: .relaxed) }

    /// Opens a regular file.
    public init(path: String, _ mode: Mode = .readWrite) throws(HostFileError) {
        let flags =
            switch mode {
            case .readOnly: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT
            }
        // Without O_NONBLOCK, a pipe that nobody reads from would be waited for.
        let descriptor = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0o666)
        openDescriptor = Atomic(descriptor)
        isWritable = mode != .readOnly
        self.path = path
        guard descriptor >= 0 else { throw HostFileError(call: "open", path: path, offset: nil, code: errno) }
        // The object is complete: where this fails, it is closed as it goes.
        if try status().st_mode & S_IFMT != S_IFREG {
            throw HostFileError(call: "open", path: path, offset: nil, code: EINVAL)
        }
    }

    deinit { if descriptor >= 0 { _ = closeDescriptor(descriptor) } }

    /// Gives the file back to the system, which happens without it when nobody has the object any more, but unheard. What is done
    /// to the file afterwards fails.
    ///
    /// - Throws: What the system tells of earlier writes only now; the file is closed all the same. It need not tell of what is
    ///   not on the disk yet: see `synchronize`.
    /// - Precondition: No `CachedFile` is over it, or that one is closed.
    public func close() throws(HostFileError) {
        let closed = openDescriptor.exchange(-1, ordering: .relaxed)
        if closeDescriptor(closed) != 0 { throw HostFileError(call: "close", path: path, offset: nil, code: errno) }
    }

    private func status() throws(HostFileError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw HostFileError(call: "fstat", path: path, offset: nil, code: errno)
        }
        return status
    }

    public func byteCount() throws(HostFileError) -> UInt64 { UInt64(max(try status().st_size, 0)) }

    public func read(at offset: UInt64, into bytes: inout [UInt8]) throws(HostFileError) {
        var done = 0
        while done < bytes.count {
            let place = try place(offset, done, "pread")
            // The system writes into the array's memory.
            let count = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done, place)
            }
            if count == 0 { break }
            if count > 0 { done += count } else if errno != EINTR { throw failure("pread", place) }
        }
        for index in done..<bytes.count { bytes[index] = 0 }
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(HostFileError) {
        var done = 0
        while done < bytes.count {
            let place = try place(offset, done, "pwrite")
            // The system reads the array's memory.
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done, place)
            }
            if count > 0 { done += count } else if count == 0 || errno != EINTR { throw failure("pwrite", place) }
        }
    }

    public func resize(to byteCount: UInt64) throws(HostFileError) {
        let size = try place(byteCount, 0, "ftruncate")
        while ftruncate(descriptor, size) != 0 { if errno != EINTR { throw failure("ftruncate", size) } }
    }

    /// By `fsync`: of a file that was made, the folder's entry is not meant.
    public func synchronize() throws(HostFileError) {
        while fsync(descriptor) != 0 {
            if errno != EINTR { throw HostFileError(call: "fsync", path: path, offset: nil, code: errno) }
        }
    }

    private func failure(_ call: String, _ place: off_t) -> HostFileError {
        HostFileError(call: call, path: path, offset: UInt64(place), code: errno)
    }

    /// An offset as the system has it: signed.
    private func place(_ offset: UInt64, _ done: Int, _ call: String) throws(HostFileError) -> off_t {
        let (sum, overflow) = offset.addingReportingOverflow(UInt64(done))
        guard !overflow, let place = off_t(exactly: sum) else {
            throw HostFileError(call: call, path: path, offset: offset, code: EFBIG)
        }
        return place
    }
}

/// The system's `close`, where a method has the name.
private func closeDescriptor(_ descriptor: Int32) -> Int32 { close(descriptor) }

/// A system call on a file failed.
public struct HostFileError: Error, Hashable, Sendable {
    public let call: String
    public let path: String
    /// Where in the file; `nil` for what concerns all of it.
    public let offset: UInt64?
    /// The system's number of the failure.
    public let code: Int32
}

extension HostFileError: CustomStringConvertible {
    public var description: String {
        "\(path): \(call)\(offset.map { " at \($0)" } ?? ""): \(systemMessage(code))"
    }
}
