import PageTables

/// The bytes of a dump: those of its file, or, in makedumpfile's flattened form, what records in the file put together.
///
/// A flattened dump is written to a pipe: after a header of 4096 bytes come records of two big-endian 64-bit numbers,
/// offset and size, and the bytes that belong there; an offset of -1 ends it. The last record that writes a byte counts,
/// as if they were written to a file one after the other; what none writes is 0.
struct DumpBytes: Sendable {
    let file: MappedFile
    /// `nil` for a plain file; otherwise where the bytes are.
    private let records: [Extent]?
    /// Size of the dump, in bytes. Records decide it, so nothing may be allocated for it: see `storedByteCount`.
    let byteCount: UInt64

    /// The most bytes that can really be there.
    var storedByteCount: UInt64 { UInt64(file.byteCount) }

    static let flattenedMagic = Array("makedumpfile".utf8) + [0, 0, 0, 0]
    private static let flattenedHeaderBytes: UInt64 = 4096
    /// Real writers put some 16 KiB into a record: enough for hundreds of gigabytes.
    private static let recordLimit = 1 << 24

    /// The bytes of the file itself.
    init(plain file: MappedFile) {
        self.file = file
        records = nil
        byteCount = UInt64(file.byteCount)
    }

    /// Reads the records, but not what is in them: time and memory are in proportion to their number.
    init(flattened file: MappedFile, _ warnings: inout ImageWarnings) throws(ImageError) {
        guard let type: UInt64 = file.integer(at: 16, .big), let version: UInt64 = file.integer(at: 24, .big) else {
            throw ImageError(file.path, at: 16, "flattened header", .truncated)
        }
        guard type == 1, version == 1 else {
            throw ImageError(
                file.path, at: 16, "flattened header (type, version)", .invalid("\(type), \(version) is not 1, 1"))
        }
        var records: [Extent] = []
        var place = Self.flattenedHeaderBytes
        while true {
            guard let offset: UInt64 = file.integer(at: place, .big),
                let size: UInt64 = file.integer(at: place + 8, .big)
            else {
                warnings.addTruncation(at: place, "flattened record", "the file ends before the last record")
                break
            }
            if offset == .max { break }
            guard offset <= UInt64(Int64.max), size <= UInt64(Int64.max) - offset else {
                warnings.addTruncation(
                    at: place, "flattened record (offset, size)", "impossible: the rest of the file is ignored")
                break
            }
            guard records.count < Self.recordLimit else {
                warnings.addTruncation(
                    at: place, "flattened record", "more than \(Self.recordLimit): the rest of the file is ignored")
                break
            }
            place += 16
            let available = min(size, UInt64(file.byteCount) - place)
            if available > 0 { records.append(Extent(first: offset, last: offset + (available - 1), source: place)) }
            if available < size {
                warnings.addTruncation(at: place - 16, "flattened record (size)", "the file ends within it")
                break
            }
            place += size
        }
        guard !records.isEmpty else {
            throw ImageError(file.path, at: Self.flattenedHeaderBytes, "flattened record", .truncated)
        }
        let extents = Extent.disjoint(records.reversed()).extents
        self.file = file
        self.records = extents
        byteCount = (extents.last?.last).map { $0 + 1 } ?? 0
    }

    func contains(_ offset: UInt64, _ count: UInt64) -> Bool {
        offset <= byteCount && count <= byteCount - offset
    }

    /// The bytes, if they lie side by side in the file; valid as long as the file is.
    func pointer(at offset: UInt64, count: UInt64) -> UnsafeRawPointer? {
        guard let records else { return file.pointer(at: offset, count: count) }
        guard count > 0, contains(offset, count), let number = record(atOrAfter: offset) else { return nil }
        let record = records[number]
        guard record.first <= offset, count - 1 <= record.last - offset else { return nil }
        return file.pointer(at: record.source + (offset - record.first), count: count)
    }

    /// `count` bytes at `offset`; `nil` if the dump does not reach that far, or for more bytes than the file has.
    func bytes(at offset: UInt64, count: UInt64) -> [UInt8]? {
        guard contains(offset, count), count <= storedByteCount else { return nil }
        guard let records else { return file.bytes(at: offset, count: count) }
        var result = [UInt8](repeating: 0, count: Int(count))
        guard count > 0, var number = record(atOrAfter: offset) else { return result }
        let last = offset + (count - 1)
        while number < records.count, records[number].first <= last {
            let record = records[number]
            let start = max(record.first, offset)
            let length = min(record.last, last) - start + 1
            if let source = file.pointer(at: record.source + (start - record.first), count: length) {
                result.withUnsafeMutableBytes {
                    UnsafeMutableRawBufferPointer(rebasing: $0[Int(start - offset)...])
                        .copyMemory(from: UnsafeRawBufferPointer(start: source, count: Int(length)))
                }
            }
            number += 1
        }
        return result
    }

    func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self, at offset: UInt64, _ order: ByteOrder
    ) -> Value? {
        let count = UInt64(MemoryLayout<Value>.size)
        if let pointer = pointer(at: offset, count: count) {
            return Value(memory: pointer.loadUnaligned(as: Value.self), order)
        }
        guard let bytes = bytes(at: offset, count: count) else { return nil }
        return bytes.withUnsafeBytes { Value(memory: $0.loadUnaligned(as: Value.self), order) }
    }

    /// The first record that does not end before `offset`. O(log n).
    private func record(atOrAfter offset: UInt64) -> Int? {
        guard let records else { return nil }
        var low = 0
        var high = records.count
        while low < high {
            let middle = (low + high) / 2
            if records[middle].last < offset { low = middle + 1 } else { high = middle }
        }
        return low < records.count ? low : nil
    }
}
