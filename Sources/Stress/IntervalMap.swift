/// What belongs to a whole interval of addresses, and to each part of it in its own way.
protocol IntervalValue {
    /// What belongs to the part that begins so many bytes further up.
    func advanced(by bytes: UInt64) -> Self
}

/// Values of disjoint intervals of addresses: as plain as possible, because it is what page tables are compared with.
struct IntervalMap<Value: IntervalValue> {
    struct Piece {
        var first: UInt64
        var last: UInt64
        var value: Value

        func clipped(_ first: UInt64, _ last: UInt64) -> Piece? {
            let (low, high) = (max(first, self.first), min(last, self.last))
            guard low <= high else { return nil }
            return Piece(first: low, last: high, value: value.advanced(by: low - self.first))
        }
    }

    /// In the order of addresses.
    private(set) var pieces: [Piece] = []

    /// The index of the first piece that ends at or behind an address.
    func index(endingFrom address: UInt64) -> Int {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The piece that has an address, from there on.
    func piece(at address: UInt64) -> Piece? {
        let index = index(endingFrom: address)
        return index < pieces.count
            ? pieces[index].clipped(address, .max).flatMap { $0.first == address ? $0 : nil } : nil
    }

    /// What there is from `first` to `last`.
    func pieces(_ first: UInt64, _ last: UInt64) -> [Piece] {
        var result: [Piece] = []
        var index = index(endingFrom: first)
        while index < pieces.count, let inside = pieces[index].clipped(first, last) {
            result.append(inside)
            index += 1
        }
        return result
    }

    /// What there is nothing for from `first` to `last`.
    func gaps(_ first: UInt64, _ last: UInt64) -> [(first: UInt64, last: UInt64)] {
        var gaps: [(first: UInt64, last: UInt64)] = []
        var next = first
        for piece in pieces(first, last) {
            if piece.first > next { gaps.append((next, piece.first - 1)) }
            if piece.last == last { return gaps }
            next = piece.last + 1
        }
        return gaps + [(next, last)]
    }

    /// The lowest address from `first` to `last` that has a value.
    func firstOverlap(_ first: UInt64, _ last: UInt64) -> UInt64? {
        let index = index(endingFrom: first)
        return index < pieces.count ? pieces[index].clipped(first, last)?.first : nil
    }

    /// - Precondition: Nothing overlaps it.
    mutating func insert(_ first: UInt64, _ last: UInt64, _ value: Value) {
        precondition(firstOverlap(first, last) == nil, "an interval is taken twice")
        pieces.insert(Piece(first: first, last: last, value: value), at: index(endingFrom: first))
    }

    /// Cuts an interval out, and returns what was there.
    @discardableResult
    mutating func remove(_ first: UInt64, _ last: UInt64) -> [Piece] {
        let start = index(endingFrom: first)
        var end = start
        var (kept, removed): ([Piece], [Piece]) = ([], [])
        while end < pieces.count, let inside = pieces[end].clipped(first, last) {
            removed.append(inside)
            if first > 0, let before = pieces[end].clipped(0, first - 1) { kept.append(before) }
            if last < .max, let behind = pieces[end].clipped(last + 1, .max) { kept.append(behind) }
            end += 1
        }
        if !removed.isEmpty { pieces.replaceSubrange(start..<end, with: kept) }
        return removed
    }

    /// Changes the values of an interval.
    mutating func change(_ first: UInt64, _ last: UInt64, _ body: (inout Value) -> Void) {
        for var piece in remove(first, last) {
            body(&piece.value)
            insert(piece.first, piece.last, piece.value)
        }
    }

    /// Moves what is in an interval.
    ///
    /// - Precondition: Nothing is where it goes.
    mutating func move(_ first: UInt64, _ last: UInt64, to start: UInt64) {
        for piece in remove(first, last) {
            insert(start + (piece.first - first), start + (piece.last - first), piece.value)
        }
    }
}
