import PageTables

// The lower half of a canonical space belongs to programs, the upper half to a kernel; both share the root.

extension X86LongMode: WritableFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }
    @inlinable
    public var topLevels: ClosedRange<Level> { Levels.topLevel...Levels.topLevel }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool {
        coversSignExtended(range, topLevel: topLevel)
    }

    @inlinable
    public func covers(_ address: VirtualAddress, topLevel: Level) -> Bool {
        coversSignExtended(address, topLevel: topLevel)
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
