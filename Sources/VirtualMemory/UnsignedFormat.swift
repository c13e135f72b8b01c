import PageTables

/// A writable format whose spaces have one tree, from address 0 upward.
public protocol UnsignedFormat: WritableFormat {}

extension UnsignedFormat {
    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool {
        let bits = shift(topLevel) &+ indexBits(topLevel)
        return bits >= 64 || range.last.rawValue &>> bits == 0
    }

    @inlinable
    public func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self> {
        .unsigned(self, root: root, topLevel: topLevel, bits: shift(topLevel) &+ indexBits(topLevel))
    }
}
