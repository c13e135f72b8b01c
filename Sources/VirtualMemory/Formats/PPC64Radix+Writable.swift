import PageTables

// A program has quadrant 0. A frame is a page; in a tree of 64 KiB pages a leaf table has 256 bytes and the directories above
// it 4 KiB, so that both are fragments of a frame.

extension PPC64Radix: WritableFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { UInt8(truncatingIfNeeded: PageGranule.log2Bytes) }
    @inlinable
    public var topLevels: ClosedRange<Level> { Level(3)...Level(3) }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool { range.last.rawValue &>> 52 == 0 }

    @inlinable
    public func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self> {
        .unsigned(self, root: root, topLevel: topLevel, bits: 52)
    }

    /// R and C.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0x180 }

    @inlinable
    public var recordsWrites: Bool { true }

    /// Privileged code does not execute pages of programs.
    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights.subtracting(.supervisorExecute))
    }
}
