import PageTables
import TableMemory

/// The physical memory that an image holds, whatever the container.
public protocol ImageMemory: TableMemory, Sendable where Failure == ImageLoadFailure {
    /// What is there: sorted, disjoint, neighbours joined. O(number of ranges) at least.
    var ranges: [PhysicalRange] { get }

    /// Copies memory that starts at `address` until `destination` is full or something is absent.
    /// - Returns: bytes copied.
    func copy(from address: PhysicalAddress, into destination: UnsafeMutableRawBufferPointer) -> Int
}

extension ImageMemory {
    /// The bytes at `address`: `count` of them, or as many as there are before the first that is absent.
    public func bytes(at address: PhysicalAddress, count: Int) -> [UInt8] {
        var result: [UInt8] = []
        // Grown in steps, so that a count out of an image allocates no more than the image has.
        while result.count < count {
            let (next, overflow) = address.rawValue.addingReportingOverflow(UInt64(result.count))
            if overflow { break }
            let step = min(count - result.count, max(4096, result.count))
            let piece = [UInt8](unsafeUninitializedCapacity: step) { buffer, initialized in
                initialized = copy(
                    from: PhysicalAddress(next),
                    into: UnsafeMutableRawBufferPointer(buffer).rebased(prefix: step))
            }
            result += piece
            if piece.count < step { break }
        }
        return result
    }

    /// The bytes of `range` before the first that is absent.
    public func bytes(of range: PhysicalRange) -> [UInt8] {
        bytes(at: range.first, count: Int(clamping: range.byteCount ?? .max))
    }
}

extension UnsafeMutableRawBufferPointer {
    func rebased(prefix count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: self[..<count])
    }
}

extension FixedWidthInteger {
    /// The value of these bytes of memory when they are read in `order`.
    @inlinable
    init(memory bytes: Self, _ order: ByteOrder) {
        self = order == .host ? bytes : bytes.byteSwapped
    }
}
