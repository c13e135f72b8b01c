import CZlib
import CZstd

/// A file that is compressed as a whole. It is decompressed into a temporary file that has no name any more, in memory
/// bounded by the compressor's window; runs of zeros take no space there.
enum CompressedFile {
    enum Format: String {
        case zstd
        case gzip

        /// Told by the magic number; `nil` if the file is neither.
        init?(_ file: MappedFile) {
            if file.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
                self = .zstd
            } else if file.starts(with: [0x1f, 0x8b, 0x08]) {
                self = .gzip
            } else {
                return nil
            }
        }
    }

    /// - Throws: where the compressed data is truncated or corrupt (with the offset in the compressed file), becomes more
    ///   than `limit` bytes, or does not fit into the temporary directory (`TMPDIR`, `/tmp`).
    static func decompress(_ file: MappedFile, _ format: Format, limit: UInt64) throws(ImageError) -> MappedFile {
        var output = try SparseFile(for: file.path, limit: limit)
        switch format {
        case .zstd: try decompressZstd(file, &output)
        case .gzip: try decompressGzip(file, &output)
        }
        return try output.map()
    }

    private static let chunkBytes = 1 << 20

    private static func decompressZstd(_ file: MappedFile, _ output: inout SparseFile) throws(ImageError) {
        guard let context = ZSTD_createDCtx() else { throw ImageError(file.path, .system("out of memory")) }
        defer { ZSTD_freeDCtx(context) }
        // 2 GiB, the most there is: captures are compressed with `--long=31`.
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 31)
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkBytes, alignment: 8)
        defer { chunk.deallocate() }

        var input = ZSTD_inBuffer(src: file.base, size: file.byteCount, pos: 0)
        var expected = 1
        // `expected` is 0 at the end of a frame; a file may have several.
        while input.pos < input.size || expected != 0 {
            var piece = ZSTD_outBuffer(dst: chunk.baseAddress, size: chunk.count, pos: 0)
            let before = input.pos
            expected = ZSTD_decompressStream(context, &piece, &input)
            guard ZSTD_isError(expected) == 0 else {
                throw ImageError(
                    file.path, at: UInt64(input.pos), "zstd",
                    .corrupt(String(cString: ZSTD_getErrorName(expected))))
            }
            try output.append(UnsafeRawBufferPointer(chunk.rebased(prefix: piece.pos)))
            if input.pos == before && piece.pos == 0 {
                throw ImageError(file.path, at: UInt64(input.pos), "zstd", .truncated)
            }
        }
    }

    private static func decompressGzip(_ file: MappedFile, _ output: inout SparseFile) throws(ImageError) {
        var stream = z_stream()
        // 16: gzip's header and checksum, not zlib's.
        guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw ImageError(file.path, .system("out of memory"))
        }
        defer { inflateEnd(&stream) }
        let chunk = UnsafeMutablePointer<UInt8>.allocate(capacity: chunkBytes)
        defer { chunk.deallocate() }

        var offset = 0
        while offset < file.byteCount {
            let available = min(chunkBytes, file.byteCount - offset)
            stream.next_in = UnsafeMutablePointer(
                mutating: (file.base + offset).assumingMemoryBound(to: UInt8.self))
            stream.avail_in = UInt32(available)
            stream.next_out = chunk
            stream.avail_out = UInt32(chunkBytes)
            let status = inflate(&stream, Z_NO_FLUSH)
            offset += available - Int(stream.avail_in)
            guard status == Z_OK || status == Z_STREAM_END else {
                let words = stream.msg.map { String(cString: $0) } ?? "error \(status)"
                throw ImageError(file.path, at: UInt64(offset), "gzip", .corrupt(words))
            }
            try output.append(
                UnsafeRawBufferPointer(start: chunk, count: chunkBytes - Int(stream.avail_out)))
            if status == Z_STREAM_END {
                // Another member may follow; what is not one is padding.
                guard file.starts(with: [0x1f, 0x8b], at: UInt64(offset)) else { return }
                inflateReset(&stream)
            }
        }
        // The last bytes are read, but a full chunk may have left output behind.
        while true {
            stream.avail_in = 0
            stream.next_out = chunk
            stream.avail_out = UInt32(chunkBytes)
            let status = inflate(&stream, Z_NO_FLUSH)
            let count = chunkBytes - Int(stream.avail_out)
            try output.append(UnsafeRawBufferPointer(start: chunk, count: count))
            if status == Z_STREAM_END { return }
            guard status == Z_OK, count > 0 else {
                throw ImageError(file.path, at: UInt64(offset), "gzip", .truncated)
            }
        }
    }
}
