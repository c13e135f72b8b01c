import PageTables

/// A page-table format that a live address space can be built in.
///
/// **Making a format writable.** Conform in a file of `Formats/`: say how large a frame is, how deep spaces can be, which
/// addresses a space of some depth covers, and what snapshot a walker takes of it. The property suite of `VirtualMemoryTests`
/// then runs over the format, and `pagewalk stress` knows it.
public protocol WritableFormat: PageTableFormat {
    /// log2 of the bytes of a frame: the smallest page.
    var log2FrameBytes: UInt8 { get }
    /// The top levels that a space can have. More than one where spaces grow.
    var topLevels: ClosedRange<Level> { get }
    /// Whether a space with this top level translates the whole of a range.
    func covers(_ range: VirtualRange, topLevel: Level) -> Bool
    /// As for a range, for one address: what is asked for each page.
    func covers(_ address: VirtualAddress, topLevel: Level) -> Bool
    /// The format as live spaces have it: with what software keeps in bits that hardware leaves to it, and that mean anything in
    /// tables of somebody else's.
    var ofLiveSpaces: Self { get }
    /// What walkers see of a space: its root with its depth.
    func addressSpace(root: PhysicalAddress, topLevel: Level) -> AddressSpace<Self>
    /// The entry that maps nothing.
    func emptyEntry(at level: Level) -> Entry
    /// The bits of a leaf that say where its page is.
    func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64
    /// The bits of a leaf that hardware sets: that the page was used or written.
    func recordBits(at level: Level) -> UInt64
    /// Whether leaves say that their page was written. Where they do not, any page may have been.
    var recordsWrites: Bool { get }
    /// Attributes of a page of unprivileged code.
    func attributes(_ protection: Protection) -> EntryAttributes
    /// Whether the rights of a path allow an access: those of the user where the user has any, else those of the supervisor.
    func allows(_ access: PageAccess, path bits: UInt64) -> Bool
}

extension WritableFormat {
    /// Where the address is in the leaf as it is in memory.
    @inlinable
    public func addressBits(_ page: PhysicalAddress, at level: Level) -> UInt64 { page.rawValue }

    @inlinable
    public func covers(_ address: VirtualAddress, topLevel: Level) -> Bool {
        covers(VirtualRange(first: address, last: address), topLevel: topLevel)
    }

    @inlinable
    public var ofLiveSpaces: Self { self }

    @inlinable
    public func recordBits(at level: Level) -> UInt64 { 0 }

    @inlinable
    public var recordsWrites: Bool { false }

    @inlinable
    public func emptyEntry(at level: Level) -> Entry { Entry(0) }

    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights)
    }

    @inlinable
    public func allows(_ access: PageAccess, path bits: UInt64) -> Bool {
        access.isAllowed(by: effectiveRights(rights(ofPath: bits)))
    }

    /// The index of an address in a table.
    @inlinable
    func index(of address: VirtualAddress, at level: Level) -> Int {
        Int(truncatingIfNeeded: address.rawValue &>> shift(level) & ((1 &<< indexBits(level)) &- 1))
    }

    /// Ones where an address gives the offset in what an entry covers.
    @inlinable
    func offsetMask(_ level: Level) -> UInt64 { (1 &<< shift(level)) &- 1 }

    /// All that the entry of an address covers.
    @inlinable
    func range(of address: VirtualAddress, at level: Level) -> VirtualRange {
        let mask = offsetMask(level)
        return VirtualRange(
            first: VirtualAddress(address.rawValue & ~mask), last: VirtualAddress(address.rawValue | mask))
    }

    /// log2 of the bytes that a table takes: its own, or those of the smallest fragment of a frame.
    @inlinable
    func log2TableBytes(_ level: Level) -> Int {
        let log2Bytes = Int(truncatingIfNeeded: indexBits(level)) &+ (Self.entryBytes == 8 ? 3 : 2)
        let log2Most = FrameDescriptor.log2MostFragments(log2FrameBytes: log2FrameBytes)
        return max(log2Bytes, Int(truncatingIfNeeded: log2FrameBytes) &- log2Most)
    }

    @inlinable
    var pageBytes: UInt64 { 1 &<< UInt64(log2FrameBytes) }

    /// Whether a single entry at `level` can map a page of the size that it covers.
    @inlinable
    func canMapLeaf(_ level: Level) -> Bool { leafSizes(level).contains { UInt64($0.log2Bytes) == shift(level) } }
}
