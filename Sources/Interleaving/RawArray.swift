/// A growing array of plain values in memory of its own, used again in each execution.
///
/// Fibers and the scheduler take turns on these in the middle of each other's function calls. Elements in raw memory are
/// accessed one load or store at a time, so no access is ever open while another fiber runs.
struct RawArray<Element: BitwiseCopyable>: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 256) {
        base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit { base.deallocate() }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count == capacity { grow(to: count &+ 1) }
        (base + count).initialize(to: element)
        count &+= 1
    }

    @inline(__always)
    mutating func removeLast(downTo count: Int = -1) {
        self.count = count < 0 ? self.count &- 1 : count
    }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    /// Makes room for `count` elements without initialising them.
    @inline(__always)
    mutating func reserve(_ count: Int) {
        if count > capacity { grow(to: count) }
    }

    @inline(never)
    private mutating func grow(to needed: Int) {
        let larger = max(needed, capacity * 2)
        let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
        // Elements beyond `count` may be in use too (`reserve`).
        moved.update(from: base, count: capacity)
        base.deallocate()
        base = moved
        capacity = larger
    }
}
