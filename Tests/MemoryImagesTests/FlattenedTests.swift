import PageTables
import Testing

@testable import MemoryImages

@Suite struct `Records of a flattened dump` {
    /// A flattened file of these records.
    private func flattened(_ records: [(offset: UInt64, size: UInt64, bytes: [UInt8])], ended: Bool = true) -> [UInt8] {
        var file = Array("makedumpfile".utf8) + [0, 0, 0, 0]
        file.append(UInt64(1), .big)
        file.append(UInt64(1), .big)
        file = padded(file, to: 4096)
        for record in records {
            file.append(record.offset, .big)
            file.append(record.size, .big)
            file += record.bytes
        }
        if ended {
            file.append(UInt64.max, .big)
            file.append(UInt64.max, .big)
        }
        return file
    }

    private func dump(_ bytes: [UInt8], _ warnings: inout ImageWarnings) throws -> DumpBytes {
        try DumpBytes(flattened: mappedFile(bytes), &warnings)
    }

    @Test func `Bytes come from records, later ones over earlier ones, and holes are zeros`() throws {
        var warnings = ImageWarnings()
        let dump = try dump(
            flattened([(4, 4, [1, 1, 1, 1]), (12, 2, [2, 2]), (0, 0, []), (6, 4, [3, 3, 3, 3])]), &warnings)
        #expect(dump.byteCount == 14)
        #expect(dump.bytes(at: 0, count: 14) == [0, 0, 0, 0, 1, 1, 3, 3, 3, 3, 0, 0, 2, 2])
        #expect(dump.bytes(at: 5, count: 3) == [1, 3, 3])
        #expect(dump.bytes(at: 10, count: 2) == [0, 0])
        #expect(dump.integer(UInt32.self, at: 4, .big) == 0x0101_0303)
        #expect(dump.bytes(at: 12, count: 3) == nil)
        #expect(dump.bytes(at: .max, count: .max) == nil)
        #expect(warnings.all.isEmpty)
    }

    @Test func `Neighbouring records read as one`() throws {
        var warnings = ImageWarnings()
        let records = (0..<100).map { (offset: UInt64($0) * 3, size: UInt64(3), bytes: [UInt8($0), 1, 2]) }
        let dump = try dump(flattened(records), &warnings)
        #expect(dump.bytes(at: 0, count: 300) == records.flatMap(\.bytes))
    }

    @Test func `Impossible records end the file with a warning`() throws {
        let good = (offset: UInt64(0), size: UInt64(2), bytes: [UInt8](repeating: 7, count: 2))
        for (offset, size) in [(UInt64.max - 1, UInt64(4)), (4, .max), (1 << 63, 0), ((1 << 63) - 1, 1)] {
            var warnings = ImageWarnings()
            let dump = try dump(flattened([good, (offset, size, []), good]), &warnings)
            #expect(dump.bytes(at: 0, count: 2) == [7, 7])
            #expect(warnings.isTruncated)
            #expect(warnings.all.count == 1)
        }
    }

    @Test func `A size that the file does not have is cut, and allocates nothing`() throws {
        var warnings = ImageWarnings()
        let dump = try dump(flattened([(0, 1 << 60, [1, 2, 3])], ended: false), &warnings)
        #expect(dump.byteCount == 3)
        #expect(warnings.isTruncated)
        var far = ImageWarnings()
        let sparse = try self.dump(flattened([(0, 1, [1]), (1 << 62, 1, [2])]), &far)
        #expect(sparse.byteCount == 1 << 62 + 1)
        #expect(sparse.bytes(at: 0, count: 1 << 40) == nil)
        #expect(sparse.bytes(at: 1 << 62, count: 1) == [2])
    }

    @Test func `A file of nothing but a header, and one of another version, are refused`() {
        #expect(openingError(flattened([]))?.field == "flattened record")
        #expect(openingError(Array(flattened([])[..<20]))?.reason == .truncated)
        var other = flattened([(0, 1, [1])])
        other[31] = 2
        #expect(openingError(other)?.field == "flattened header (type, version)")
        #expect(openingError(flattened([(0, 8, Array("NOTKDUMP".utf8))]))?.field == "signature")
    }
}
