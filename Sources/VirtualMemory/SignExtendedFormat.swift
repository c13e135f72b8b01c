import PageTables

/// A writable format of fixed depth whose addresses are sign-extended: the lower half of a space belongs to programs, the upper
/// half to a kernel; both share the root.
public protocol SignExtendedFormat: WritableFormat {}

extension SignExtendedFormat {
    @inlinable
    public var topLevels: ClosedRange<Level> { Self.highestLevel...Self.highestLevel }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool {
        // All bits from the highest translated one upward are equal, and the same at both ends.
        let sign = shift(topLevel) &+ indexBits(topLevel) &- 1
        let (first, last) = (Int64(bitPattern: range.first.rawValue), Int64(bitPattern: range.last.rawValue))
        let (firstSign, lastSign) = (first &>> Int64(sign), last &>> Int64(sign))
        return firstSign == lastSign && (firstSign == 0 || firstSign == -1)
    }

    @inlinable
    public func covers(_ address: VirtualAddress, topLevel: Level) -> Bool {
        let bits = shift(topLevel) &+ indexBits(topLevel)
        return (address.rawValue &+ 1 &<< (bits &- 1)) &>> bits == 0
    }

    @inlinable
    public func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self> {
        .signExtended(self, root: root, topLevel: topLevel, bits: shift(topLevel) &+ indexBits(topLevel))
    }
}
