import Foundation
import PageTables
import TableMemory
import Testing

@testable import HostMemory

@Suite("The arena")
struct ArenaTests {
    /// A path in a folder that exists, which nothing has yet.
    private func withScratchPath(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("arena-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.appendingPathComponent("arena").path)
    }

    /// What another process sees of the first word of a file.
    private func firstWordAsOthersSeeIt(_ path: String) throws -> UInt64 {
        let (process, output) = (Process(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "head -c 8 \"$0\"", path]
        process.standardOutput = output
        try process.run()
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        try #require(bytes.count == 8)
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    }

    #if os(Linux)
        @Test func `another process sees an arena without a name`() throws {
            let arena = try HostArena(byteCount: 1 << 16)
            HostProcessors(arena: arena).withProcessor { $0.store(0x1234_5678_9abc, to: word64(0), .relaxed) }
            #expect(arena.path == nil)
            #expect(try firstWordAsOthersSeeIt(try #require(arena.visiblePath)) == 0x1234_5678_9abc)
        }
    #endif

    @Test func `another mapping of the same file shows what is stored, and what it stores is loaded`() throws {
        let arena = try HostArena(byteCount: 1 << 16)
        let other = try #require(mmap(nil, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, arena.descriptor, 0))
        defer { munmap(other, 1 << 16) }
        HostProcessors(arena: arena).withProcessor { memory in
            memory.store(7, to: word64(4096), .release)
            #expect(other.load(fromByteOffset: 4096, as: UInt64.self) == 7)
            other.storeBytes(of: 8, toByteOffset: 4104, as: UInt64.self)
            #expect(memory.load(word64(4104), .acquire) == 8)
        }
    }

    @Test func `an arena in a file is as large as was asked for, zero at first, and stays`() throws {
        try withScratchPath { path in
            try Data(repeating: 0xff, count: 1 << 17).write(to: URL(fileURLWithPath: path))
            do {
                let arena = try HostArena(path: path, byteCount: 1 << 16)
                #expect(arena.visiblePath == path)
                HostProcessors(arena: arena).withProcessor { memory in
                    #expect(memory.load(word64(0), .relaxed) == 0)
                    memory.store(5, to: word64(0), .relaxed)
                }
                #expect(try firstWordAsOthersSeeIt(path) == 5)
            }
            let left = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(left.count == 1 << 16)
            #expect(left.first { $0 != 0 } == 5)
        }
    }

    @Test func `an arena works without files in memory`() throws {
        let descriptor = try HostArena.unlinkedFile()
        defer { close(descriptor) }
        var status = stat()
        #expect(fstat(descriptor, &status) == 0)
        #expect(status.st_nlink == 0)
        #expect(ftruncate(descriptor, 4096) == 0)
    }

    @Test(arguments: [0, -4096, 4097])
    func `a size that is not whole pages is refused`(byteCount: Int) {
        let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
        #expect(throws: ArenaError.invalidSize(bytes: byteCount, pageBytes: pageBytes)) {
            try HostArena(byteCount: byteCount)
        }
    }

    @Test func `what is no regular file is refused, with its name`() throws {
        let folder = FileManager.default.temporaryDirectory.path
        #expect(throws: ArenaError.system(call: "open", path: folder, code: EISDIR)) {
            try HostArena(path: folder, byteCount: 1 << 16)
        }
        #expect(throws: ArenaError.notRegularFile(path: "/dev/null")) {
            try HostArena(path: "/dev/null", byteCount: 1 << 16)
        }
        try withScratchPath { path in
            #expect(throws: ArenaError.system(call: "open", path: path + "/below", code: ENOENT)) {
                try HostArena(path: path + "/below", byteCount: 1 << 16)
            }
        }
        #expect("\(ArenaError.notRegularFile(path: "/dev/null"))" == "/dev/null: not a regular file")
    }

    @Test func `a size that no file can have is an error and not a crash`() {
        #expect(throws: ArenaError.self) { try HostArena(byteCount: Int.max & ~0xffff) }
    }
}
