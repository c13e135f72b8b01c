import PageTables

/// A frame of physical memory by its number: its address divided by the size of a frame.
public struct Frame: Hashable, Comparable, Sendable {
    public let number: UInt32

    @inlinable
    public init(_ number: UInt32) { self.number = number }

    @inlinable
    public static func < (left: Frame, right: Frame) -> Bool { left.number < right.number }
}

/// How many frames a block has, as a logarithm: order 0 is one frame.
public struct FrameOrder: Hashable, Comparable, Sendable {
    public let rawValue: UInt8

    /// - Precondition: `rawValue` is at most `FrameOrder.largest`.
    @inlinable
    public init(_ rawValue: Int) {
        precondition(rawValue >= 0 && rawValue <= Self.largest, "a block of frames has at most 2^20 of them")
        self.rawValue = UInt8(truncatingIfNeeded: rawValue)
    }

    /// 2^20 frames: 4 GiB of 4 KiB frames, more than any leaf that is mapped as a whole.
    @inlinable
    public static var largest: Int { 20 }

    @inlinable
    public static var single: FrameOrder { FrameOrder(0) }

    @inlinable
    public static func < (left: FrameOrder, right: FrameOrder) -> Bool { left.rawValue < right.rawValue }

    @inlinable
    public var frameCount: UInt32 { 1 &<< UInt32(rawValue) }
}

/// The frames of a memory: which there are, and where each one's descriptor is.
///
/// Descriptors lie in the memory itself, as words, because lock-free readers look at them.
public struct FrameMap: Sendable {
    /// log2 of the bytes of a frame: 12, or 16 on machines of 64 KiB pages; less in miniatures for a checker.
    public let log2FrameBytes: UInt8
    /// The first frame that is handed out; those below hold descriptors and other bookkeeping.
    public let first: Frame
    public let frameCount: UInt32
    @usableFromInline
    let descriptors: PhysicalAddress
    @usableFromInline
    let log2DescriptorBytes: UInt64

    /// - Parameters:
    ///   - descriptors: 2^`FrameDescriptor.log2Bytes` bytes for each frame, zero, aligned to 64.
    /// - Precondition: The frames' addresses fit into 64 bits.
    public init(log2FrameBytes: UInt8, first: Frame, frameCount: UInt32, descriptors: PhysicalAddress) {
        precondition(descriptors.rawValue % 64 == 0, "frame descriptors are aligned to 64 bytes")
        precondition(log2FrameBytes >= 4 && log2FrameBytes <= 16, "a frame has 16 bytes to 64 KiB")
        let (end, overflow) = first.number.addingReportingOverflow(frameCount)
        precondition(!overflow && end < .max, "frame numbers have 32 bits")
        self.log2FrameBytes = log2FrameBytes
        self.first = first
        self.frameCount = frameCount
        self.descriptors = descriptors
        log2DescriptorBytes = FrameDescriptor.log2Bytes(log2FrameBytes: log2FrameBytes)
    }

    // One comparison each: the difference from the first frame wraps around for those below it, and is too large then.

    @inlinable
    public func contains(_ frame: Frame) -> Bool { frame.number &- first.number < frameCount }

    /// The frame of an address; `nil` if it is none of the map's.
    @inlinable
    public func frame(of address: PhysicalAddress) -> Frame? {
        let number = address.rawValue &>> UInt64(log2FrameBytes)
        guard number &- UInt64(first.number) < UInt64(frameCount) else { return nil }
        return Frame(UInt32(truncatingIfNeeded: number))
    }

    /// The frame of an address and where its descriptor is, with one look at where the map ends; `nil` if it is none of
    /// the map's.
    ///
    /// - Parameter log2FrameBytes: The map's; in a caller that knows a constant, so is the shift.
    @inlinable
    @inline(__always)
    func described(
        _ address: PhysicalAddress, log2FrameBytes: UInt8
    ) -> (frame: Frame, descriptor: FrameDescriptor)? {
        assert(log2FrameBytes == self.log2FrameBytes, "frames are not as large as the map's")
        let number = address.rawValue &>> UInt64(log2FrameBytes)
        let index = number &- UInt64(first.number)
        guard index < UInt64(frameCount) else { return nil }
        let offset = index &<< FrameDescriptor.log2Bytes(log2FrameBytes: log2FrameBytes)
        return (
            Frame(UInt32(truncatingIfNeeded: number)),
            FrameDescriptor(address: PhysicalAddress(descriptors.rawValue &+ offset))
        )
    }

    @inlinable
    public func address(of frame: Frame) -> PhysicalAddress {
        PhysicalAddress(UInt64(frame.number) &<< UInt64(log2FrameBytes))
    }

    @inlinable
    public func range(of frame: Frame, _ order: FrameOrder) -> PhysicalRange {
        let start = address(of: frame).rawValue
        let bytes = UInt64(order.frameCount) &<< UInt64(log2FrameBytes)
        return PhysicalRange(first: PhysicalAddress(start), last: PhysicalAddress(start &+ bytes &- 1))
    }

    /// - Precondition: The frame is one of the map's.
    @inlinable
    public func descriptor(of frame: Frame) -> FrameDescriptor {
        precondition(contains(frame), "a frame outside the map has no descriptor")
        let offset = UInt64(frame.number &- first.number) &<< log2DescriptorBytes
        return FrameDescriptor(address: PhysicalAddress(descriptors.rawValue &+ offset))
    }
}

extension FrameMap {
    /// Whether any frame of the map has an address from `first` to `last`.
    @inlinable
    func overlaps(_ first: PhysicalAddress, _ last: PhysicalAddress) -> Bool {
        let start = UInt64(self.first.number) &<< UInt64(log2FrameBytes)
        let bytes = UInt64(frameCount) &<< UInt64(log2FrameBytes)
        return bytes > 0 && first.rawValue < start &+ bytes && last.rawValue >= start
    }
}
