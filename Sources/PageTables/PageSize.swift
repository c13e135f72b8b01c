/// The size of a page, of a large page or of a run of pages that hardware may treat as one: a power of two.
public struct PageSize: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let log2Bytes: UInt8

    /// - Precondition: `log2Bytes` is less than 64.
    @inlinable
    public init(log2Bytes: Int) {
        precondition(log2Bytes >= 0 && log2Bytes < 64, "a page size is a power of two below 2^64")
        self.log2Bytes = UInt8(truncatingIfNeeded: log2Bytes)
    }

    @inlinable
    init(uncheckedLog2Bytes: UInt64) { log2Bytes = UInt8(truncatingIfNeeded: uncheckedLog2Bytes) }

    @inlinable
    public var bytes: UInt64 { 1 &<< UInt64(log2Bytes) }

    /// Ones where an address gives the offset in the page.
    @inlinable
    public var offsetMask: UInt64 { bytes &- 1 }

    @inlinable
    public static func < (left: PageSize, right: PageSize) -> Bool { left.log2Bytes < right.log2Bytes }

    /// `4 KiB`, `2 MiB`, `1 GiB`, …
    public var description: String {
        switch log2Bytes {
        case ..<10: "\(bytes) B"
        case ..<20: "\(bytes >> 10) KiB"
        case ..<30: "\(bytes >> 20) MiB"
        case ..<40: "\(bytes >> 30) GiB"
        case ..<50: "\(bytes >> 40) TiB"
        case ..<60: "\(bytes >> 50) PiB"
        default: "\(bytes >> 60) EiB"
        }
    }
}
