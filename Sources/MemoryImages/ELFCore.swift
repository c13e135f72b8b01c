import PageTables

/// An ELF core file with physical addresses: Linux' `/proc/vmcore`, QEMU's `dump-guest-memory`, makedumpfile's `-E`, and
/// compact captures.
///
/// Only the program headers count. Section headers are never read, with one exception that the specification forces (the
/// number of program headers where 16 bits do not hold it): what QEMU writes there for machines of the other byte order
/// is garbage.
struct ELFCore {
    let is64Bit: Bool
    /// Of the headers and notes. Not of the machine: QEMU writes big-endian headers for every ppc64 guest.
    let byteOrder: ByteOrder
    let machine: UInt16
    let memory: SegmentedMemory
    let notes: [Note]
    let warnings: ImageWarnings

    /// - Throws: where the file or program headers make no sense, or there is no physical memory in the file at all.
    ///   Memory that headers promise and the file does not have is absent, with a warning.
    init(_ file: MappedFile) throws(ImageError) {
        let header = try ELFHeader(file)
        is64Bit = header.is64Bit
        byteOrder = header.byteOrder
        machine = header.machine
        var warnings = ImageWarnings()
        if header.type != ELF.typeCore {
            warnings.add(at: 16, "e_type", "\(header.type) is not a core file")
        }

        var loads: [Extent] = []
        var notes: [Note] = []
        var noteBytes: UInt64 = 0
        for number in 0..<header.programHeaderCount {
            let segment = try header.programHeader(number, file)
            switch segment.type {
            case ELF.programHeaderLoad:
                if let extent = segment.extent(file, is64Bit: is64Bit, &warnings) { loads.append(extent) }
            case ELF.programHeaderNote:
                var count = segment.fileBytes
                if !file.contains(segment.fileOffset, count) {
                    warnings.addTruncation(
                        at: segment.place, "program header \(number) (PT_NOTE)", "points behind the end of the file")
                    count = UInt64(file.byteCount) - min(UInt64(file.byteCount), segment.fileOffset)
                }
                if count > Note.limit - noteBytes {
                    warnings.add(
                        at: segment.place, "program header \(number) (PT_NOTE)",
                        "only the first \(Note.limit) bytes of notes are read")
                    count = Note.limit - noteBytes
                }
                noteBytes += count
                if count > 0, let bytes = file.bytes(at: segment.fileOffset, count: count) {
                    notes += Note.parse(bytes, byteOrder, fileOffset: segment.fileOffset, &warnings)
                }
            default:
                break
            }
        }
        let (extents, overlapped) = Extent.disjoint(loads)
        if overlapped {
            warnings.add(
                "program headers overlap in physical memory: the first of them counts (is it the core of a process?)")
        }
        guard !extents.isEmpty else {
            throw ImageError(
                file.path, at: header.programHeaderOffset, "program headers",
                .invalid("none of them has physical memory (PT_LOAD) that is in the file"))
        }
        memory = SegmentedMemory(file, extents)
        self.notes = notes
        self.warnings = warnings
    }
}

/// The file header of an ELF file.
struct ELFHeader {
    let is64Bit: Bool
    let byteOrder: ByteOrder
    let type: UInt16
    let machine: UInt16
    let programHeaderOffset: UInt64
    let programHeaderCount: UInt64
    private let programHeaderStride: UInt64

    init(_ file: MappedFile) throws(ImageError) {
        func invalid(_ offset: UInt64, _ field: String, _ expectation: String) -> ImageError {
            ImageError(file.path, at: offset, field, .invalid(expectation))
        }
        guard let fileClass: UInt8 = file.integer(at: 4, .little), let data: UInt8 = file.integer(at: 5, .little) else {
            throw ImageError(file.path, at: 4, "e_ident", .truncated)
        }
        guard fileClass == 1 || fileClass == 2 else { throw invalid(4, "EI_CLASS", "\(fileClass) is neither 1 nor 2") }
        guard data == 1 || data == 2 else { throw invalid(5, "EI_DATA", "\(data) is neither 1 nor 2") }
        let is64Bit = fileClass == 2
        let order: ByteOrder = data == 1 ? .little : .big
        guard file.byteCount >= (is64Bit ? 64 : 52),
            let type: UInt16 = file.integer(at: 16, order), let machine: UInt16 = file.integer(at: 18, order),
            let offset = is64Bit
                ? file.integer(UInt64.self, at: 32, order) : file.integer(UInt32.self, at: 28, order).map(UInt64.init),
            let stride: UInt16 = file.integer(at: is64Bit ? 54 : 42, order),
            let count: UInt16 = file.integer(at: is64Bit ? 56 : 44, order)
        else { throw ImageError(file.path, at: 0, "ELF header", .truncated) }
        guard count > 0 else { throw invalid(is64Bit ? 56 : 44, "e_phnum", "no program headers") }
        guard stride >= (is64Bit ? 56 : 32) else {
            throw invalid(is64Bit ? 54 : 42, "e_phentsize", "\(stride) bytes are too few for a program header")
        }

        func fits(_ count: UInt64) -> Bool {
            let (bytes, overflow) = count.multipliedReportingOverflow(by: UInt64(stride))
            return count > 0 && !overflow && file.contains(offset, bytes)
        }
        var total = UInt64(count)
        if count == ELF.manyProgramHeaders {
            let section =
                is64Bit
                ? file.integer(UInt64.self, at: 40, order) : file.integer(UInt32.self, at: 32, order).map(UInt64.init)
            let field = (section ?? 0).addingReportingOverflow(is64Bit ? 44 : 28)
            guard let section, section != 0, !field.overflow,
                let stored: UInt32 = file.integer(at: field.partialValue, order)
            else {
                throw ImageError(
                    file.path, at: section, "section header 0 (sh_info, number of program headers)", .behindEnd)
            }
            // QEMU leaves the section header in the order of the machine that it ran on.
            let candidates = [UInt64(stored), UInt64(stored.byteSwapped)]
            guard let fitting = candidates.first(where: fits) else {
                throw invalid(
                    field.partialValue, "section header 0 (sh_info)", "\(stored) program headers are not in the file")
            }
            total = fitting
        }
        guard fits(total) else {
            throw ImageError(
                file.path, at: offset, "program headers (\(total) of \(stride) bytes)",
                offset >= UInt64(file.byteCount) ? .behindEnd : .truncated)
        }
        guard total <= Extent.limit else {
            throw invalid(offset, "program headers", "\(total) are more than the \(Extent.limit) that are read")
        }
        self.is64Bit = is64Bit
        byteOrder = order
        self.type = type
        self.machine = machine
        programHeaderOffset = offset
        programHeaderCount = total
        programHeaderStride = UInt64(stride)
    }

    /// - Precondition: `number < programHeaderCount`.
    func programHeader(_ number: UInt64, _ file: MappedFile) throws(ImageError) -> ELFProgramHeader {
        let place = programHeaderOffset + number * programHeaderStride
        func field(_ offset32: UInt64, _ offset64: UInt64) -> UInt64? {
            is64Bit
                ? file.integer(UInt64.self, at: place + offset64, byteOrder)
                : file.integer(UInt32.self, at: place + offset32, byteOrder).map(UInt64.init)
        }
        guard let type: UInt32 = file.integer(at: place, byteOrder), let offset = field(4, 8),
            let physical = field(12, 24), let fileBytes = field(16, 32)
        else { throw ImageError(file.path, at: place, "program header \(number)", .truncated) }
        return ELFProgramHeader(
            number: number, place: place, type: type, fileOffset: offset, physical: physical, fileBytes: fileBytes)
    }
}

/// What a reader of memory needs of one program header.
struct ELFProgramHeader {
    let number: UInt64
    /// Offset of the header itself.
    let place: UInt64
    let type: UInt32
    let fileOffset: UInt64
    let physical: UInt64
    let fileBytes: UInt64

    /// The physical memory that the segment has in the file; bytes beyond (`p_memsz`) are what a producer left out.
    func extent(_ file: MappedFile, is64Bit: Bool, _ warnings: inout ImageWarnings) -> Extent? {
        // All ones say "no physical address" (/proc/kcore).
        guard physical != (is64Bit ? UInt64.max : UInt64(UInt32.max)) else { return nil }
        let piece = FilePiece(
            physical: physical, offset: fileOffset, byteCount: fileBytes, place: place,
            kind: "program header", number: number, fields: ("p_paddr", "p_offset", "p_filesz"))
        return piece.extent(file, &warnings)
    }
}
