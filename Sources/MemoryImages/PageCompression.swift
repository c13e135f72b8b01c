import CLzo
import CSnappy
import CZlib
import CZstd

/// How one page of a kdump-compressed dump is stored: `flags` of its descriptor.
enum PageCompression {
    case none
    case zlib
    case lzo
    case snappy
    case zstd

    init?(flags: UInt32) {
        switch flags {
        case 0: self = .none
        case 0x01: self = .zlib
        case 0x02: self = .lzo
        case 0x04: self = .snappy
        case 0x20: self = .zstd
        default: return nil
        }
    }

    /// Fills `page`.
    /// - Returns: false if `bytes` are not exactly a page.
    func decompress(_ bytes: UnsafeRawBufferPointer, into page: UnsafeMutableRawBufferPointer) -> Bool {
        guard let source = bytes.baseAddress, let destination = page.baseAddress else { return false }
        let octets = source.assumingMemoryBound(to: UInt8.self)
        switch self {
        case .none:
            guard bytes.count == page.count else { return false }
            page.copyMemory(from: bytes)
            return true
        case .zlib:
            var count = uLongf(page.count)
            let target = destination.assumingMemoryBound(to: UInt8.self)
            return uncompress(target, &count, octets, uLong(bytes.count)) == Z_OK && Int(count) == page.count
        case .lzo:
            // `lzo_init` is a check of the compiler's types and nothing else.
            var count = lzo_uint(page.count)
            let target = destination.assumingMemoryBound(to: UInt8.self)
            return lzo1x_decompress_safe(octets, lzo_uint(bytes.count), target, &count, nil) == LZO_E_OK
                && Int(count) == page.count
        case .snappy:
            let target = destination.assumingMemoryBound(to: CChar.self)
            let compressed = source.assumingMemoryBound(to: CChar.self)
            var count = page.count
            return snappy_uncompress(compressed, bytes.count, target, &count) == SNAPPY_OK && count == page.count
        case .zstd:
            return ZSTD_decompress(destination, page.count, source, bytes.count) == page.count
        }
    }
}
