import PageTables

/// The pages of a kdump-compressed dump, found by page frame and decompressed.
///
/// The place of a page's descriptor is the number of pages in the dump before it, counted over the bitmap with the help
/// of a count for every 4096 frames: memory in proportion to the bitmap, never to what a header claims.
final class KdumpPages: @unchecked Sendable {
    // Unchecked because of the pointer: it is to memory that is never written after `init`.

    let blockBytes: UInt64
    let log2BlockBytes: UInt64
    private let dump: DumpBytes
    private let byteOrder: ByteOrder
    private let descriptorOffset: UInt64
    /// Descriptors that the file has.
    private let descriptorCount: UInt64
    /// Frames below this have a bit.
    private let frameLimit: UInt64
    private let bitmap: UnsafeRawBufferPointer
    private let ownsBitmap: Bool
    /// Set bits before every 4096th.
    private let counts: [UInt64]

    private static let descriptorBytes: UInt64 = 24
    private static let framesPerCount: UInt64 = 4096
    /// Enough for 128 TiB in pages of 4 KiB; a bound for what a small file may decompress to.
    private static let bitmapLimit: UInt64 = 4 << 30

    init(_ dump: DumpBytes, _ header: KdumpHeader, _ warnings: inout ImageWarnings) throws(ImageError) {
        self.dump = dump
        byteOrder = header.byteOrder
        blockBytes = header.blockBytes
        log2BlockBytes = UInt64(header.blockBytes.trailingZeroBitCount)
        descriptorOffset = header.descriptorOffset

        // Two bitmaps of equal size, of which the second is what is in the dump; one if there is no room for two.
        var bitmapBytes = header.bitmapBlocks * blockBytes
        var bitmapOffset = header.bitmapOffset
        let needed = header.frameLimit / 8 + (header.frameLimit % 8 == 0 ? 0 : 1)
        let neededBlocks = needed / blockBytes + (needed % blockBytes == 0 ? 0 : 1)
        if header.bitmapBlocks / 2 >= neededBlocks {
            bitmapBytes /= 2
            bitmapOffset += bitmapBytes
        }
        if needed > bitmapBytes {
            warnings.add(
                "max_mapnr: " + "\(header.frameLimit) page frames are more than the bitmap has bits for")
        }
        bitmapBytes = min(bitmapBytes, needed)
        frameLimit = min(header.frameLimit, bitmapBytes * 8)
        guard bitmapBytes > 0, bitmapBytes <= Self.bitmapLimit else {
            throw ImageError(
                dump.file.path, "max_mapnr",
                .invalid("\(frameLimit) page frames are none, or more than the \(Self.bitmapLimit * 8) that are read"))
        }

        if let pointer = dump.pointer(at: bitmapOffset, count: bitmapBytes) {
            bitmap = UnsafeRawBufferPointer(start: pointer, count: Int(bitmapBytes))
            ownsBitmap = false
        } else {
            guard let bytes = dump.bytes(at: bitmapOffset, count: bitmapBytes) else {
                throw ImageError(dump.file.path, at: bitmapOffset, "bitmaps", .truncated)
            }
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
            copy.copyBytes(from: bytes)
            bitmap = UnsafeRawBufferPointer(copy)
            ownsBitmap = true
        }

        var counts: [UInt64] = []
        counts.reserveCapacity(bitmap.count / 512 + 1)
        var total: UInt64 = 0
        var offset = 0
        while offset < bitmap.count {
            if offset % 512 == 0 { counts.append(total) }
            total += UInt64(Self.word(bitmap, offset).nonzeroBitCount)
            offset += 8
        }
        self.counts = counts

        let room =
            min(dump.byteCount - descriptorOffset, dump.storedByteCount) / Self.descriptorBytes
        descriptorCount = min(total, room)
        if total > room {
            warnings.addTruncation(
                at: descriptorOffset, "page descriptors",
                "the file ends before \(total - room) of \(total): their pages are absent")
        }
    }

    deinit {
        if ownsBitmap { bitmap.deallocate() }
    }

    /// 64 bits of the bitmap, the lowest frame in the lowest bit; zeros behind its end.
    private static func word(_ bitmap: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        if offset + 8 <= bitmap.count {
            return UInt64(littleEndian: bitmap.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        return bitmap[offset...].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Which descriptor a page frame has.
    private func descriptor(of frame: UInt64) -> UInt64? {
        guard frame < frameLimit else { return nil }
        let word = Self.word(bitmap, Int(frame / 64) * 8)
        guard word >> (frame % 64) & 1 == 1 else { return nil }
        var rank = counts[Int(frame / Self.framesPerCount)]
        var offset = Int(frame / Self.framesPerCount) * 512
        while offset < Int(frame / 64) * 8 {
            rank += UInt64(Self.word(bitmap, offset).nonzeroBitCount)
            offset += 8
        }
        rank += UInt64((word & (1 << (frame % 64) - 1)).nonzeroBitCount)
        return rank < descriptorCount ? rank : nil
    }

    enum Page {
        case page(KdumpPage)
        case absent
        /// What is stored at this offset is not a page.
        case corrupt(offset: UInt64)
    }

    /// Decompresses a page.
    func page(_ frame: UInt64) -> Page {
        guard let number = descriptor(of: frame) else { return .absent }
        let place = descriptorOffset + number * Self.descriptorBytes
        guard let offset: UInt64 = dump.integer(at: place, byteOrder),
            let size: UInt32 = dump.integer(at: place + 8, byteOrder),
            let flags: UInt32 = dump.integer(at: place + 12, byteOrder)
        else { return .absent }
        // An incomplete dump has descriptors that were never filled in.
        if offset == 0 { return .absent }
        guard size > 0, UInt64(size) <= 2 * blockBytes, let compression = PageCompression(flags: flags) else {
            return .corrupt(offset: place)
        }
        let page = KdumpPage(byteCount: Int(blockBytes))
        let succeeded: Bool
        if let pointer = dump.pointer(at: offset, count: UInt64(size)) {
            succeeded = compression.decompress(
                UnsafeRawBufferPointer(start: pointer, count: Int(size)), into: page.buffer)
        } else if let bytes = dump.bytes(at: offset, count: UInt64(size)) {
            succeeded = bytes.withUnsafeBytes { compression.decompress($0, into: page.buffer) }
        } else {
            return .corrupt(offset: place)
        }
        return succeeded ? .page(page) : .corrupt(offset: offset)
    }

    /// The memory that the dump has.
    var ranges: [PhysicalRange] {
        var result: [PhysicalRange] = []
        var remaining = descriptorCount
        // Frames so high that their addresses do not fit 64 bits are of no use.
        let limit = min(frameLimit, 1 << (64 - log2BlockBytes))
        var start: UInt64?
        func close(_ end: UInt64) {
            if let first = start {
                result.append(
                    PhysicalRange(
                        first: PhysicalAddress(first << log2BlockBytes),
                        last: PhysicalAddress((end - 1) << log2BlockBytes + (blockBytes - 1))))
            }
            start = nil
        }
        var frame: UInt64 = 0
        while frame < limit {
            let word = Self.word(bitmap, Int(frame / 64) * 8) >> (frame % 64)
            if start == nil {
                let skipped = UInt64(word.trailingZeroBitCount)
                if skipped >= 64 - frame % 64 {
                    frame = (frame / 64 + 1) * 64
                    continue
                }
                frame += skipped
                guard frame < limit, remaining > 0 else { break }
                start = frame
            } else {
                let run = min(UInt64((~word).trailingZeroBitCount), 64 - frame % 64, limit - frame, remaining)
                frame += run
                remaining -= run
                if run == 0 { close(frame) }
            }
        }
        close(frame)
        return result
    }
}

/// A decompressed page, or several side by side.
public final class KdumpPage: @unchecked Sendable {
    // Unchecked because of the pointer: it is filled before anybody else sees the page, and never written again.
    @usableFromInline let bytes: UnsafeMutableRawPointer
    let byteCount: Int

    var buffer: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(start: bytes, count: byteCount) }

    init(byteCount: Int) {
        self.byteCount = byteCount
        bytes = .allocate(byteCount: byteCount, alignment: 16)
    }

    deinit { bytes.deallocate() }
}
