/// The free blocks of a map by order: an ordinary value that knows nothing of threads.
@usableFromInline
struct FreeBlocks {
    /// For each order, one bit per block of that order: set if it is free as a whole and its buddy is not part of it.
    private var isFree: [[UInt64]]
    /// For each order, heads that were free once, newest last; stale ones are dropped when met.
    private var candidates: [[UInt32]]
    private var blockCounts: [Int]
    @usableFromInline
    private(set) var frameCount: UInt64 = 0
    private let end: UInt64

    /// All frames `first ..< first + count` are free.
    init(first: Frame, count: UInt32) {
        let end = UInt64(first.number) + UInt64(count)
        self.end = end
        isFree = (0...FrameOrder.largest).map { order in
            [UInt64](repeating: 0, count: Int((end >> UInt64(order)) / 64 + 1))
        }
        candidates = [[UInt32]](repeating: [], count: FrameOrder.largest + 1)
        blockCounts = [Int](repeating: 0, count: FrameOrder.largest + 1)
        // The largest aligned blocks that fit, from the bottom up.
        var next = UInt64(first.number)
        while next < end {
            var order = min(next == 0 ? FrameOrder.largest : next.trailingZeroBitCount, FrameOrder.largest)
            while next + (1 << UInt64(order)) > end { order -= 1 }
            insert(next, order)
            next += 1 << UInt64(order)
        }
        for order in candidates.indices { candidates[order].reverse() }
    }

    /// Cuts a block out of the smallest free one that is large enough.
    @usableFromInline
    mutating func take(_ order: FrameOrder) -> Frame? {
        for larger in Int(order.rawValue)...FrameOrder.largest {
            while let head = candidates[larger].popLast() {
                guard contains(UInt64(head), larger) else { continue }
                remove(UInt64(head), larger)
                var rest = larger
                while rest > Int(order.rawValue) {
                    rest -= 1
                    insert(UInt64(head) + (1 << UInt64(rest)), rest)
                }
                return Frame(head)
            }
        }
        return nil
    }

    /// Joins a block with its free buddies and keeps it.
    /// - Returns: False if any of it was free already; nothing is changed then.
    @usableFromInline
    mutating func give(_ head: Frame, _ order: FrameOrder) -> Bool {
        var start = UInt64(head.number)
        var order = Int(order.rawValue)
        for larger in order...FrameOrder.largest where contains(start & ~((1 << UInt64(larger)) - 1), larger) {
            return false
        }
        while order < FrameOrder.largest {
            let buddy = start ^ (1 << UInt64(order))
            guard contains(buddy, order) else { break }
            remove(buddy, order)
            start &= ~(1 << UInt64(order))
            order += 1
        }
        insert(start, order)
        return true
    }

    private func contains(_ start: UInt64, _ order: Int) -> Bool {
        let block = start >> UInt64(order)
        guard start + (1 << UInt64(order)) <= end else { return false }
        return isFree[order][Int(block / 64)] >> (block % 64) & 1 != 0
    }

    private mutating func insert(_ start: UInt64, _ order: Int) {
        let block = start >> UInt64(order)
        isFree[order][Int(block / 64)] |= 1 << (block % 64)
        blockCounts[order] += 1
        frameCount += 1 << UInt64(order)
        candidates[order].append(UInt32(truncatingIfNeeded: start))
        // Blocks that were joined leave stale heads behind.
        if candidates[order].count > 2 * blockCounts[order] + 64 {
            var seen: Set<UInt32> = []
            candidates[order] = candidates[order].filter { contains(UInt64($0), order) && seen.insert($0).inserted }
        }
    }

    private mutating func remove(_ start: UInt64, _ order: Int) {
        let block = start >> UInt64(order)
        isFree[order][Int(block / 64)] &= ~(1 << (block % 64))
        blockCounts[order] -= 1
        frameCount -= 1 << UInt64(order)
    }
}
