/// What consecutive addresses are mapped to: a value that says something of its first address, and of the others by their
/// distance.
protocol Advancing: Equatable {
    func advanced(by bytes: UInt64) -> Self
}

/// Addresses with values, kept in the plainest way: a list in the order of addresses.
struct IntervalMap<Value: Advancing>: Equatable {
    struct Interval: Equatable, CustomStringConvertible {
        var first: UInt64
        var last: UInt64
        var value: Value

        func clipped(_ lowest: UInt64, _ highest: UInt64) -> Interval? {
            let (lower, upper) = (max(first, lowest), min(last, highest))
            guard lower <= upper else { return nil }
            return Interval(first: lower, last: upper, value: value.advanced(by: lower - first))
        }

        var description: String { "\(String(first, radix: 16))...\(String(last, radix: 16)): \(value)" }
    }

    private(set) var intervals: [Interval] = []

    var isEmpty: Bool { intervals.isEmpty }

    func value(at address: UInt64) -> Value? { parts(address, address).first?.value }

    func parts(_ first: UInt64, _ last: UInt64) -> [Interval] { intervals.compactMap { $0.clipped(first, last) } }

    mutating func remove(_ first: UInt64, _ last: UInt64) {
        intervals = intervals.flatMap { interval in
            [
                first == 0 ? nil : interval.clipped(0, first - 1),
                last == .max ? nil : interval.clipped(last + 1, .max),
            ].compactMap(\.self)
        }
    }

    /// - Precondition: Nothing is there.
    mutating func insert(_ first: UInt64, _ last: UInt64, _ value: Value) {
        precondition(parts(first, last).isEmpty, "the model already has a value there")
        let index = intervals.firstIndex { $0.first > first } ?? intervals.endIndex
        intervals.insert(Interval(first: first, last: last, value: value), at: index)
    }

    mutating func change(_ first: UInt64, _ last: UInt64, _ body: (inout Value) -> Void) {
        for part in parts(first, last) {
            var value = part.value
            body(&value)
            remove(part.first, part.last)
            insert(part.first, part.last, value)
        }
    }

    /// The same with as few intervals as possible.
    var joined: IntervalMap {
        var result = IntervalMap()
        for interval in intervals { result.append(interval) }
        return result
    }

    /// Adds what follows everything else, joined with what it continues.
    mutating func append(_ interval: Interval) {
        if let last = intervals.last, last.last != .max, last.last + 1 == interval.first,
            last.value.advanced(by: interval.first - last.first) == interval.value
        {
            intervals[intervals.count - 1].last = interval.last
        } else {
            intervals.append(interval)
        }
    }
}
