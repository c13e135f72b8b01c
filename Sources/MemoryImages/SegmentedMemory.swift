import PageTables
import TableMemory

/// Physical memory that lies uncompressed in a file, read straight from the mapping.
///
/// Finding an address costs one look into an index of buckets, whatever the number of segments: a compact capture has
/// thousands of them. Loading from a table that was found costs one unaligned load.
public struct SegmentedMemory: ImageMemory, @unchecked Sendable {
    // Unchecked because of the pointers: they are to memory that is never written after `init` and that the two objects
    // below keep.
    @usableFromInline let file: MappedFile
    @usableFromInline let index: SegmentIndex
    @usableFromInline let segments: UnsafePointer<MappedSegment>
    @usableFromInline let buckets: UnsafePointer<UInt32>
    @usableFromInline let bucketCount: UInt64
    @usableFromInline let first: UInt64
    @usableFromInline let shift: UInt64

    /// - Precondition: the extents are sorted and disjoint, and the file has all they point to.
    init(_ file: MappedFile, _ extents: [Extent]) {
        self.file = file
        index = SegmentIndex(file, extents)
        segments = UnsafePointer(index.segments)
        buckets = UnsafePointer(index.buckets)
        bucketCount = UInt64(index.bucketCount)
        first = index.first
        shift = index.shift
    }

    /// A table that was found.
    @frozen
    public struct Table {
        /// The first entry, if all of the table is in one segment; otherwise entries are looked for one by one.
        @usableFromInline let pointer: UnsafeRawPointer?
        @usableFromInline let address: UInt64
        @usableFromInline let bytes: Int

        @inlinable
        init(pointer: UnsafeRawPointer?, address: UInt64, bytes: Int) {
            self.pointer = pointer
            self.address = address
            self.bytes = bytes
        }
    }

    /// The segment that has `address`.
    @inlinable
    func segment(_ address: UInt64) -> UnsafePointer<MappedSegment>? {
        let slot = (address &- first) &>> shift
        guard slot < bucketCount else { return nil }
        let segment = segments + Int(truncatingIfNeeded: buckets[Int(truncatingIfNeeded: slot)])
        guard address <= segment.pointee.last else { return laterSegment(address, slot) }
        return address >= segment.pointee.first ? segment : nil
    }

    /// The segment that has `address`, where its bucket begins with others.
    @inline(never) @usableFromInline
    func laterSegment(_ address: UInt64, _ slot: UInt64) -> UnsafePointer<MappedSegment>? {
        var low = Int(buckets[Int(slot)]) + 1
        var high = min(Int(buckets[Int(slot) + 1]) + 1, index.segmentCount)
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].last < address { low = middle + 1 } else { high = middle }
        }
        guard low < index.segmentCount, segments[low].first <= address else { return nil }
        return segments + low
    }

    /// `MemoryLayout<Value>.size` bytes at `address`, if one segment has them all.
    @inlinable
    func value<Value: FixedWidthInteger>(_ address: UInt64, _ type: Value.Type) -> Value? {
        guard let segment = segment(address),
            segment.pointee.last &- address >= UInt64(MemoryLayout<Value>.size &- 1)
        else { return nil }
        let offset = Int(truncatingIfNeeded: address &- segment.pointee.first)
        return segment.pointee.pointer.loadUnaligned(fromByteOffset: offset, as: Value.self)
    }

    /// The same where the bytes may be spread over segments.
    @inline(never) @usableFromInline
    func scatteredValue<Value: FixedWidthInteger>(
        _ address: UInt64, _ type: Value.Type
    ) throws(ImageLoadFailure) -> Value {
        var value = Value.zero
        let copied = withUnsafeMutableBytes(of: &value) { copy(from: PhysicalAddress(address), into: $0) }
        guard copied == MemoryLayout<Value>.size else {
            throw .absent(PhysicalAddress(address &+ UInt64(copied)))
        }
        return value
    }

    @inlinable
    public func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(ImageLoadFailure) -> UInt64 {
        if let value = value(address.rawValue, UInt64.self) { return UInt64(memory: value, order) }
        return UInt64(memory: try scatteredValue(address.rawValue, UInt64.self), order)
    }

    @inlinable
    public func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(ImageLoadFailure) -> UInt32 {
        if let value = value(address.rawValue, UInt32.self) { return UInt32(memory: value, order) }
        return UInt32(memory: try scatteredValue(address.rawValue, UInt32.self), order)
    }

    /// Finds a table. One that is only partly there is found if its first byte is: its absent entries fail one by one.
    @inlinable
    public func table(at address: PhysicalAddress, bytes: Int) throws(ImageLoadFailure) -> Table {
        guard let segment = segment(address.rawValue) else { try raiseAbsent(address) }
        let whole = segment.pointee.last &- address.rawValue >= UInt64(truncatingIfNeeded: bytes &- 1)
        let offset = Int(truncatingIfNeeded: address.rawValue &- segment.pointee.first)
        return Table(
            pointer: whole ? segment.pointee.pointer + offset : nil, address: address.rawValue, bytes: bytes)
    }

    @inlinable
    public func load64(
        _ table: Table, index: Int, _ order: ByteOrder
    ) throws(ImageLoadFailure) -> UInt64 {
        assert(index >= 0 && index < table.bytes / 8, "an entry behind the end of its table")
        guard let pointer = table.pointer else {
            return try load64(PhysicalAddress(table.address &+ UInt64(truncatingIfNeeded: index &* 8)), order)
        }
        return UInt64(memory: pointer.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self), order)
    }

    @inlinable
    public func load32(
        _ table: Table, index: Int, _ order: ByteOrder
    ) throws(ImageLoadFailure) -> UInt32 {
        assert(index >= 0 && index < table.bytes / 4, "an entry behind the end of its table")
        guard let pointer = table.pointer else {
            return try load32(PhysicalAddress(table.address &+ UInt64(truncatingIfNeeded: index &* 4)), order)
        }
        return UInt32(memory: pointer.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self), order)
    }

    /// - Complexity: Logarithmic in the number of segments.
    @inline(never)
    public func hasNothing(at address: PhysicalAddress, bytes: Int) -> Bool {
        let (last, overflow) = address.rawValue.addingReportingOverflow(UInt64(max(bytes, 1) - 1))
        if overflow { return false }
        var low = 0
        var high = index.segmentCount
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].last < address.rawValue { low = middle + 1 } else { high = middle }
        }
        return low == index.segmentCount || segments[low].first > last
    }

    public var ranges: [PhysicalRange] {
        var result: [PhysicalRange] = []
        for segment in UnsafeBufferPointer(start: segments, count: index.segmentCount) {
            if let previous = result.last, previous.last.rawValue + 1 == segment.first {
                result[result.count - 1] = PhysicalRange(
                    first: previous.first, last: PhysicalAddress(segment.last))
            } else {
                result.append(
                    PhysicalRange(first: PhysicalAddress(segment.first), last: PhysicalAddress(segment.last)))
            }
        }
        return result
    }

    public func copy(from address: PhysicalAddress, into destination: UnsafeMutableRawBufferPointer) -> Int {
        var copied = 0
        while copied < destination.count {
            let (next, overflow) = address.rawValue.addingReportingOverflow(UInt64(copied))
            guard !overflow, let segment = segment(next)?.pointee else { break }
            let available = Int(clamping: segment.last - next) &+ 1
            let count = min(destination.count - copied, available > 0 ? available : .max)
            UnsafeMutableRawBufferPointer(rebasing: destination[copied..<copied + count]).copyMemory(
                from: UnsafeRawBufferPointer(start: segment.pointer + Int(next - segment.first), count: count))
            copied += count
        }
        return copied
    }
}

/// Throws. Not in place: see `TableMemory`.
@inline(never) @usableFromInline
func raiseAbsent(_ address: PhysicalAddress) throws(ImageLoadFailure) -> Never { throw .absent(address) }

/// Physical memory `first ... last`, which is at `pointer`.
@frozen @usableFromInline
struct MappedSegment {
    @usableFromInline let first: UInt64
    @usableFromInline let last: UInt64
    @usableFromInline let pointer: UnsafeRawPointer
}

/// Segments in order, and for each of equal buckets of physical memory the first segment that does not end before it.
///
/// There are at most four buckets a segment, so that few segments share one; where many do, because memory is
/// unevenly spread, they are searched by halves.
@usableFromInline
final class SegmentIndex {
    let segments: UnsafeMutablePointer<MappedSegment>
    let segmentCount: Int
    /// One more than `bucketCount`.
    let buckets: UnsafeMutablePointer<UInt32>
    let bucketCount: Int
    let first: UInt64
    let shift: UInt64

    init(_ file: MappedFile, _ extents: [Extent]) {
        let extents = extents.prefix(Int(UInt32.max))
        segmentCount = extents.count
        segments = .allocate(capacity: max(1, segmentCount))
        for (number, extent) in extents.enumerated() {
            guard let pointer = file.pointer(at: extent.source, count: 1) else {
                preconditionFailure("an extent outside its file")
            }
            (segments + number).initialize(
                to: MappedSegment(first: extent.first, last: extent.last, pointer: pointer))
        }
        first = extents.first?.first ?? 0
        let span = (extents.last?.last ?? 0) - first
        let limit = UInt64(segmentCount) * 4 + 16
        var shift: UInt64 = 0
        while span >> shift >= limit { shift += 1 }
        self.shift = shift
        bucketCount = segmentCount == 0 ? 0 : Int(span >> shift) + 1
        buckets = .allocate(capacity: bucketCount + 1)
        var segment = 0
        for bucket in 0..<bucketCount {
            let start = first + UInt64(bucket) << shift
            while segments[segment].last < start { segment += 1 }
            (buckets + bucket).initialize(to: UInt32(segment))
        }
        (buckets + bucketCount).initialize(to: UInt32(max(0, segmentCount - 1)))
    }

    deinit {
        segments.deallocate()
        buckets.deallocate()
    }
}
