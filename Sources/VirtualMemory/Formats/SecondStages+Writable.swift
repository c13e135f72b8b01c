import PageTables

// Second stages: what a hypervisor lets a guest see of its memory. The "virtual" addresses of such a space are guest-physical, of
// fixed width and not sign-extended; a frame is a page of 4 KiB. The top table of RISC-V's takes four frames.

extension ExtendedPageTable: UnsignedFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }
    @inlinable
    public var topLevels: ClosedRange<Level> { Levels.topLevel...Levels.topLevel }

    /// Accessed and dirty.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0x300 }

    /// Where the pointer says so (EPTP bit 6), which a hypervisor chooses.
    @inlinable
    public var recordsWrites: Bool { true }

    /// Memory, cached as the guest wants it.
    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights, memoryTypeIndex: 6)
    }
}

extension RISCVGuestStage: UnsignedFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }
    @inlinable
    public var topLevels: ClosedRange<Level> { Levels.topLevel...Levels.topLevel }

    /// 44 bits of page number, from bit 10 of an entry on.
    @inlinable
    public func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 {
        (page.rawValue & 0x00ff_ffff_ffff_f000) &>> 2
    }

    /// A and D, where the processor sets them (Svadu).
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0xc0 }

    @inlinable
    public var recordsWrites: Bool { true }
}
