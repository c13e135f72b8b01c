import PageTables

/// Where a piece of a file without headers belongs.
public struct RawSegment: Hashable, Sendable {
    public let physical: PhysicalAddress
    /// Bytes in memory and file; `nil` for all that the file has from `offset` on.
    public let byteCount: UInt64?
    /// Bytes from the start of the file.
    public let offset: UInt64

    public init(physical: PhysicalAddress, byteCount: UInt64? = nil, offset: UInt64 = 0) {
        self.physical = physical
        self.byteCount = byteCount
        self.offset = offset
    }
}

/// Plain memory: the file says nothing, somebody else says where it belongs.
struct RawImage {
    let memory: SegmentedMemory
    let warnings: ImageWarnings

    init(_ file: MappedFile, _ segments: [RawSegment]) throws(ImageError) {
        var warnings = ImageWarnings()
        var extents: [Extent] = []
        for (number, segment) in segments.enumerated() {
            let piece = FilePiece(
                physical: segment.physical.rawValue, offset: segment.offset,
                byteCount: segment.byteCount
                    ?? (UInt64(file.byteCount) - min(UInt64(file.byteCount), segment.offset)),
                place: nil, kind: "raw segment", number: UInt64(number), fields: ("physical", "offset", "bytes"))
            if let extent = piece.extent(file, &warnings) { extents.append(extent) }
        }
        let (disjoint, overlapped) = Extent.disjoint(extents)
        if overlapped { warnings.add("segments of raw memory overlap: the first of them counts") }
        guard !disjoint.isEmpty else {
            throw ImageError(file.path, "raw memory", .invalid("none of the segments is in the file"))
        }
        memory = SegmentedMemory(file, disjoint)
        self.warnings = warnings
    }
}
