import PageTables
import Testing

@testable import MemoryImages

@Suite struct `Writing compact cores` {
    @Test(arguments: ["x86_64-4level", "s390x"])
    func `A capture copied range by range is the same capture`(guest: String) throws {
        let original = try Fixture.capture(guest)
        let file = try TemporaryFile()
        let writer = ELFCoreWriter(
            machine: try #require(original.machine), byteOrder: try #require(original.byteOrder))
        try writer.write(to: file.path, notes: original.notes, ranges: original.physicalRanges, from: original)
        let copy = try file.open()
        #expect(copy.machine == original.machine)
        #expect(copy.byteOrder == original.byteOrder)
        #expect(copy.notes == original.notes)
        #expect(copy.cpus == original.cpus)
        #expect(copy.physicalRanges == original.physicalRanges)
        #expect(copy.warnings.isEmpty)
        for range in original.physicalRanges { #expect(copy.bytes(of: range) == original.bytes(of: range)) }
    }

    @Test(arguments: [65533, 65534, 70000])
    func `More segments than 16 bits count are written and read`(count: Int) throws {
        let ranges = (0..<UInt64(count)).map {
            PhysicalRange(first: PhysicalAddress($0 << 12), last: PhysicalAddress($0 << 12 + 7))
        }
        let file = try TemporaryFile()
        let written = try ELFCoreWriter(machine: 22, byteOrder: .big).write(to: file.path, notes: [], ranges: ranges) {
            address, count in
            var bytes: [UInt8] = []
            bytes.append(address.rawValue, .big)
            return Array(bytes.prefix(count))
        }
        #expect(written == UInt64(try MappedFile(path: file.path).byteCount))
        let image = try file.open()
        #expect(image.physicalRanges == ranges)
        guard case .segments(let memory) = image.contents else { return #expect(Bool(false)) }
        for range in [ranges[0], ranges[count / 2], ranges[count - 1]] {
            #expect(try memory.load64(range.first, .big) == range.first.rawValue)
        }
    }

    @Test func `Large ranges are copied in pieces, neighbours as one`() throws {
        let file = try TemporaryFile()
        let first = PhysicalRange(first: PhysicalAddress(0x1000), last: PhysicalAddress(0x1000 + (3 << 20)))
        let second = PhysicalRange(
            first: PhysicalAddress(first.last.rawValue + 1), last: PhysicalAddress(first.last.rawValue + 100))
        try ELFCoreWriter(machine: 62, byteOrder: .little).write(to: file.path, notes: [], ranges: [first, second]) {
            address, count in (0..<UInt64(count)).map { UInt8(truncatingIfNeeded: (address.rawValue + $0) % 251) }
        }
        let image = try file.open()
        #expect(image.physicalRanges == [PhysicalRange(first: first.first, last: second.last)])
        let bytes = image.bytes(of: image.physicalRanges[0])
        #expect(bytes.enumerated().allSatisfy { $0.element == UInt8((0x1000 + $0.offset) % 251) })
    }

    @Test func `Absent memory and impossible places leave no file behind`() throws {
        let file = try TemporaryFile([1, 2, 3])
        let writer = ELFCoreWriter(machine: 62, byteOrder: .little)
        let range = PhysicalRange(first: PhysicalAddress(0x1000), last: PhysicalAddress(0x1fff))
        let error = #expect(throws: ImageError.self) {
            try writer.write(to: file.path, notes: [], ranges: [range]) { _, _ in [1, 2, 3] }
        }
        #expect(error?.field == "physical address 0x1003")
        #expect(error?.reason == .absent)
        #expect(try MappedFile(path: file.path).byteCount == 3)
        #expect(throws: ImageError("/dev/null", .notRegularFile)) {
            try writer.write(to: "/dev/null", notes: [], ranges: []) { _, _ in [] }
        }
        #expect(throws: ImageError.self) {
            try writer.write(to: file.path, notes: [], ranges: [range, range]) { _, count in
                [UInt8](repeating: 0, count: count)
            }
        }
    }
}
