import PageTables

/// A kdump-compressed dump: what QEMU's `dump-guest-memory -z` and makedumpfile write, plain or flattened.
///
/// Blocks: header, sub header, two bitmaps with a bit per page frame (there is memory; it is in the dump), a descriptor
/// for every page in the dump, the pages.
struct KdumpCompressed {
    let kind: String
    let header: KdumpHeader
    let memory: KdumpMemory
    let notes: [Note]
    let machine: UInt16?
    let vmcoreinfo: VMCoreInfo?
    let warnings: ImageWarnings

    private static let magics = [Array("KDUMP   ".utf8), Array("DISKDUMP".utf8)]

    static func isPlain(_ file: MappedFile) -> Bool { magics.contains { file.starts(with: $0) } }
    static func isFlattened(_ file: MappedFile) -> Bool { file.starts(with: DumpBytes.flattenedMagic) }

    /// - Throws: where headers or bitmaps make no sense or are not in the file, and for one part of a split dump. Pages
    ///   that are not in the file are absent, with a warning.
    init(_ file: MappedFile, cacheBytes: Int) throws(ImageError) {
        var warnings = ImageWarnings()
        let flattened = Self.isFlattened(file)
        let dump = flattened ? try DumpBytes(flattened: file, &warnings) : DumpBytes(plain: file)
        guard let magic = dump.bytes(at: 0, count: 8), Self.magics.contains(magic) else {
            throw ImageError(
                file.path, at: 0, "signature", .invalid("the flattened file does not hold a kdump-compressed dump"))
        }
        let header = try KdumpHeader(dump)
        if header.version > 6 {
            warnings.add(at: 8, "header_version", "\(header.version) is newer than 6, the last that is known")
        }
        if header.status & KdumpHeader.statusIncomplete != 0 {
            warnings.addTruncation("the dump is incomplete, by its own header")
        }
        let pages = try KdumpPages(dump, header, &warnings)
        memory = KdumpMemory(pages, cacheBytes: cacheBytes)

        var notes: [Note] = []
        if let location = header.notes {
            let count = min(location.byteCount, Note.limit)
            if let bytes = dump.bytes(at: location.offset, count: count) {
                notes = Note.parse(bytes, header.byteOrder, fileOffset: location.offset, &warnings)
            } else {
                warnings.addTruncation(
                    at: header.blockBytes, "sub header (offset_note)", "points behind the end of the file")
            }
        }
        if let location = header.vmcoreinfo, !notes.contains(where: { $0.name == "VMCOREINFO" }) {
            let count = min(location.byteCount, 1 << 20)
            if let bytes = dump.bytes(at: location.offset, count: count) {
                notes.append(Note(name: "VMCOREINFO", type: 0, bytes: bytes))
            } else {
                warnings.addTruncation(
                    at: header.blockBytes, "sub header (offset_vmcoreinfo)", "points behind the end of the file")
            }
        }
        self.header = header
        self.notes = notes
        machine =
            ELFMachine.named(header.machineName) ?? ELFMachine.ofStatus(notes, is64Bit: header.is64Bit)
        vmcoreinfo = notes.first { $0.name == "VMCOREINFO" }.map { VMCoreInfo($0.bytes) }
        let order = header.byteOrder == .little ? "little" : "big"
        kind = "kdump-compressed \(header.is64Bit ? 64 : 32)-bit \(order)-endian\(flattened ? ", flattened" : "")"
        self.warnings = warnings
    }
}
