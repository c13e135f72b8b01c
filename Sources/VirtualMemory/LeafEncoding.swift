import PageTables

/// Leaves with certain attributes, ready for any address: attributes are encoded once for each level and not for each page.
@usableFromInline
struct LeafEncoding<Format: WritableFormat> {
    @usableFromInline
    let format: Format
    @usableFromInline
    var attributes: EntryAttributes?
    /// By level, the leaf of address 0; `nil` where the level has none.
    @usableFromInline
    var leaves: (UInt64?, UInt64?, UInt64?, UInt64?, UInt64?) = (nil, nil, nil, nil, nil)

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
        func leaf(_ level: Int) throws(EncodingError) -> UInt64? {
            guard level <= format.topLevels.upperBound.rawValue, format.canMapLeaf(Level(level)) else { return nil }
            let size = PageSize(log2Bytes: Int(format.shift(Level(level))))
            return try format.leaf(PhysicalAddress(0), size, wanted, at: Level(level)).rawValue
        }
        func large(_ level: Int) -> UInt64? {
            do throws(EncodingError) { return try leaf(level) } catch { return nil }
        }
        leaves = (try leaf(0), large(1), large(2), large(3), large(4))
        attributes = wanted
    }

    @inlinable
    func leaf(at level: Level) -> UInt64? {
        switch level.rawValue {
        case 0: leaves.0
        case 1: leaves.1
        case 2: leaves.2
        case 3: leaves.3
        default: leaves.4
        }
    }
}
