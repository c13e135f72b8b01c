import PageTables

// The lower half of a canonical space belongs to programs, the upper half to a kernel; both share the root.

extension X86LongMode: WritableFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }
    @inlinable
    public var topLevels: ClosedRange<Level> { Levels.topLevel...Levels.topLevel }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool {
        // Sign extension: all bits from the highest translated one upward are equal, and the same at both ends.
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

    /// Accessed and dirty.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0x60 }

    /// Whoever reaches a page can read it, and write it if all entries say so.
    @inlinable
    public func allows(_ access: PageAccess, path bits: UInt64) -> Bool { access == .read || bits & 2 != 0 }
}
