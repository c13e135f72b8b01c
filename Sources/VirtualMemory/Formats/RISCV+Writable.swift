import PageTables

// The lower half of a space belongs to programs, the upper half to a kernel; both share the root.

extension RISCV: WritableFormat {
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

    /// 44 bits of page number, from bit 10 of an entry on.
    @inlinable
    public func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 {
        (page.rawValue & 0x00ff_ffff_ffff_f000) &>> 2
    }

    /// A and D, where the processor sets them (Svadu); elsewhere whoever handles the fault does.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0xc0 }

    /// Privileged code does not execute pages of programs.
    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights.subtracting(.supervisorExecute))
    }
}
