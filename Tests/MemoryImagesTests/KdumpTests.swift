import PageTables
import TableMemory
import Testing

@testable import MemoryImages

/// Dumps that makedumpfile and QEMU wrote.
@Suite struct `Kdump-compressed dumps` {
    static let variants = [
        "x86_64-zlib", "x86_64-zlib-flattened", "x86_64-lzo", "x86_64-lzo-flattened", "x86_64-snappy", "x86_64-zstd",
        "x86_64-uncompressed", "x86_64-excluded-flattened",
    ]

    @Test(arguments: variants)
    func `Every page table of the capture is in the dump, byte for byte`(name: String) throws {
        let capture = try Fixture.capture("x86_64-4level")
        let dump = try Fixture.dump(name + ".kdump")
        #expect(dump.kind.contains("flattened") == name.contains("flattened"))
        var compared = 0
        // Ranges of 64 bytes are tags of data pages, which the dumps do not have.
        for range in capture.physicalRanges where range.byteCount != 64 {
            let expected = capture.bytes(of: range)
            #expect(dump.bytes(of: range) == expected, "\(range)")
            compared += expected.count
        }
        #expect(compared > 1 << 20)
        #expect(dump.warnings.isEmpty)
        #expect(dump.machine == ELFMachine.amd64)
        #expect(dump.cpus == capture.cpus)
        #expect(dump.notes == capture.notes)
        #expect(dump.vmcoreinfo == capture.vmcoreinfo)
    }

    @Test(arguments: ["aarch64-small", "arm-small", "s390x-small"])
    func `QEMU's dumps, flattened and not, have exactly the memory of its ELF core`(name: String) throws {
        let core = try Fixture.dump(name + ".elf")
        for dump in [try Fixture.dump(name + "-flattened.kdump"), try Fixture.dump(name + ".kdump")] {
            #expect(dump.physicalRanges == core.physicalRanges)
            for range in core.physicalRanges { #expect(dump.bytes(of: range) == core.bytes(of: range)) }
            #expect(dump.notes == core.notes)
            #expect(dump.is64Bit == core.is64Bit)
            #expect(dump.byteOrder == core.byteOrder)
            #expect(dump.machine == core.machine)
            #expect(dump.cpus == core.cpus)
            #expect(dump.warnings.isEmpty)
        }
    }

    @Test(arguments: [("aarch64-small", 0x4010_0000), ("arm-small", 0x4010_0000), ("s390x-small", 0x10_0000)])
    func `A pattern that was loaded into the guest is where it was loaded`(name: String, address: UInt64) throws {
        let dump = try Fixture.dump(name + "-flattened.kdump")
        guard case .kdump(let memory) = dump.contents else { return #expect(Bool(false)) }
        for index in stride(from: 0, to: 0x18000 / 4, by: 7) {
            let expected = index % 1024 < 256 ? UInt32(index) &* 0x9e37_79b1 : 0
            #expect(try memory.load32(PhysicalAddress(address + UInt64(index) * 4), .little) == expected)
        }
    }

    @Test func `Pages that makedumpfile excluded are absent`() throws {
        let dump = try Fixture.dump("x86_64-excluded-flattened.kdump")
        guard case .kdump(let memory) = dump.contents else { return #expect(Bool(false)) }
        let holes = zip(dump.physicalRanges, dump.physicalRanges.dropFirst()).filter { $0.last < $1.first }
        #expect(holes.count > 10)
        let hole = try #require(holes.first)
        let absent = PhysicalAddress(hole.0.last.rawValue + 1)
        #expect(throws: ImageLoadFailure.absent(absent)) { try memory.load64(absent, .little) }
        #expect(throws: ImageLoadFailure.absent(absent)) { try memory.table(at: absent, bytes: 4096) }
        // The last word of a page that is there continues in one that is not.
        #expect(throws: ImageLoadFailure.absent(absent)) {
            try memory.load64(PhysicalAddress(absent.rawValue - 4), .little)
        }
    }

    @Test func `A cache of one page gives the same answers`() throws {
        let capture = try Fixture.capture("x86_64-4level")
        let dump = try Fixture.dump("x86_64-lzo.kdump", cacheBytes: 1)
        for range in capture.physicalRanges where range.byteCount != 64 {
            #expect(dump.bytes(of: range) == capture.bytes(of: range))
        }
    }

    @Test func `Tables load as the words they are made of, across pages and after their pages left the cache`() throws {
        let dump = try Fixture.dump("s390x-small-flattened.kdump", cacheBytes: 1)
        guard case .kdump(let memory) = dump.contents else { return #expect(Bool(false)) }
        let address = PhysicalAddress(0x10_0000)
        let table = try memory.table(at: address, bytes: 16384)
        let small = try memory.table(at: address, bytes: 4096)
        _ = try memory.load64(PhysicalAddress(0), .big)
        for index in 0..<2048 {
            let word = try memory.load64(PhysicalAddress(address.rawValue + UInt64(index) * 8), .big)
            #expect(try memory.load64(table, index: index, .big) == word)
            if index < 512 { #expect(try memory.load64(small, index: index, .big) == word) }
            let half = try memory.load32(PhysicalAddress(address.rawValue + UInt64(index) * 8), .big)
            #expect(try memory.load32(table, index: index * 2, .big) == half)
        }
    }

    @Test func `A table that is partly absent is found, and its absent entries fail`() throws {
        let dump = try Fixture.dump("x86_64-zlib.kdump")
        guard case .kdump(let memory) = dump.contents else { return #expect(Bool(false)) }
        let last = try #require(dump.physicalRanges.first).last.rawValue
        let table = try memory.table(at: PhysicalAddress(last - 4095), bytes: 8192)
        #expect(throws: Never.self) { try memory.load64(table, index: 511, .little) }
        #expect(throws: ImageLoadFailure.absent(PhysicalAddress(last + 1))) {
            try memory.load64(table, index: 512, .little)
        }
    }

    @Test func `Threads share a memory`() async throws {
        let capture = try Fixture.capture("x86_64-4level")
        let dump = try Fixture.dump("x86_64-zstd.kdump", cacheBytes: 16 << 12)
        let ranges = capture.physicalRanges.filter { $0.byteCount != 64 }
        let same = await withTaskGroup(of: Bool.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    (ranges.dropFirst(worker * 7) + ranges.prefix(worker * 7)).allSatisfy {
                        dump.bytes(of: $0) == capture.bytes(of: $0)
                    }
                }
            }
            return await group.allSatisfy { $0 }
        }
        #expect(same)
    }

    @Test func `One part of a split dump is refused with advice`() {
        let error = #expect(throws: ImageError.self) { try Fixture.dump("x86_64-split-part.kdump") }
        #expect(error?.field == "sub header (split)")
        #expect(error?.description.contains("--reassemble") == true)
    }

    @Test func `A corrupt page is absent, and reported once`() throws {
        var bytes = try Fixture.dumpBytes("x86_64-zlib.kdump")
        let whole = try openImage(bytes)
        // The last page stored ends the file.
        let target = try #require(whole.physicalRanges.last)
        for index in bytes.count - 24..<bytes.count { bytes[index] ^= 0xff }
        let dump = try openImage(bytes)
        #expect(dump.warnings.isEmpty)
        let first = PhysicalAddress(target.last.rawValue - 4095)
        #expect(dump.bytes(at: first, count: 8).isEmpty)
        #expect(dump.bytes(at: first, count: 8).isEmpty)
        #expect(dump.warnings.count == 1)
        #expect(dump.warnings.first?.contains("physical address \(first)") == true)
    }

    @Test func `A dump cut short keeps the pages it has`() throws {
        let bytes = try Fixture.dumpBytes("x86_64-lzo-flattened.kdump")
        let whole = try openImage(bytes)
        let dump = try openImage(Array(bytes[..<(bytes.count * 3 / 4)]))
        #expect(dump.isTruncated)
        #expect(dump.warnings.count == 1)
        let first = try #require(whole.physicalRanges.first { $0.first.rawValue >= 0x100_0000 })
        #expect(dump.bytes(of: first) == whole.bytes(of: first))
        let last = try #require(whole.physicalRanges.last)
        #expect(dump.bytes(of: last).count < whole.bytes(of: last).count)
    }

    @Test func `Headers that make no sense name their field`() throws {
        let good = try Fixture.dumpBytes("s390x-small.kdump")
        func change(_ offset: Int, _ value: UInt32) -> ImageError? {
            var bytes = good
            var word: [UInt8] = []
            word.append(value, .big)
            bytes.replaceSubrange(offset..<offset + 4, with: word)
            return openingError(bytes)
        }
        #expect(openingError(good) == nil)
        for (offset, value) in [(8, UInt32.max), (428, 0), (428, 4095), (432, 0), (432, .max), (436, 0)] {
            #expect(change(offset, value)?.field == "header_version, block_size, sub_hdr_size", "\(offset) \(value)")
        }
        #expect(change(436, .max)?.field == "bitmaps")
        #expect(change(436, .max)?.reason == .truncated)
        #expect(openingError(Array(good[..<4100]))?.field == "sub header")
        #expect(openingError(Array(good[..<200]))?.offset == 8)
        // More page frames than bits: what there are bits for stays.
        var huge = good
        huge.replaceSubrange(4096 + 96..<4096 + 104, with: [UInt8](repeating: 0xff, count: 8))
        #expect(try openImage(huge).warnings.first?.hasPrefix("max_mapnr") == true)
    }
}
