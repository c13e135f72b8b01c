import PageTables

extension AccessedInHalves: WritableFormat where Base: WritableFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { base.log2FrameBytes }
    @inlinable
    public var topLevels: ClosedRange<Level> { base.topLevels }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool { base.covers(range, topLevel: topLevel) }

    @inlinable
    public func covers(_ address: VirtualAddress, topLevel: Level) -> Bool { base.covers(address, topLevel: topLevel) }

    @inlinable
    public var ofLiveSpaces: Self { AccessedInHalves(base.ofLiveSpaces) }

    @inlinable
    public func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self> {
        let space = base.addressSpace(root: root, topLevel: topLevel)
        return AddressSpace<Self>(format: self, lower: space.lower, upper: space.upper)
    }

    /// - Precondition: Zero, as the protocol of halves needs it: see `EntryHalves.swift`.
    @inlinable
    public func emptyEntry(at level: Level) -> Entry { base.emptyEntry(at: level) }

    @inlinable
    public func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 { base.addressBits(page, at: level) }

    @inlinable
    public func recordBits(at level: Level) -> UInt64 { base.recordBits(at: level) }

    @inlinable
    public var recordsWrites: Bool { base.recordsWrites }

    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes { base.attributes(protection) }

    @inlinable
    public func allows(_ access: PageAccess, path bits: UInt64) -> Bool { base.allows(access, path: bits) }
}
