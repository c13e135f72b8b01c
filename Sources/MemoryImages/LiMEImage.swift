import PageTables

/// A capture by LiME (version 1): each range of memory after a header of 32 little-endian bytes: magic, version, first
/// and last physical address, 8 reserved bytes.
struct LiMEImage {
    static let magic: [UInt8] = [0x45, 0x4d, 0x69, 0x4c]
    private static let headerBytes: UInt64 = 32

    let memory: SegmentedMemory
    let warnings: ImageWarnings

    init(_ file: MappedFile) throws(ImageError) {
        var warnings = ImageWarnings()
        var extents: [Extent] = []
        var offset: UInt64 = 0
        var number: UInt64 = 0
        while offset < UInt64(file.byteCount) {
            var name: String { "LiME header \(number)" }
            guard file.contains(offset, Self.headerBytes), let version: UInt32 = file.integer(at: offset + 4, .little),
                let first: UInt64 = file.integer(at: offset + 8, .little),
                let last: UInt64 = file.integer(at: offset + 16, .little)
            else {
                warnings.addTruncation(at: offset, name, "the file ends before it")
                break
            }
            guard file.starts(with: Self.magic, at: offset), version == 1, first <= last, last - first < .max else {
                warnings.addTruncation(at: offset, name, "not a header of version 1: what follows is ignored")
                break
            }
            guard number < Extent.limit else {
                warnings.addTruncation(at: offset, name, "more than are read: what follows is ignored")
                break
            }
            let count = last - first + 1
            let piece = FilePiece(
                physical: first, offset: offset + Self.headerBytes, byteCount: count, place: offset,
                kind: "LiME header", number: number,
                fields: ("s_addr", "s_addr", "e_addr"))
            if let extent = piece.extent(file, &warnings) { extents.append(extent) }
            let (next, overflow) = (offset + Self.headerBytes).addingReportingOverflow(count)
            if overflow { break }
            offset = next
            number += 1
        }
        let (disjoint, overlapped) = Extent.disjoint(extents)
        if overlapped { warnings.add("LiME ranges overlap: the first of them counts") }
        guard !disjoint.isEmpty else {
            throw ImageError(file.path, at: 0, "LiME header", .invalid("no memory in the file"))
        }
        memory = SegmentedMemory(file, disjoint)
        self.warnings = warnings
    }
}
