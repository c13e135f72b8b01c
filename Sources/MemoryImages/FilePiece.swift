/// Physical memory as a header claims a file to hold it.
struct FilePiece {
    let physical: UInt64
    let offset: UInt64
    let byteCount: UInt64
    /// Where the claim is made, and what messages call it and its fields.
    let place: UInt64?
    let kind: String
    let number: UInt64
    let fields: (physical: String, offset: String, byteCount: String)

    private var name: String { "\(kind) \(number)" }

    /// What of it is really there; anything less than claimed is a warning.
    func extent(_ file: MappedFile, _ warnings: inout ImageWarnings) -> Extent? {
        guard byteCount > 0 else { return nil }
        let size = UInt64(file.byteCount)
        guard offset < size else {
            warnings.addTruncation(
                at: place, "\(name) (\(fields.offset))", "points behind the end of the file: its memory is absent")
            return nil
        }
        var count = byteCount
        if count > size - offset {
            count = size - offset
            warnings.addTruncation(
                at: place, "\(name) (\(fields.byteCount))",
                "the file ends \(byteCount - count) bytes too early: that memory is absent")
        }
        if count - 1 > UInt64.max - physical {
            count = UInt64.max - physical + 1
            warnings.add(at: place, "\(name) (\(fields.physical))", "reaches beyond the physical address space")
        }
        return Extent(first: physical, last: physical + (count - 1), source: offset)
    }
}
