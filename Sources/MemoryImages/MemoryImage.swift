import PageTables

/// A file with the physical memory of a machine, whatever its container: what is in it, and what its producer says about
/// the machine.
public struct MemoryImage: Sendable {
    public enum Contents: Sendable {
        /// Memory that lies in the file as it is.
        case segments(SegmentedMemory)
        /// Memory that is decompressed page by page.
        case kdump(KdumpMemory)
    }

    public let path: String
    /// The container in words: `ELF64 big-endian core`.
    public let kind: String
    public let contents: Contents
    public let notes: [Note]
    /// The `e_machine` of the dumped machine, where the container says it.
    public let machine: UInt16?
    /// Of the container's headers and notes, `nil` where it has none. A hint for the machine's at best: QEMU writes
    /// big-endian headers for little-endian ppc64 guests.
    public let byteOrder: ByteOrder?
    /// Whether headers are those of a 64-bit machine, where the container tells.
    public let is64Bit: Bool?
    public let vmcoreinfo: VMCoreInfo?
    /// Control registers per CPU, where notes have them.
    public let cpus: [CPURegisters]
    private let openingWarnings: ImageWarnings

    /// Some of what the headers promise is not in the file.
    public var isTruncated: Bool { openingWarnings.isTruncated }

    /// What is odd about the image, a line each, without its name: whatever was found until now. Pages that turned out to
    /// be corrupt are among it.
    public var warnings: [String] {
        switch contents {
        case .segments: openingWarnings.all
        case .kdump(let memory): openingWarnings.all + memory.warnings
        }
    }

    /// The memory that is there: sorted, disjoint, neighbours joined.
    public var physicalRanges: [PhysicalRange] {
        switch contents {
        case .segments(let memory): memory.ranges
        case .kdump(let memory): memory.ranges
        }
    }

    /// The bytes at `address`: `count` of them, or as many as there are before the first that is absent.
    public func bytes(at address: PhysicalAddress, count: Int) -> [UInt8] {
        switch contents {
        case .segments(let memory): memory.bytes(at: address, count: count)
        case .kdump(let memory): memory.bytes(at: address, count: count)
        }
    }

    /// The bytes of `range` before the first that is absent.
    public func bytes(of range: PhysicalRange) -> [UInt8] {
        bytes(at: range.first, count: Int(clamping: range.byteCount ?? .max))
    }

    /// Opens an image. The container is told by its first bytes; one compressed with zstd or gzip is decompressed to an
    /// unlinked temporary file first.
    ///
    /// - Parameters:
    ///   - rawSegments: where memory belongs if the file is no known container.
    ///   - decompressedLimit: the most bytes that a compressed image may become.
    ///   - cacheBytes: how much decompressed memory of a kdump-compressed image is kept.
    public static func open(
        path: String, rawSegments: [RawSegment]? = nil, decompressedLimit: UInt64 = 64 << 30,
        cacheBytes: Int = 64 << 20
    ) throws(ImageError) -> MemoryImage {
        var file = try MappedFile(path: path)
        guard file.byteCount > 0 else { throw ImageError(path, .empty) }
        var compression = ""
        if let format = CompressedFile.Format(file) {
            file = try CompressedFile.decompress(file, format, limit: decompressedLimit)
            compression = ", \(format.rawValue)"
            guard file.byteCount > 0 else { throw ImageError(path, .empty) }
        }
        if file.starts(with: ELF.magic) { return MemoryImage(file, compression, try ELFCore(file)) }
        if file.starts(with: LiMEImage.magic) {
            let image = try LiMEImage(file)
            return MemoryImage(file, "LiME" + compression, image.memory, image.warnings)
        }
        if KdumpCompressed.isPlain(file) || KdumpCompressed.isFlattened(file) {
            return MemoryImage(file, compression, try KdumpCompressed(file, cacheBytes: cacheBytes))
        }
        guard let rawSegments else { throw ImageError(path, at: 0, "magic", .unknownContainer) }
        let image = try RawImage(file, rawSegments)
        return MemoryImage(file, "raw" + compression, image.memory, image.warnings)
    }

    private init(_ file: MappedFile, _ compression: String, _ core: ELFCore) {
        path = file.path
        let order = core.byteOrder == .little ? "little" : "big"
        kind = "ELF\(core.is64Bit ? 64 : 32) \(order)-endian core\(compression)"
        contents = .segments(core.memory)
        notes = core.notes
        machine = core.machine
        byteOrder = core.byteOrder
        is64Bit = core.is64Bit
        vmcoreinfo = core.notes.first { $0.name == "VMCOREINFO" }.map { VMCoreInfo($0.bytes) }
        cpus = CPURegisters.parse(core.notes, machine: core.machine, core.byteOrder)
        openingWarnings = core.warnings
    }

    private init(_ file: MappedFile, _ compression: String, _ dump: KdumpCompressed) {
        path = file.path
        kind = dump.kind + compression
        contents = .kdump(dump.memory)
        notes = dump.notes
        machine = dump.machine
        byteOrder = dump.header.byteOrder
        is64Bit = dump.header.is64Bit
        vmcoreinfo = dump.vmcoreinfo
        cpus = CPURegisters.parse(dump.notes, machine: dump.machine, dump.header.byteOrder)
        openingWarnings = dump.warnings
    }

    private init(_ file: MappedFile, _ kind: String, _ memory: SegmentedMemory, _ warnings: ImageWarnings) {
        path = file.path
        self.kind = kind
        contents = .segments(memory)
        notes = []
        machine = nil
        byteOrder = nil
        is64Bit = nil
        vmcoreinfo = nil
        cpus = []
        openingWarnings = warnings
    }
}
