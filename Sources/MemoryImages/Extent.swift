/// Consecutive addresses whose content is consecutive somewhere else: physical memory in a file, or bytes of a file in
/// the records of a flattened one.
struct Extent: Hashable, Sendable {
    var first: UInt64
    var last: UInt64
    /// Where the content of `first` is.
    var source: UInt64

    /// The most pieces of memory that an image may have. Real ones have thousands; without a bound, a small file that
    /// decompresses to billions of headers would take all memory.
    static var limit: UInt64 { 1 << 22 }

    /// Whether `next` continues this extent in both worlds.
    func continues(in next: Extent) -> Bool {
        last != .max && last + 1 == next.first && source &+ (last - first) &+ 1 == next.source
    }
}

extension Extent {
    /// The same addresses as sorted, disjoint extents, neighbours joined.
    ///
    /// Where extents overlap, the one that comes first in the array has the addresses. O(n log n) however they lie, and
    /// no more than 2n extents come out.
    static func disjoint(_ extents: [Extent]) -> (extents: [Extent], overlapped: Bool) {
        var starts = extents.enumerated().map { Ranked(extent: $0.element, rank: $0.offset) }
        if !zip(starts, starts.dropFirst()).allSatisfy({ $0.extent.first < $1.extent.first }) {
            starts.sort { ($0.extent.first, $0.rank) < ($1.extent.first, $1.rank) }
        }
        var result: [Extent] = []
        result.reserveCapacity(starts.count)
        func emit(_ extent: Extent) {
            if let previous = result.last, previous.continues(in: extent) {
                result[result.count - 1].last = extent.last
            } else {
                result.append(extent)
            }
        }
        guard zip(starts, starts.dropFirst()).contains(where: { $0.extent.last >= $1.extent.first }) else {
            for start in starts { emit(start.extent) }
            return (result, false)
        }

        // A sweep: `open` holds what covers the cursor, the winner on top.
        var open = RankHeap()
        var next = 0
        var cursor: UInt64 = 0
        while true {
            while let top = open.top, top.extent.last < cursor { open.removeTop() }
            if open.top == nil {
                guard next < starts.count else { break }
                cursor = max(cursor, starts[next].extent.first)
            }
            while next < starts.count, starts[next].extent.first <= cursor {
                if starts[next].extent.last >= cursor { open.insert(starts[next]) }
                next += 1
            }
            guard let top = open.top else { continue }
            var last = top.extent.last
            if next < starts.count { last = min(last, starts[next].extent.first - 1) }
            emit(Extent(first: cursor, last: last, source: top.extent.source &+ (cursor - top.extent.first)))
            if last == .max { break }
            cursor = last + 1
        }
        return (result, true)
    }

    private struct Ranked {
        var extent: Extent
        var rank: Int
    }

    /// A binary heap with the lowest rank on top.
    private struct RankHeap {
        private var items: [Ranked] = []

        var top: Ranked? { items.first }

        mutating func insert(_ item: Ranked) {
            items.append(item)
            var child = items.count - 1
            while child > 0 {
                let parent = (child - 1) / 2
                if items[parent].rank <= items[child].rank { break }
                items.swapAt(parent, child)
                child = parent
            }
        }

        mutating func removeTop() {
            items.swapAt(0, items.count - 1)
            items.removeLast()
            var parent = 0
            while true {
                var smallest = parent
                for child in [2 * parent + 1, 2 * parent + 2]
                where child < items.count && items[child].rank < items[smallest].rank {
                    smallest = child
                }
                if smallest == parent { break }
                items.swapAt(parent, smallest)
                parent = smallest
            }
        }
    }
}
