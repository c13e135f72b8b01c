import PageTables

extension RISCV: SignExtendedFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }

    /// 44 bits of page number, from bit 10 of an entry on.
    @inlinable
    public func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 {
        (page.rawValue & 0x00ff_ffff_ffff_f000) &>> 2
    }

    /// A and D, where the processor sets them (Svadu); elsewhere whoever handles the fault does.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0xc0 }

    @inlinable
    public var recordsWrites: Bool { true }

    /// Privileged code does not execute pages of programs.
    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights.subtracting(.supervisorExecute))
    }
}
