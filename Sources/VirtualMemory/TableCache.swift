import PageTables

/// What a processor keeps of the way to leaf tables, so that a miss among neighbours is one load: a page-walk cache.
@usableFromInline
struct TableCache: ~Copyable {
    @usableFromInline
    struct Line {
        /// The first address that the table maps; `nothing` if there is none.
        @usableFromInline
        var start: UInt64
        @usableFromInline
        var table: PhysicalAddress
        /// What decides the rights of the entries that lead to it.
        @usableFromInline
        var pathBits: UInt64

        @inlinable
        init(start: UInt64, table: PhysicalAddress, pathBits: UInt64) {
            self.start = start
            self.table = table
            self.pathBits = pathBits
        }
    }

    /// log2 of the bytes that a leaf table maps.
    @usableFromInline
    let shift: UInt64
    @usableFromInline
    var lines: [Line]

    /// No address that a table begins at.
    @inlinable
    static var nothing: UInt64 { .max }

    @usableFromInline
    init(shift: UInt64, log2Lines: Int) {
        precondition((0...10).contains(log2Lines), "a table cache has 1 to 1024 lines")
        self.shift = shift
        lines = Array(
            repeating: Line(start: Self.nothing, table: PhysicalAddress(0), pathBits: 0), count: 1 << log2Lines)
    }

    @inlinable
    func index(_ address: VirtualAddress) -> Int {
        Int(truncatingIfNeeded: address.rawValue &>> shift) & (lines.count &- 1)
    }

    /// The first address that the leaf table of an address maps.
    @inlinable
    func start(of address: VirtualAddress) -> UInt64 { address.rawValue & ~((1 &<< shift) &- 1) }

    /// The leaf table of an address, if it is kept.
    @inlinable
    func line(of address: VirtualAddress) -> Line? {
        let line = lines[index(address)]
        return line.start == start(of: address) ? line : nil
    }

    @inlinable
    mutating func keep(_ table: PhysicalAddress, of address: VirtualAddress, pathBits: UInt64) {
        lines[index(address)] = Line(
            start: start(of: address), table: table, pathBits: pathBits)
    }

    /// Forgets the tables that map part of a range; everything if it is `nil`.
    @usableFromInline
    mutating func forget(_ range: VirtualRange?) {
        for index in lines.indices where lines[index].start != Self.nothing {
            let start = lines[index].start
            let table = VirtualRange(
                first: VirtualAddress(start), last: VirtualAddress(start | ((1 &<< shift) &- 1)))
            let isForgotten = range.map { $0.intersection(table) != nil } ?? true
            if isForgotten { lines[index].start = Self.nothing }
        }
    }
}
