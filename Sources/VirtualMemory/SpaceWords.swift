import PageTables
import TableMemory

// What is kept of a space, as words that several threads look at.
//
// | bytes  | word           | written by                                                                           |
// |--------|----------------|--------------------------------------------------------------------------------------|
// | 0      | root           | whoever makes the space, or grows it with the growth lock held                       |
// | 8      | spare          | nobody                                                                               |
// | 16     | lock           | readers: faults, slow pins, walks that split; the writer: map, unmap, protect        |
// | 24     | users          | a processor that begins to use the space, for itself                                 |
// | 32     | growth lock    | whoever grows the space, which takes no more than a reader's lock                    |
// | 40     | fragment lock  | the allocator of tables that are smaller than a frame                                |
// | 48-119 | fragment lists | the same, one list for each size: frames of which some fragments are free            |
// | 120    | flush lock     | whoever writes into the flush log                                                    |
// | 128    | flushes begun  | whoever has translations flushed with the space's lock held for reading only         |
// | 136    | flush log      | how many flushes there were, then the ranges of the last ones: see `FlushLog`        |
// | 320    | visits         | whoever goes from a file to the space, with the file's lock held to begin with       |

/// Where the words of one space are.
public struct SpaceWords: Hashable, Sendable {
    @usableFromInline
    let address: PhysicalAddress

    /// - Parameter address: `byteCount` bytes of bookkeeping, zero, aligned to 64.
    @inlinable
    public init(at address: PhysicalAddress) {
        precondition(address.rawValue % 64 == 0, "the words of a space are aligned to 64 bytes")
        self.address = address
    }

    @inlinable
    public static var byteCount: UInt64 { 384 }

    /// All words of the space.
    public var range: PhysicalRange {
        PhysicalRange(first: address, last: PhysicalAddress(address.rawValue + (Self.byteCount - 1)))
    }

    @inlinable
    func place(_ offset: UInt64) -> PhysicalAddress { PhysicalAddress(address.rawValue &+ offset) }

    @inlinable
    func word(_ offset: UInt64) -> Word<UInt64> { Word(aligned: place(offset)) }

    @inlinable
    public var root: Word<UInt64> { word(0) }
    /// For structures that need one more word: see `SpaceStructure`.
    @inlinable
    public var spare: Word<UInt64> { word(8) }
    @inlinable
    public var lock: ReaderWriterLock { ReaderWriterLock(at: place(16)) }
    @inlinable
    public var users: Word<UInt64> { word(24) }
    @inlinable
    public var growthLock: TicketLock { TicketLock(at: place(32)) }
    @inlinable
    public var fragmentLock: TicketLock { TicketLock(at: place(40)) }

    /// The first frame, plus one, that has free fragments of a frame's bytes divided by 2^`log2Count`; 1 ... 8.
    @inlinable
    public func fragmentList(_ log2Count: Int) -> Word<UInt64> {
        word(48 &+ UInt64(truncatingIfNeeded: log2Count) &* 8)
    }
    @inlinable
    public var flushLog: FlushLog { FlushLog(lock: TicketLock(at: place(120)), at: place(136)) }
    /// How many flushes have begun and not ended.
    @inlinable
    public var flushesBegun: Word<UInt64> { Word(place(128)) }
    /// How many have noted the space as one that shows a file, and are not done with it.
    @inlinable
    public var visits: Word<UInt64> { Word(place(320)) }
}
