import PageTables
import TableMemory

// What is kept of each frame, as words that any thread may look at without a lock.
//
// | bytes | word          | written by                                                                            |
// |-------|---------------|---------------------------------------------------------------------------------------|
// | 0-3   | references    | whoever takes or drops one; 0 says that the frame is free or being freed              |
// | 4-7   | map count     | whoever maps or unmaps the frame, under the lock of the table                         |
// | 8-11  | block         | the allocator, while nobody else can have a reference                                 |
// | 12-15 | pins          | whoever pins a frame of a large block (of a single frame, pins are in `references`)   |
// | 16-23 | mapping       | of a page, whose it is: see `FrameOwner`; of a table, see `TableState`                |
// | 24-31 | deferred link | freeing that waits for a grace period, and nobody else                                |
// | 32-39 | taken         | the allocator of fragments: a bit for each that is a table, or waits to be freed      |
// | 40-47 | fragment link | the same: the list of frames of a space that have free fragments                      |
// | 48-55 | table lock    | whoever changes entries of the tables in the frame and holds no writer's lock         |
// | 56-63 | pending       | freeing that waits: a bit for each fragment that is to be freed through the link      |
// | 64-87 | taken         | 64 more bits each, where a frame has up to 256 fragments                              |
// | 88-111| pending       | the same                                                                              |
//
// The deferred link and the fragment link are words of their own. Linux has both in one place (`page->lru` and `rcu_head`),
// which is why freeing tables through RCU was not possible on s390x, where two tables share a page and both want it.

/// Where the words of one frame's descriptor are.
public struct FrameDescriptor: Hashable, Sendable {
    @usableFromInline
    let address: PhysicalAddress

    @inlinable
    init(address: PhysicalAddress) { self.address = address }

    /// log2 of the bytes of a descriptor: one cache line, or two where a frame can have more than 64 fragments.
    @inlinable
    public static func log2Bytes(log2FrameBytes: UInt8) -> UInt64 { log2FrameBytes > 12 ? 7 : 6 }

    /// log2 of the most fragments that a frame can have: each needs a bit of `taken`.
    @inlinable
    public static func log2MostFragments(log2FrameBytes: UInt8) -> Int { log2FrameBytes > 12 ? 8 : 6 }

    @inlinable
    func word<Value: WordValue>(_ offset: UInt64) -> Word<Value> {
        Word(aligned: PhysicalAddress(address.rawValue &+ offset))
    }

    @inlinable
    public var references: Word<UInt32> { word(0) }
    @inlinable
    public var mapCount: Word<UInt32> { word(4) }
    @inlinable
    public var block: Word<UInt32> { word(8) }
    @inlinable
    public var pins: Word<UInt32> { word(12) }
    @inlinable
    public var mapping: Word<UInt64> { word(16) }
    @inlinable
    public var deferredLink: Word<UInt64> { word(24) }
    /// 64 bits of 256; `index` is 0 ... 3, and 0 where descriptors are one cache line.
    @inlinable
    public func taken(_ index: Int) -> Word<UInt64> {
        word(index == 0 ? 32 : 56 &+ 8 &* UInt64(truncatingIfNeeded: index))
    }
    @inlinable
    public func pending(_ index: Int) -> Word<UInt64> {
        word(index == 0 ? 56 : 80 &+ 8 &* UInt64(truncatingIfNeeded: index))
    }
    @inlinable
    public var fragmentLink: Word<UInt64> { word(40) }
    @inlinable
    public var tableLock: TicketLock { TicketLock(at: PhysicalAddress(address.rawValue &+ 48)) }
}

/// What the mapping word of a table's frame says.
public enum TableState {
    /// Some leaf table in the frame maps frames that are counted, so that freeing it has to look at its entries.
    @inlinable
    public static var mapsFrames: UInt64 { 1 }
}

/// The word that says which block a frame belongs to: bits 4...0 hold the order, the others are zero. Blocks are aligned to
/// their size, so the order leads from any frame to the head of its block.
public struct FrameBlock: Hashable, Sendable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable
    public init(order: FrameOrder) { rawValue = UInt32(order.rawValue) }

    @inlinable
    public var order: FrameOrder { FrameOrder(min(Int(rawValue & 31), FrameOrder.largest)) }

    @inlinable
    public func head(of frame: Frame) -> Frame { Frame(frame.number & ~(order.frameCount &- 1)) }

    /// Frames of a block share the head's counts.
    @inlinable
    public var isLarge: Bool { rawValue != 0 }
}
