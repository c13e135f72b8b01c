import PageTables
import TableMemory
import Testing

@testable import MemoryImages

@Suite struct `ELF core files` {
    @Test func `A compact capture of x86-64 has its notes, registers, VMCOREINFO and segments`() throws {
        let image = try Fixture.capture("x86_64-4level")
        #expect(image.kind == "ELF64 little-endian core, zstd")
        #expect(image.machine == ELFMachine.amd64)
        #expect(image.byteOrder == .little)
        #expect(image.warnings.isEmpty)
        #expect(image.physicalRanges.count == 6946)
        #expect(image.cpus.count == 4)
        #expect(image.cpus[0]["CR3"] == 0x2fa_0000)
        #expect(image.cpus[0]["CR0"] == 0x8005_0033)
        #expect(image.cpus[3]["CR4"] == 0x75_0ea0)
        #expect(image.vmcoreinfo?["OSRELEASE"] == "6.1.0-50-cloud-amd64")
        #expect(image.vmcoreinfo?.number("phys_base") == -230_686_720)
        #expect(image.vmcoreinfo?.symbol("swapper_pg_dir") == 0xffff_ffff_95a1_0000)
        #expect(image.vmcoreinfo?.hex("KERNELOFFSET") == 0x1300_0000)
    }

    @Test func `A big-endian s390x core has control registers and PSW per CPU`() throws {
        let image = try Fixture.capture("s390x")
        #expect(image.kind == "ELF64 big-endian core, zstd")
        #expect(image.machine == ELFMachine.s390)
        #expect(image.cpus.count == 5)
        #expect(
            image.cpus[1].values.map(\.name) == ["CR0", "CR1", "CR7", "CR13", "PSW.MASK", "PSW.ADDRESS", "PREFIX"])
        #expect(image.cpus[4]["CR1"] == 0x340_c1cf)
        #expect(image.cpus[4]["CR13"] == 0x129_0007)
        #expect(image.cpus[0]["PREFIX"] == 0x199_6000)
        #expect(image.cpus[1]["PSW.ADDRESS"] == 0x100_2790)
    }

    @Test(arguments: ["s390x-small", "aarch64-small", "arm-small"])
    func `A QEMU core, whose section headers are not to be trusted, opens`(name: String) throws {
        let image = try Fixture.dump(name + ".elf")
        #expect(image.warnings.isEmpty)
        #expect(image.physicalRanges.count == 1)
        #expect(image.is64Bit == (name != "arm-small"))
    }

    @Test func `Memory that makedumpfile left out of an ELF file is absent`() throws {
        let image = try Fixture.dump("x86_64-excluded.elf")
        #expect(image.warnings.isEmpty)
        #expect(image.bytes(at: PhysicalAddress(0x10_0000), count: 16).isEmpty)
        #expect(image.bytes(at: PhysicalAddress(0x100_0000), count: 0x1000).count == 0x1000)
    }

    @Test(arguments: [(true, ByteOrder.little), (true, .big), (false, .little), (false, .big)])
    func `Every class and byte order is read`(is64Bit: Bool, order: ByteOrder) throws {
        var elf = ELFBytes(is64Bit: is64Bit, order: order, machine: 40)
        elf.segments = [.init(offset: 0x200, physical: 0x8000, fileBytes: 16)]
        let content = (0..<16).map { UInt8($0) }
        let image = try openImage(padded(elf.headers, to: 0x200) + content)
        #expect(image.machine == 40)
        #expect(image.is64Bit == is64Bit)
        #expect(image.byteOrder == order)
        #expect(image.bytes(at: PhysicalAddress(0x8000), count: 100) == content)
    }

    @Test func `Memory behind 4 GiB of the file is found`() throws {
        let far: UInt64 = 5 << 30
        var elf = ELFBytes()
        elf.segments = [.init(offset: far, physical: 0x40_0000_0000, fileBytes: 8)]
        let file = try TemporaryFile(elf.headers)
        try file.write([1, 2, 3, 4, 5, 6, 7, 8], at: far)
        let image = try file.open()
        guard case .segments(let memory) = image.contents else { return #expect(Bool(false)) }
        #expect(try memory.load64(PhysicalAddress(0x40_0000_0000), .little) == 0x0807_0605_0403_0201)
    }

    @Test func `Of overlapping segments the first counts`() throws {
        var elf = ELFBytes()
        elf.segments = [
            .init(offset: 0x200, physical: 0x1008, fileBytes: 8), .init(offset: 0x208, physical: 0x1000, fileBytes: 24),
        ]
        let image = try openImage(
            padded(elf.headers, to: 0x200) + [UInt8](repeating: 1, count: 8) + [UInt8](repeating: 2, count: 24))
        let expected =
            [UInt8](repeating: 2, count: 8) + [UInt8](repeating: 1, count: 8) + [UInt8](repeating: 2, count: 8)
        #expect(image.bytes(at: PhysicalAddress(0x1000), count: 24) == expected)
        #expect(image.warnings.count == 1)
    }

    @Test func `A file that ends early keeps what it has, and says what is missing`() throws {
        var elf = ELFBytes()
        elf.segments = [
            .init(offset: 0x200, physical: 0x1000, fileBytes: 0x1000),
            .init(offset: 0x1200, physical: 0x5000, fileBytes: 0x1000),
        ]
        let image = try openImage(padded(elf.headers, to: 0x300))
        #expect(image.isTruncated)
        #expect(image.bytes(at: PhysicalAddress(0x1000), count: 0x1000).count == 0x100)
        #expect(
            image.warnings == [
                "offset 0x40, program header 0 (p_filesz): the file ends 3840 bytes too early: that memory is absent",
                "offset 0x78, program header 1 (p_offset): points behind the end of the file: its memory is absent",
            ])
    }

    @Test func `Hostile sizes and addresses are neither trusted nor trapped on`() throws {
        var elf = ELFBytes()
        elf.segments = [
            .init(offset: .max, physical: 0, fileBytes: .max),
            .init(offset: 8, physical: .max - 7, fileBytes: .max),
            .init(type: 4, offset: .max - 1, physical: 0, fileBytes: .max),
            .init(type: 4, offset: 0, physical: 0, fileBytes: .max),
            .init(offset: 0, physical: .max, fileBytes: 8),
        ]
        let image = try openImage(elf.headers)
        #expect(image.physicalRanges == [PhysicalRange(first: PhysicalAddress(.max - 7), last: PhysicalAddress(.max))])
        #expect(image.bytes(at: PhysicalAddress(.max - 3), count: 100).count == 4)
        #expect(image.isTruncated)
    }

    @Test func `Errors name offset and field`() {
        let good = ELFBytes(segments: [.init(offset: 0, physical: 0, fileBytes: 64)])
        func message(_ change: (inout ELFBytes) -> Void) -> String? {
            var elf = good
            change(&elf)
            return openingError(elf.headers).map { String($0.description.split(separator: ": ", maxSplits: 1)[1]) }
        }
        #expect(message { _ in } == nil)
        #expect(message { $0.segments = [] } == "offset 0x38, e_phnum: no program headers")
        #expect(
            message { $0.headerStride = 8 }
                == "offset 0x36, e_phentsize: 8 bytes are too few for a program header")
        #expect(
            message { $0.headerCount = 1000 }
                == "offset 0x40, program headers (1000 of 56 bytes): the file ends before it")
        #expect(
            message { $0.headerCount = 0xffff }
                == "offset 0x0, section header 0 (sh_info, number of program headers): points behind the end of the file"
        )
        #expect(
            message { $0.segments[0].type = 6 }
                == "offset 0x40, program headers: none of them has physical memory (PT_LOAD) that is in the file")
        #expect(openingError([0x7f, 0x45, 0x4c, 0x46])?.reason == .truncated)
        #expect(openingError([0x7f, 0x45, 0x4c, 0x46, 3, 1])?.field == "EI_CLASS")
        #expect(openingError([0x7f, 0x45, 0x4c, 0x46, 2, 3])?.field == "EI_DATA")
        #expect(openingError(Array(good.headers[..<63]))?.field == "ELF header")
        #expect(openingError([])?.reason == .empty)
        #expect(openingError(Array("hello".utf8))?.reason == .unknownContainer)
    }

    @Test(arguments: [false, true])
    func `A number of program headers in section header 0 is read, byte-swapped as QEMU may leave it too`(
        swapped: Bool
    ) throws {
        var elf = ELFBytes(order: .big, machine: 22)
        elf.segments = (0..<3).map { .init(offset: 64, physical: UInt64($0) << 12, fileBytes: 32) }
        elf.headerCount = 0xffff
        elf.sectionOffset = 0x400
        var section = [UInt8](repeating: 0, count: 44)
        section.append(UInt32(3), swapped ? .little : .big)
        section += [UInt8](repeating: 0, count: 16)
        let image = try openImage(padded(elf.headers, to: 0x400) + section)
        #expect(image.physicalRanges.count == 3)
    }

    @Test func `A note that overflows its segment ends the notes, and those before it stay`() throws {
        let notes = Note.encode([Note(name: "CORE", type: 1, bytes: [1, 2, 3])], .little)
        for (name, description) in [(UInt32.max, UInt32(0)), (0, .max), (4, 0x7fff_ffff)] {
            var hostile = notes
            hostile.append(name, .little)
            hostile.append(description, .little)
            hostile.append(UInt32(1), .little)
            hostile += [0x41, 0x42, 0x43, 0]
            var elf = ELFBytes()
            elf.segments = [
                .init(type: 4, offset: 0x200, physical: 0, fileBytes: UInt64(hostile.count)),
                .init(offset: 0, physical: 0, fileBytes: 64),
            ]
            let image = try openImage(padded(elf.headers, to: 0x200) + hostile)
            #expect(image.notes == [Note(name: "CORE", type: 1, bytes: [1, 2, 3])])
            #expect(image.warnings.count == 1)
        }
    }

    @Test func `Notes repeated by many program headers are bounded`() throws {
        let bytes = [UInt8](repeating: 0, count: 1 << 20)
        var elf = ELFBytes()
        elf.segments = [.init(offset: 0, physical: 0, fileBytes: 64)]
        elf.segments += (0..<500).map { _ in .init(type: 4, offset: 0, physical: 0, fileBytes: 1 << 20) }
        let image = try openImage(padded(elf.headers, to: 1 << 16) + bytes)
        #expect(image.warnings.last?.hasSuffix("more of this kind") == true)
    }
}

/// Bytes with zeros behind them.
func padded(_ bytes: [UInt8], to count: Int) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: max(0, count - bytes.count))
}
