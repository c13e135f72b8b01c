import PageTables

/// Leaves with certain attributes, ready for any address: attributes are encoded once for each level and not for each page.
@usableFromInline
struct LeafEncoding<Format: WritableFormat> {
    @usableFromInline
    let format: Format
    @usableFromInline
    var attributes: EntryAttributes?
    // By level, the leaf of address 0; zero where the level has none. Words of their own: a tuple or an array would be copied
    // for each page.
    @usableFromInline
    var page: UInt64 = 0
    @usableFromInline
    var leaf1: UInt64 = 0
    @usableFromInline
    var leaf2: UInt64 = 0
    @usableFromInline
    var leaf3: UInt64 = 0
    @usableFromInline
    var leaf4: UInt64 = 0

    @inlinable
    init(_ format: Format) { self.format = format }

    /// Encodes attributes, unless they are those of before.
    ///
    /// - Throws: What the format cannot express in a page; larger leaves are then only not used.
    @inlinable
    mutating func use(_ wanted: EntryAttributes) throws(EncodingError) {
        if attributes != wanted { try encode(wanted) }
    }

    @usableFromInline
    @inline(never)
    mutating func encode(_ wanted: EntryAttributes) throws(EncodingError) {
        attributes = nil
        func leaf(_ level: Int) throws(EncodingError) -> UInt64 {
            guard level <= format.topLevels.upperBound.rawValue, format.canMapLeaf(Level(level)) else { return 0 }
            let size = PageSize(log2Bytes: Int(format.shift(Level(level))))
            return try format.leaf(PhysicalAddress(0), size, wanted, at: Level(level)).rawValue
        }
        func large(_ level: Int) -> UInt64 {
            do throws(EncodingError) { return try leaf(level) } catch { return 0 }
        }
        page = try leaf(0)
        (leaf1, leaf2, leaf3, leaf4) = (large(1), large(2), large(3), large(4))
        attributes = wanted
    }

    /// The bits of a leaf; `nil` where the level has none.
    @inlinable
    func leaf(at level: Level) -> UInt64? {
        let bits =
            switch level.rawValue {
            case 0: page
            case 1: leaf1
            case 2: leaf2
            case 3: leaf3
            case 4: leaf4
            default: 0 as UInt64
            }
        return bits == 0 ? nil : bits
    }
}
