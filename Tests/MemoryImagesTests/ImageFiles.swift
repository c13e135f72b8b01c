import Foundation
import PageTables

@testable import MemoryImages

/// The captures and dumps in `Tests/Fixtures`.
enum Fixture {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures")

    static func path(_ name: String) -> String { folder.appending(path: name).path }

    /// A dump of `Fixtures/kdump`.
    static func dump(_ name: String, cacheBytes: Int = 64 << 20) throws -> MemoryImage {
        try MemoryImage.open(path: path("kdump/\(name).zst"), cacheBytes: cacheBytes)
    }

    /// The bytes of a dump of `Fixtures/kdump`, decompressed.
    static func dumpBytes(_ name: String) throws -> [UInt8] {
        let file = try MappedFile(path: path("kdump/\(name).zst"))
        let whole = try CompressedFile.decompress(file, .zstd, limit: 1 << 30)
        return whole.bytes(at: 0, count: UInt64(whole.byteCount)) ?? []
    }

    /// The bytes of a dump of `Fixtures/kdump` as they are stored.
    static func storedBytes(_ name: String) throws -> [UInt8] {
        let file = try MappedFile(path: path("kdump/\(name)"))
        return file.bytes(at: 0, count: UInt64(file.byteCount)) ?? []
    }

    /// The compact capture of a guest.
    static func capture(_ guest: String) throws -> MemoryImage {
        try MemoryImage.open(path: path("\(guest)/pagetables.elf.zst"))
    }
}

/// A file that exists as long as this object.
final class TemporaryFile {
    let path: String

    init(_ bytes: [UInt8] = []) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "pagewalk-test-\(UUID().uuidString)").path
        try Data(bytes).write(to: URL(filePath: path))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Opens the file as an image.
    func open() throws -> MemoryImage { try withExtendedLifetime(self) { try MemoryImage.open(path: path) } }

    /// Writes at an offset, leaving a hole before it.
    func write(_ bytes: [UInt8], at offset: UInt64) throws {
        let handle = try FileHandle(forWritingTo: URL(filePath: path))
        try handle.seek(toOffset: offset)
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
    }
}

/// What opening these bytes as an image says.
func openImage(_ bytes: [UInt8], rawSegments: [RawSegment]? = nil) throws -> MemoryImage {
    let file = try TemporaryFile(bytes)
    return try withExtendedLifetime(file) { try MemoryImage.open(path: file.path, rawSegments: rawSegments) }
}

/// A mapped file with these bytes.
func mappedFile(_ bytes: [UInt8]) throws -> MappedFile {
    let file = try TemporaryFile(bytes)
    return try withExtendedLifetime(file) { try MappedFile(path: file.path) }
}

/// The error of opening these bytes; `nil` if they are an image.
func openingError(_ bytes: [UInt8], rawSegments: [RawSegment]? = nil) -> ImageError? {
    do {
        _ = try openImage(bytes, rawSegments: rawSegments)
        return nil
    } catch let error as ImageError {
        return error
    } catch {
        return nil
    }
}

/// An ELF core file put together by hand, to be wrong wherever a test wants it to be.
struct ELFBytes {
    struct Segment {
        var type: UInt32 = 1
        var offset: UInt64
        var physical: UInt64
        var fileBytes: UInt64
        var memoryBytes: UInt64?
    }

    var is64Bit = true
    var order = ByteOrder.little
    var type: UInt16 = 4
    var machine: UInt16 = 62
    var segments: [Segment] = []
    var headerCount: UInt16?
    var headerStride: UInt16?
    var sectionOffset: UInt64 = 0

    /// File header and program headers.
    var headers: [UInt8] {
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, is64Bit ? 2 : 1, order == .little ? 1 : 2, 1]
        bytes += [UInt8](repeating: 0, count: 9)
        func word(_ value: UInt64) {
            if is64Bit { bytes.append(value, order) } else { bytes.append(UInt32(truncatingIfNeeded: value), order) }
        }
        bytes.append(type, order)
        bytes.append(machine, order)
        bytes.append(UInt32(1), order)
        word(0)
        word(is64Bit ? 64 : 52)
        word(sectionOffset)
        bytes.append(UInt32(0), order)
        let stride: UInt16 = is64Bit ? 56 : 32
        let counts: [UInt16] = [
            is64Bit ? 64 : 52, headerStride ?? stride, headerCount ?? UInt16(segments.count), 64, 1, 0,
        ]
        for value in counts {
            bytes.append(value, order)
        }
        for segment in segments {
            bytes.append(segment.type, order)
            if is64Bit { bytes.append(UInt32(7), order) }
            for value in [segment.offset, 0, segment.physical, segment.fileBytes] { word(value) }
            word(segment.memoryBytes ?? segment.fileBytes)
            if !is64Bit { bytes.append(UInt32(7), order) }
            word(0)
        }
        return bytes
    }
}

/// A generator whose failures its seed replays.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
