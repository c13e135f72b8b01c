/// A file in a compressor's container, stored as it is: what a test needs of compression without a compressor.
enum CompressedForm: String, CaseIterable, Sendable {
    case gzip
    case zstd

    func pack(_ bytes: [UInt8]) -> [UInt8] {
        switch self {
        case .gzip: Self.gzip(bytes)
        case .zstd: Self.zstd(bytes)
        }
    }

    private static func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    /// RFC 1952 around stored blocks of RFC 1951.
    private static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var file: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
        var rest = bytes[...]
        repeat {
            let block = rest.prefix(0xffff)
            rest = rest.dropFirst(0xffff)
            file.append(rest.isEmpty ? 1 : 0)
            file += littleEndian(UInt16(block.count)) + littleEndian(~UInt16(block.count)) + block
        } while !rest.isEmpty
        var check = UInt32.max
        for byte in bytes {
            check ^= UInt32(byte)
            for _ in 0..<8 { check = check & 1 == 1 ? check >> 1 ^ 0xedb8_8320 : check >> 1 }
        }
        return file + littleEndian(~check) + littleEndian(UInt32(truncatingIfNeeded: bytes.count))
    }

    /// RFC 8878: a frame of a single segment, in raw blocks.
    private static func zstd(_ bytes: [UInt8]) -> [UInt8] {
        var file: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xa0] + littleEndian(UInt32(bytes.count))
        var rest = bytes[...]
        repeat {
            let block = rest.prefix(0x1_0000)
            rest = rest.dropFirst(0x1_0000)
            file += littleEndian(UInt32(block.count) << 3 | (rest.isEmpty ? 1 : 0)).prefix(3) + block
        } while !rest.isEmpty
        return file
    }
}
