import PageTables
import Synchronization
import TableMemory

/// Physical memory that is decompressed page by page as it is read.
///
/// Decompressed pages are kept in a cache of bounded size, which threads share. A page that was found as part of a table
/// stays valid as long as the table does, so loading its entries takes no lock.
public struct KdumpMemory: ImageMemory {
    private let pages: KdumpPages
    private let cache: PageCache
    private let log2BlockBytes: UInt64

    init(_ pages: KdumpPages, cacheBytes: Int) {
        self.pages = pages
        cache = PageCache(capacity: cacheBytes / Int(pages.blockBytes))
        log2BlockBytes = pages.log2BlockBytes
    }

    /// A table that was found.
    @frozen
    public struct Table: Sendable {
        /// The page or pages with all of the table, if they are there; otherwise entries are looked for one by one.
        @usableFromInline let page: KdumpPage?
        /// Where in the page the table starts.
        @usableFromInline let offset: Int
        @usableFromInline let address: UInt64
        @usableFromInline let bytes: Int
    }

    /// The page that has `address`.
    private func page(_ address: UInt64) throws(ImageLoadFailure) -> KdumpPage {
        let frame = address >> log2BlockBytes
        if let page = cache.page(frame) { return page }
        switch pages.page(frame) {
        case .page(let page):
            cache.insert(page, frame)
            return page
        case .absent:
            throw .absent(PhysicalAddress(address))
        case .corrupt(let offset):
            let failure = ImageLoadFailure.corrupt(PhysicalAddress(frame << log2BlockBytes), fileOffset: offset)
            cache.note(failure, frame)
            throw failure
        }
    }

    private func value<Value: FixedWidthInteger>(_ address: UInt64) throws(ImageLoadFailure) -> Value {
        let page = try page(address)
        let offset = Int(address & (pages.blockBytes - 1))
        if offset <= page.byteCount - MemoryLayout<Value>.size {
            return page.bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)
        }
        var value = Value.zero
        let copied = withUnsafeMutableBytes(of: &value) { copy(from: PhysicalAddress(address), into: $0) }
        guard copied == MemoryLayout<Value>.size else {
            throw .absent(PhysicalAddress(address &+ UInt64(copied)))
        }
        return value
    }

    @inline(never)
    public func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(ImageLoadFailure) -> UInt64 {
        UInt64(memory: try value(address.rawValue), order)
    }

    @inline(never)
    public func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(ImageLoadFailure) -> UInt32 {
        UInt32(memory: try value(address.rawValue), order)
    }

    /// The largest table that is put together from several pages; all formats' are smaller.
    private static let largestJoinedTable = 1 << 20

    /// Finds a table. One that is only partly there is found if its first page is: its absent entries fail one by one.
    @inline(never)
    public func table(at address: PhysicalAddress, bytes: Int) throws(ImageLoadFailure) -> Table {
        let page = try page(address.rawValue)
        let offset = Int(address.rawValue & (pages.blockBytes - 1))
        if bytes <= page.byteCount - offset {
            return Table(page: page, offset: offset, address: address.rawValue, bytes: bytes)
        }
        if bytes <= Self.largestJoinedTable {
            let joined = KdumpPage(byteCount: bytes)
            if copy(from: address, into: joined.buffer) == bytes {
                return Table(page: joined, offset: 0, address: address.rawValue, bytes: bytes)
            }
        }
        return Table(page: nil, offset: 0, address: address.rawValue, bytes: bytes)
    }

    @inlinable
    public func load64(_ table: Table, index: Int, _ order: ByteOrder) throws(ImageLoadFailure) -> UInt64 {
        assert(index >= 0 && index < table.bytes / 8, "an entry behind the end of its table")
        guard let page = table.page else {
            return try load64(PhysicalAddress(table.address &+ UInt64(truncatingIfNeeded: index &* 8)), order)
        }
        return UInt64(
            memory: page.bytes.loadUnaligned(fromByteOffset: table.offset &+ index &* 8, as: UInt64.self), order)
    }

    @inlinable
    public func load32(_ table: Table, index: Int, _ order: ByteOrder) throws(ImageLoadFailure) -> UInt32 {
        assert(index >= 0 && index < table.bytes / 4, "an entry behind the end of its table")
        guard let page = table.page else {
            return try load32(PhysicalAddress(table.address &+ UInt64(truncatingIfNeeded: index &* 4)), order)
        }
        return UInt32(
            memory: page.bytes.loadUnaligned(fromByteOffset: table.offset &+ index &* 4, as: UInt32.self), order)
    }

    /// - Complexity: The pages that the bytes are in. A corrupt page is decompressed in vain once, and not for each entry.
    public func hasNothing(at address: PhysicalAddress, bytes: Int) -> Bool {
        let (last, overflow) = address.rawValue.addingReportingOverflow(UInt64(max(bytes, 1) - 1))
        if overflow { return false }
        var frame = address.rawValue >> log2BlockBytes
        while frame <= last >> log2BlockBytes {
            if (try? page(frame << log2BlockBytes)) != nil { return false }
            frame += 1
        }
        return true
    }

    public var ranges: [PhysicalRange] { pages.ranges }

    /// Pages that turned out to be corrupt until now, a line each.
    var warnings: [String] { cache.corruptPages.all }

    public func copy(from address: PhysicalAddress, into destination: UnsafeMutableRawBufferPointer) -> Int {
        var copied = 0
        while copied < destination.count {
            let (next, overflow) = address.rawValue.addingReportingOverflow(UInt64(copied))
            guard !overflow, let page = try? page(next) else { break }
            let offset = Int(next & (pages.blockBytes - 1))
            let count = min(destination.count - copied, page.byteCount - offset)
            UnsafeMutableRawBufferPointer(rebasing: destination[copied..<copied + count]).copyMemory(
                from: UnsafeRawBufferPointer(start: page.bytes + offset, count: count))
            copied += count
        }
        return copied
    }
}

/// The pages that were decompressed last, as many as there is room for: second-chance replacement.
private final class PageCache: Sendable {
    private struct Slot {
        var frame: UInt64
        var page: KdumpPage
        var wasUsed: Bool
    }

    private struct State {
        var slots: [Slot] = []
        var places: [UInt64: Int] = [:]
        var hand = 0
        var corrupt = ImageWarnings()
        var corruptFrames: Set<UInt64> = []
    }

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) { self.capacity = max(1, capacity) }

    func page(_ frame: UInt64) -> KdumpPage? {
        state.withLock { state in
            guard let place = state.places[frame] else { return nil }
            state.slots[place].wasUsed = true
            return state.slots[place].page
        }
    }

    func insert(_ page: KdumpPage, _ frame: UInt64) {
        state.withLock { state in
            // Another thread may have been faster.
            if state.places[frame] != nil { return }
            let slot = Slot(frame: frame, page: page, wasUsed: false)
            if state.slots.count < capacity {
                state.places[frame] = state.slots.count
                state.slots.append(slot)
                return
            }
            while state.slots[state.hand].wasUsed {
                state.slots[state.hand].wasUsed = false
                state.hand = (state.hand + 1) % capacity
            }
            state.places[state.slots[state.hand].frame] = nil
            state.places[frame] = state.hand
            state.slots[state.hand] = slot
            state.hand = (state.hand + 1) % capacity
        }
    }

    /// Remembers a corrupt page for `warnings`, once.
    func note(_ failure: ImageLoadFailure, _ frame: UInt64) {
        state.withLock { state in
            if state.corruptFrames.insert(frame).inserted { state.corrupt.add(failure.description) }
        }
    }

    var corruptPages: ImageWarnings { state.withLock { $0.corrupt } }
}
