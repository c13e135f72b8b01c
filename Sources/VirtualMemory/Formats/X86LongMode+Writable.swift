import PageTables

extension X86LongMode: SignExtendedFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }

    /// Accessed and dirty.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0x60 }

    @inlinable
    public var recordsWrites: Bool { true }

    /// Whoever reaches a page can read it, and write it if all entries say so.
    @inlinable
    public func allows(_ access: PageAccess, path bits: UInt64) -> Bool { access == .read || bits & 2 != 0 }
}
