import PageTables
import TableMemory

// The words of one file that several threads may look at:
//
// | offset | word           | written by                                                     |
// |--------|----------------|----------------------------------------------------------------|
// | 0      | change lock    | writeback, resize and close: only one of them runs at a time   |
// | 8      | file lock      | whoever looks at the file's size, pages or spaces              |

/// Where the words of one file are.
public struct FileWords: Hashable, Sendable {
    @usableFromInline
    let address: PhysicalAddress

    /// - Parameter address: `byteCount` bytes of bookkeeping, zero, aligned to 64.
    @inlinable
    public init(at address: PhysicalAddress) {
        precondition(address.rawValue % 64 == 0, "the words of a file are aligned to 64 bytes")
        self.address = address
    }

    @inlinable
    public static var byteCount: UInt64 { 64 }

    @inlinable
    public var changeLock: TicketLock { TicketLock(at: address) }
    @inlinable
    public var lock: TicketLock { TicketLock(at: PhysicalAddress(address.rawValue &+ 8)) }
}
