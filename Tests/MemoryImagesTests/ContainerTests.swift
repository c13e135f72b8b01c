import Foundation
import PageTables
import TableMemory
import Testing

@testable import MemoryImages

@Suite struct `Containers and compression` {
    @Test func `VMCOREINFO values are read as their keys say`() {
        let info = VMCoreInfo(
            Array(
                """
                OSRELEASE=6.1.0
                SYMBOL(swapper_pg_dir)=ffffffff95a10000
                NUMBER(phys_base)=-230686720
                NUMBER(VA_BITS)=48
                NUMBER(VMALLOC_START)=0xffff800008000000
                NUMBER(TOP)=18446744073709551615
                KERNELOFFSET=13000000
                no equals sign
                SIZE(page)=64
                KERNELOFFSET=1
                EMPTY=
                """.utf8) + [0, 0x41, 0x3d, 0x42])
        #expect(info["OSRELEASE"] == "6.1.0")
        #expect(info.symbol("swapper_pg_dir") == 0xffff_ffff_95a1_0000)
        #expect(info.number("phys_base") == -230_686_720)
        #expect(info.number("VA_BITS") == 48)
        #expect(info.number("VMALLOC_START") == Int64(bitPattern: 0xffff_8000_0800_0000))
        #expect(info.number("TOP") == -1)
        #expect(info.hex("KERNELOFFSET") == 0x1300_0000)
        #expect(info.decimal("SIZE(page)") == 64)
        #expect(info["EMPTY"] == "")
        #expect(info["A"] == nil)
        #expect(info.number("OSRELEASE") == nil)
        #expect(info.symbol("nothing") == nil)
    }

    @Test func `Raw memory is where its segments say`() throws {
        let bytes = (0..<64).map { UInt8($0) }
        let image = try openImage(
            bytes,
            rawSegments: [
                RawSegment(physical: PhysicalAddress(0x1000), byteCount: 16, offset: 8),
                RawSegment(physical: PhysicalAddress(0x8000), offset: 32),
                RawSegment(physical: PhysicalAddress(0x9000), byteCount: 100, offset: 60),
            ])
        #expect(image.kind == "raw")
        #expect(image.bytes(at: PhysicalAddress(0x1000), count: 99) == Array(bytes[8..<24]))
        #expect(image.bytes(at: PhysicalAddress(0x8000), count: 99) == Array(bytes[32...]))
        #expect(image.bytes(at: PhysicalAddress(0x9000), count: 99) == Array(bytes[60...]))
        #expect(image.isTruncated)
        #expect(
            openingError(bytes, rawSegments: [RawSegment(physical: PhysicalAddress(0), byteCount: 1, offset: 64)])?
                .field == "raw memory")
    }

    @Test func `LiME ranges are read, and a bad header ends them`() throws {
        func range(_ first: UInt64, _ last: UInt64, _ byte: UInt8) -> [UInt8] {
            var bytes: [UInt8] = [0x45, 0x4d, 0x69, 0x4c]
            bytes.append(UInt32(1), .little)
            bytes.append(first, .little)
            bytes.append(last, .little)
            bytes.append(UInt64(0), .little)
            guard last >= first, last - first < 1000 else { return bytes }
            return bytes + [UInt8](repeating: byte, count: Int(last - first + 1))
        }
        let good = range(0x1000, 0x100f, 1) + range(0x4000, 0x4003, 2)
        let image = try openImage(good)
        #expect(image.kind == "LiME")
        #expect(image.warnings.isEmpty)
        #expect(image.bytes(at: PhysicalAddress(0x4000), count: 9) == [2, 2, 2, 2])
        for bad in [range(5, 4, 0), range(0, .max, 0), [1, 2, 3], padded([], to: 64)] {
            let image = try openImage(good + bad)
            #expect(image.isTruncated)
            #expect(image.bytes(at: PhysicalAddress(0x1000), count: 99).count == 16)
        }
        #expect(try openImage(range(0, .max - 1, 0) + [7]).bytes(at: PhysicalAddress(0), count: 9) == [7])
        #expect(openingError(range(5, 4, 0))?.field == "LiME header")
    }

    @Test func `gzip members follow one another`() throws {
        let file = try TemporaryFile(Array(repeating: UInt8(ascii: "x"), count: 100_000))
        try run("gzip", "-k", file.path)
        defer { try? FileManager.default.removeItem(atPath: file.path + ".gz") }
        let member = Array(try Data(contentsOf: URL(filePath: file.path + ".gz")))
        let raw = [RawSegment(physical: PhysicalAddress(0))]
        let image = try openImage(member + member, rawSegments: raw)
        #expect(image.kind == "raw, gzip")
        #expect(image.bytes(at: PhysicalAddress(0), count: 300_000).count == 200_000)
        #expect(try openImage(member + [0, 0, 0], rawSegments: raw).physicalRanges[0].byteCount == 100_000)
        for count in [12, member.count / 2, member.count - 9, member.count - 1] {
            let error = openingError(Array(member[..<count]), rawSegments: raw)
            #expect(error?.field == "gzip")
            #expect(error?.offset == UInt64(count))
            #expect(error?.reason == .truncated)
        }
        var corrupt = member
        corrupt[corrupt.count - 6] ^= 1
        #expect(openingError(corrupt, rawSegments: raw)?.description.contains("compressed data is corrupt") == true)
    }

    @Test func `Truncated and corrupt zstd files name the offset`() throws {
        let path = Fixture.path("x86_64-4level/pagetables.elf.zst")
        let file = try MappedFile(path: path)
        let whole = try #require(file.bytes(at: 0, count: UInt64(file.byteCount)))
        for count in [5, 1000, whole.count - 1] {
            let error = openingError(Array(whole[..<count]))
            #expect(error?.reason == .truncated)
            #expect(error?.offset == UInt64(count))
        }
        var corrupt = whole
        for index in 5000..<5100 { corrupt[index] ^= 0x55 }
        let error = openingError(corrupt)
        #expect(error?.field == "zstd")
        #expect(error?.description.contains("compressed data is corrupt") == true)
    }

    @Test func `A compressed file that becomes too large is refused`() {
        let error = #expect(throws: ImageError.self) {
            try MemoryImage.open(path: Fixture.path("s390x/pagetables.elf.zst"), decompressedLimit: 100_000)
        }
        #expect(error?.reason == .tooLarge(limit: 100_000))
    }

    @Test func `Files that are no files say so`() throws {
        #expect(throws: ImageError("/tmp", .isDirectory)) { try MemoryImage.open(path: "/tmp") }
        #expect(throws: ImageError("/dev/null", .notRegularFile)) { try MemoryImage.open(path: "/dev/null") }
        let error = #expect(throws: ImageError.self) { try MemoryImage.open(path: "/nonexistent/x\ny") }
        #expect(error?.description == "/nonexistent/x?y: No such file or directory")
        #expect(try mappedFile([]).byteCount == 0)
    }

    private func run(_ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
