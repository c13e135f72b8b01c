import PageTables

/// The headers of a kdump-compressed file: block 0 and the sub header in block 1.
///
/// Layout: `struct disk_dump_header` and `struct kdump_sub_header` of makedumpfile (diskdump_mod.h), in the byte order
/// and with the type sizes of the dumped machine, which nothing says: they are told by which reading makes sense.
///
///     offset of           64-bit  32-bit
///     header_version           8       8
///     utsname.machine        272     272
///     status                 424     412
///     block_size             428     416
///     sub_hdr_size           432     420   in blocks
///     bitmap_blocks          436     424
///     max_mapnr              440     428
struct KdumpHeader {
    let byteOrder: ByteOrder
    let is64Bit: Bool
    let version: UInt32
    /// `utsname.machine`, as the writer put it.
    let machineName: String
    let status: UInt32
    let blockBytes: UInt64
    let bitmapBlocks: UInt64
    /// Page frames are below this.
    let frameLimit: UInt64
    /// Where the bitmaps start, and where the page descriptors do.
    let bitmapOffset: UInt64
    let descriptorOffset: UInt64
    let vmcoreinfo: Location?
    let notes: Location?

    struct Location {
        let offset: UInt64
        let byteCount: UInt64
    }

    /// Bits of `status`.
    static let statusIncomplete: UInt32 = 8

    init(_ dump: DumpBytes) throws(ImageError) {
        func failure(_ offset: UInt64, _ field: String, _ reason: ImageError.Reason) -> ImageError {
            ImageError(dump.file.path, at: offset, field, reason)
        }
        guard let layout = Layout(dump) else {
            throw failure(
                8, "header_version, block_size, sub_hdr_size",
                .invalid("these make sense in neither byte order, and neither with 32 nor with 64 bits"))
        }
        let order = layout.byteOrder
        byteOrder = order
        is64Bit = layout.is64Bit
        version = layout.version
        blockBytes = UInt64(layout.blockBytes)
        machineName =
            dump.bytes(at: 272, count: 65).map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) } ?? ""
        guard let status: UInt32 = dump.integer(at: layout.base, order),
            let bitmapBlocks: UInt32 = dump.integer(at: layout.base + 12, order),
            let frames: UInt32 = dump.integer(at: layout.base + 16, order)
        else { throw failure(layout.base, "status", .truncated) }
        self.status = status
        self.bitmapBlocks = UInt64(bitmapBlocks)

        // 32-bit counts of blocks of at most 4 MiB: no overflow below.
        bitmapOffset = (1 + UInt64(layout.subHeaderBlocks)) * blockBytes
        descriptorOffset = bitmapOffset + UInt64(bitmapBlocks) * blockBytes
        guard dump.contains(0, bitmapOffset) else { throw failure(blockBytes, "sub header", .truncated) }
        let sub = SubHeader(dump, at: blockBytes, is64Bit: is64Bit, order)
        if version >= 2, let split = sub.split, split != 0 {
            throw failure(
                blockBytes, "sub header (split)",
                .unsupported("one part of a dump that was split: join the parts with makedumpfile --reassemble"))
        }
        guard dump.contains(bitmapOffset, descriptorOffset - bitmapOffset) else {
            throw failure(bitmapOffset, "bitmaps", .truncated)
        }
        vmcoreinfo = version >= 3 ? sub.vmcoreinfo : nil
        notes = version >= 4 ? sub.notes : nil
        frameLimit = version >= 6 ? sub.frameLimit ?? UInt64(frames) : UInt64(frames)
    }

    /// How to read block 0.
    private struct Layout {
        let byteOrder: ByteOrder
        let is64Bit: Bool
        /// Offset of `status`.
        let base: UInt64
        let version: UInt32
        let blockBytes: UInt32
        let subHeaderBlocks: UInt32

        /// 32 bits are tried first: read so, a 64-bit header has zeros (the upper half of a microsecond count) where one
        /// of these fields must not have them.
        init?(_ dump: DumpBytes) {
            for is64Bit in [false, true] {
                for order in [ByteOrder.little, .big] {
                    let base: UInt64 = is64Bit ? 424 : 412
                    guard let version: UInt32 = dump.integer(at: 8, order), (1...64).contains(version),
                        let block: UInt32 = dump.integer(at: base + 4, order), (512...(4 << 20)).contains(block),
                        block.nonzeroBitCount == 1,
                        let sub: UInt32 = dump.integer(at: base + 8, order), (1...(1 << 20)).contains(sub),
                        let bitmap: UInt32 = dump.integer(at: base + 12, order), bitmap > 0
                    else { continue }
                    byteOrder = order
                    self.is64Bit = is64Bit
                    self.base = base
                    self.version = version
                    blockBytes = block
                    subHeaderBlocks = sub
                    return
                }
            }
            return nil
        }
    }

    /// Block 1; a field that a version does not have yet is garbage.
    private struct SubHeader {
        let split: UInt32?
        let vmcoreinfo: Location?
        let notes: Location?
        let frameLimit: UInt64?

        init(_ dump: DumpBytes, at base: UInt64, is64Bit: Bool, _ order: ByteOrder) {
            func location(_ offset: UInt64, _ size: UInt64) -> Location? {
                let count =
                    is64Bit
                    ? dump.integer(UInt64.self, at: base + size, order)
                    : dump.integer(UInt32.self, at: base + size, order).map(UInt64.init)
                guard let start: UInt64 = dump.integer(at: base + offset, order), let count, start > 0, count > 0 else {
                    return nil
                }
                return Location(offset: start, byteCount: count)
            }
            if is64Bit {
                split = dump.integer(at: base + 12, order)
                vmcoreinfo = location(32, 40)
                notes = location(48, 56)
                frameLimit = dump.integer(at: base + 96, order)
                return
            }
            split = dump.integer(at: base + 8, order)
            // 64-bit fields are aligned to 4 bytes on x86 and to 8 on ARM; only one of the readings is in the file.
            func fits(_ location: Location?) -> Bool { location.map { dump.contains($0.offset, $0.byteCount) } ?? true }
            let packed = (location(20, 28), location(32, 40))
            let padded = (location(24, 32), location(40, 48))
            let isPacked = fits(packed.0) && fits(packed.1)
            (vmcoreinfo, notes) = isPacked ? packed : padded
            frameLimit = dump.integer(at: base + (isPacked ? 72 : 88), order)
        }
    }
}
