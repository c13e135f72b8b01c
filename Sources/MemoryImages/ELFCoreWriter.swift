import PageTables

/// Writes an ELF64 core file: notes, and physical memory at the addresses where it belongs.
///
/// The file appears under its name only when it is complete.
public struct ELFCoreWriter: Sendable {
    /// `e_machine`.
    public let machine: UInt16
    /// Of the headers; notes must be in it already.
    public let byteOrder: ByteOrder

    public init(machine: UInt16, byteOrder: ByteOrder) {
        self.machine = machine
        self.byteOrder = byteOrder
    }

    private static let headerBytes: UInt64 = 64
    private static let programHeaderBytes: UInt64 = 56
    private static let chunkBytes: UInt64 = 1 << 20

    /// Copies `ranges` out of `image`.
    /// - Parameter ranges: sorted and disjoint. Neighbours are written as one.
    /// - Returns: bytes of the file.
    /// - Throws: if the file cannot be written, or some of a range is not in the image; nothing is left behind then.
    @discardableResult
    public func write(
        to path: String, notes: [Note], ranges: [PhysicalRange], from image: MemoryImage
    ) throws(ImageError) -> UInt64 {
        try write(to: path, notes: notes, ranges: ranges) { image.bytes(at: $0, count: $1) }
    }

    /// Writes memory that `bytes` provides: asked for an address and a count of at most 1 MiB, it answers with that many
    /// bytes, or with fewer if memory ends there, which fails the whole.
    @discardableResult
    public func write(
        to path: String, notes: [Note], ranges: [PhysicalRange], bytes: (PhysicalAddress, Int) -> [UInt8]
    ) throws(ImageError) -> UInt64 {
        let joined = try Self.joined(ranges, path)
        let headers = try self.headers(joined, noteBytes: Note.encode(notes, byteOrder), path)
        var output = try NewFile(path)
        try output.append(headers)
        for range in joined {
            var next = range.first.rawValue
            while true {
                let count = min(range.last.rawValue - next, Self.chunkBytes - 1) + 1
                let piece = bytes(PhysicalAddress(next), Int(count))
                guard piece.count == Int(count) else {
                    throw ImageError(
                        path, "physical address \(hexadecimal(next &+ UInt64(piece.count)))", .absent)
                }
                try output.append(piece)
                if range.last.rawValue - next < count { break }
                next += count
            }
        }
        return try output.finish()
    }

    private static func joined(_ ranges: [PhysicalRange], _ path: String) throws(ImageError) -> [PhysicalRange] {
        var result: [PhysicalRange] = []
        for range in ranges {
            guard let previous = result.last else {
                result.append(range)
                continue
            }
            guard previous.last < range.first else {
                throw ImageError(
                    path, "physical address \(range.first)", .invalid("the ranges are not sorted and disjoint"))
            }
            if previous.last.rawValue + 1 == range.first.rawValue {
                result[result.count - 1] = PhysicalRange(first: previous.first, last: range.last)
            } else {
                result.append(range)
            }
        }
        return result
    }

    /// File header, program headers, notes, and the one section header that more than 65534 program headers need.
    private func headers(_ ranges: [PhysicalRange], noteBytes: [UInt8], _ path: String) throws(ImageError) -> [UInt8] {
        let order = byteOrder
        let count = UInt64(ranges.count) + 1
        let many = count >= UInt64(ELF.manyProgramHeaders)
        guard count <= Extent.limit else {
            throw ImageError(path, "ranges", .invalid("\(count) are more than the \(Extent.limit) that are read"))
        }
        let sectionOffset = Self.headerBytes + count * Self.programHeaderBytes
        let noteOffset = sectionOffset + (many ? 64 : 0)

        var file: [UInt8] = []
        file += ELF.magic + [2, order == .little ? 1 : 2, 1] + [UInt8](repeating: 0, count: 9)
        file.append(ELF.typeCore, order)
        file.append(machine, order)
        file.append(UInt32(1), order)
        file.append(UInt64(0), order)
        file.append(Self.headerBytes, order)
        file.append(many ? sectionOffset : 0, order)
        file.append(UInt32(0), order)
        file.append(UInt16(Self.headerBytes), order)
        file.append(UInt16(Self.programHeaderBytes), order)
        file.append(many ? ELF.manyProgramHeaders : UInt16(count), order)
        file.append(UInt16(many ? 64 : 0), order)
        file.append(UInt16(many ? 1 : 0), order)
        file.append(UInt16(0), order)

        func programHeader(_ type: UInt32, _ flags: UInt32, _ offset: UInt64, _ physical: UInt64, _ bytes: UInt64) {
            file.append(type, order)
            file.append(flags, order)
            for value in [offset, 0, physical, bytes, bytes, type == ELF.programHeaderNote ? 4 : 0] {
                file.append(value, order)
            }
        }
        programHeader(ELF.programHeaderNote, 0, noteOffset, 0, UInt64(noteBytes.count))
        var offset = noteOffset + UInt64(noteBytes.count)
        for range in ranges {
            guard let bytes = range.byteCount, case (let end, let overflow) = offset.addingReportingOverflow(bytes),
                !overflow
            else { throw ImageError(path, "physical range \(range)", .invalid("larger than any file")) }
            programHeader(ELF.programHeaderLoad, 7, offset, range.first.rawValue, bytes)
            offset = end
        }
        if many {
            // Only `sh_info` of section 0 has a meaning.
            file += [UInt8](repeating: 0, count: 44)
            file.append(UInt32(count), order)
            file += [UInt8](repeating: 0, count: 16)
        }
        return file + noteBytes
    }
}
