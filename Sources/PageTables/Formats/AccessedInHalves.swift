// A format of 64-bit entries on a machine that accesses 32 bits at once.
//
// What an entry means does not change, only how it is loaded and stored: as a low and a high half. That is how 32-bit kernels
// of x86 use PAE tables. An image holds whole entries, so it is for memory that others change meanwhile.

/// A format whose entries are loaded and stored as two halves.
///
/// An entry of the format whose low half is zero must map nothing: the bit that makes an entry valid is in the low half.
public struct AccessedInHalves<Base: PageTableFormat>: PageTableFormat {
    public let base: Base

    /// - Precondition: The format has entries of 64 bits.
    @inlinable
    public init(_ base: Base) {
        precondition(Base.entryBytes == 8, "entries of 64 bits have halves")
        self.base = base
    }

    @inlinable
    public static var entryBytes: Int { 8 }
    @inlinable
    public static var isAccessedInHalves: Bool { true }
    @inlinable
    public static var fixedTopLevel: Level? { Base.fixedTopLevel }
    @inlinable
    public static var highestLevel: Level { Base.highestLevel }
    public static func folding(of level: Level) -> Folding { Base.folding(of: level) }
    public static var notions: FormatNotions { Base.notions }

    @inlinable
    public var byteOrder: ByteOrder { base.byteOrder }
    @inlinable
    public func shift(_ level: Level) -> UInt64 { base.shift(level) }
    @inlinable
    public func indexBits(_ level: Level) -> UInt64 { base.indexBits(level) }
    public func leafSizes(_ level: Level) -> [PageSize] { base.leafSizes(level) }

    @inlinable
    public func shape(of entry: Entry, at level: Level) -> EntryShape { base.shape(of: entry, at: level) }

    public func malformation(of entry: Entry, at level: Level) -> Malformation? {
        base.malformation(of: entry, at: level)
    }

    @inlinable
    public func table(of entry: Entry, at level: Level) -> PhysicalAddress { base.table(of: entry, at: level) }

    @inlinable
    public func limits(below entry: Entry, at level: Level) -> IndexLimits { base.limits(below: entry, at: level) }

    @inlinable
    public func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress {
        base.physical(of: leaf, at: level, for: address)
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize { base.leafSize(of: leaf, at: level) }

    @inlinable
    public func rights(of entry: Entry, at level: Level) -> Rights { base.rights(of: entry, at: level) }

    @inlinable
    public func pathBits(of entry: Entry, at level: Level) -> UInt64 { base.pathBits(of: entry, at: level) }

    @inlinable
    public func rights(ofPath bits: UInt64) -> Rights { base.rights(ofPath: bits) }

    @inlinable
    public func effectiveRights(_ intersection: Rights) -> Rights { base.effectiveRights(intersection) }

    @inlinable
    public func attributes(of leaf: Entry, at level: Level) -> EntryAttributes { base.attributes(of: leaf, at: level) }

    @inlinable
    public func attributeBits(of leaf: Entry, at level: Level) -> UInt64 { base.attributeBits(of: leaf, at: level) }

    public func memoryType(_ index: UInt8) -> MemoryType { base.memoryType(index) }

    @inlinable
    public func last(
        of entry: Entry, at level: Level, from address: VirtualAddress, limit: VirtualAddress
    ) -> VirtualAddress { base.last(of: entry, at: level, from: address, limit: limit) }

    public func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64 {
        base.canonical(content, attributes, at: level)
    }
}
