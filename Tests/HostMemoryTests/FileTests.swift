import Foundation
import PageTables
import TableMemory
import Testing

@testable import HostMemory

@Suite("A file of the system as a backing store")
struct FileTests {
    private func withScratchPath(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("file-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.appendingPathComponent("file").path)
    }

    @Test func `what is written is read, and zeros behind the end`() throws {
        try withScratchPath { path in
            let file = try HostFile(path: path, .create)
            try file.write([1, 2, 3], at: 5)
            #expect(try file.byteCount() == 8)
            var bytes = [UInt8](repeating: 9, count: 6)
            try file.read(at: 4, into: &bytes)
            #expect(bytes == [0, 1, 2, 3, 0, 0])
            try file.resize(to: 6)
            try file.read(at: 4, into: &bytes)
            #expect(bytes == [0, 1, 0, 0, 0, 0])
            #expect(FileManager.default.contents(atPath: path) == Data([0, 0, 0, 0, 0, 1]))
        }
    }

    @Test func `a failure names the call, the file, the offset and the system's number`() throws {
        try withScratchPath { path in
            #expect(throws: HostFileError(call: "open", path: path, offset: nil, code: ENOENT)) {
                try HostFile(path: path)
            }
            _ = try HostFile(path: path, .create)
            let file = try HostFile(path: path, .readOnly)
            #expect(throws: HostFileError(call: "pwrite", path: path, offset: 4096, code: EBADF)) {
                try file.write([1], at: 4096)
            }
            #expect(throws: HostFileError(call: "pwrite", path: path, offset: .max, code: EFBIG)) {
                try file.write([1], at: .max)
            }
            let folder = (path as NSString).deletingLastPathComponent
            #expect(throws: HostFileError.self) { try HostFile(path: folder, .readOnly) }
        }
    }

    @Test func `what is written is synchronized, and closing says whether it was kept, once`() throws {
        try withScratchPath { path in
            let file = try HostFile(path: path, .create)
            #expect(file.isWritable)
            try file.write([1], at: 0)
            try file.synchronize()
            try file.close()
            #expect(FileManager.default.contents(atPath: path) == Data([1]))
            for call in ["close", "fsync"] {
                #expect(throws: HostFileError(call: call, path: path, offset: nil, code: EBADF)) {
                    if call == "close" { try file.close() } else { try file.synchronize() }
                }
            }
            #expect(throws: HostFileError(call: "pwrite", path: path, offset: 0, code: EBADF)) {
                try file.write([2], at: 0)
            }
            let unwritable = try HostFile(path: path, .readOnly)
            #expect(!unwritable.isWritable)
            try unwritable.synchronize()
        }
    }

    @Test func `bytes are copied in the order of addresses, and only where they are to be`() throws {
        try makeProcessors().withProcessor { memory in
            let bytes = (0..<64).map { UInt8($0) }
            memory.write(bytes, to: range(0x1000, bytes: 64))
            #expect(memory.load(word64(0x1008), .relaxed) == UInt64(littleEndian: 0x0f0e_0d0c_0b0a_0908).littleEndian)
            memory.clearWord(from: PhysicalAddress(0x100b))
            var copy = [UInt8](repeating: 0xff, count: 24)
            memory.read(range(0x1000, bytes: 24), into: &copy)
            #expect(copy == bytes[0..<11] + [0, 0, 0, 0, 0] + bytes[16..<24])
            #expect(memory.load(word64(0xff8), .relaxed) == 0 && memory.load(word64(0x1040), .relaxed) == 0)
        }
    }
}
