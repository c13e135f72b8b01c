import PageTables

// The top table has four entries in 32 bytes and takes the smallest fragment of a frame. Its frame has to be below 4 GiB, since
// CR3 has 32 bits, and a processor reads it only when CR3 is loaded: whoever runs a program loads CR3 again after a top entry
// was changed.
//
// On a machine of 32 bits the format to use is `AccessedInHalves<X86PAE>`.

extension X86PAE: WritableFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }
    @inlinable
    public var topLevels: ClosedRange<Level> { Level(2)...Level(2) }

    @inlinable
    public func covers(_ range: VirtualRange, topLevel: Level) -> Bool { range.last.rawValue &>> 32 == 0 }

    @inlinable
    public func covers(_ address: VirtualAddress, topLevel: Level) -> Bool { address.rawValue &>> 32 == 0 }

    @inlinable
    public func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<X86PAE> {
        .unsigned(self, root: root, topLevel: topLevel, bits: 32)
    }

    /// Accessed and dirty.
    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0x60 }

    @inlinable
    public var recordsWrites: Bool { true }
}
