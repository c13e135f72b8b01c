import CHostAtomics

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Physical memory of a live address space: one mapping, from physical address 0 upward, zero at first.
///
/// It is a file that is shared, so that another process can look at it while it is used: a file in memory, which
/// `/proc/PID/fd/N` names on Linux, or one with a path.
public final class HostArena: @unchecked Sendable {
    // Unchecked because of the pointer. The object itself never changes; the memory behind the pointer is only reached
    // through `HostMemory`, whose accesses are atomic or of objects that nobody else sees.

    /// Size in bytes: physical addresses are below it.
    public let byteCount: Int
    /// The open file, valid as long as the arena is.
    public let descriptor: Int32
    /// The name of the file; `nil` if it has none.
    public let path: String?
    /// Physical address 0.
    @usableFromInline
    let base: UnsafeMutableRawPointer

    /// An arena without a name, gone with the process.
    ///
    /// - Parameter byteCount: A positive multiple of the machine's page size.
    public convenience init(byteCount: Int) throws(ArenaError) {
        try self.init(descriptor: try Self.memoryFile(), path: nil, byteCount: byteCount)
    }

    /// An arena in a file that stays. What was in the file is lost.
    ///
    /// The file is sparse: where the disk is full when a page is first written, the system ends the process (SIGBUS).
    /// - Parameter byteCount: A positive multiple of the machine's page size.
    public convenience init(path: String, byteCount: Int) throws(ArenaError) {
        // Without O_NONBLOCK, a pipe that nobody reads from would be waited for.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o666)
        guard descriptor >= 0 else { throw .system(call: "open", path: path, code: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .notRegularFile(path: path)
        }
        try self.init(descriptor: descriptor, path: path, byteCount: byteCount)
    }

    /// Takes over an open file, also where it throws.
    private init(descriptor: Int32, path: String?, byteCount: Int) throws(ArenaError) {
        let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
        guard byteCount > 0, byteCount % pageBytes == 0 else {
            close(descriptor)
            throw .invalidSize(bytes: byteCount, pageBytes: pageBytes)
        }
        // First to nothing: what is not written reads as zero.
        guard ftruncate(descriptor, 0) == 0, ftruncate(descriptor, off_t(byteCount)) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(call: "ftruncate", path: path, code: code)
        }
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else {
            let code = errno
            close(descriptor)
            throw .system(call: "mmap", path: path, code: code)
        }
        self.byteCount = byteCount
        self.descriptor = descriptor
        self.path = path
        base = address
    }

    deinit {
        munmap(base, byteCount)
        close(descriptor)
    }

    /// A path under which other processes of the same user can open the arena; `nil` where it has no name and the system
    /// gives it none.
    public var visiblePath: String? {
        #if os(Linux) || os(Android)
            path ?? "/proc/\(getpid())/fd/\(descriptor)"
        #else
            path
        #endif
    }

    private static func memoryFile() throws(ArenaError) -> Int32 {
        #if os(Linux) || os(Android)
            let descriptor = host_memory_file("arena")
            if descriptor >= 0 { return descriptor }
        #endif
        return try unlinkedFile()
    }

    /// A temporary file that has lost its name: for systems without files in memory.
    static func unlinkedFile() throws(ArenaError) -> Int32 {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var name = Array((folder + "/arena.XXXXXX").utf8CString)
        let descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw .system(call: "mkstemp", path: folder, code: errno) }
        unlink(name)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        return descriptor
    }
}

func systemMessage(_ code: Int32) -> String { String(cString: strerror(code)) }
