/// A page-table format: what the bits of an entry mean to hardware, and nothing else. Walkers are written once over it.
///
/// A format is a small value, because some of what decides the meaning of an entry is in control registers (the width of
/// physical addresses, whether no-execute is on); what is fixed by the format is `static`, so that a walker over a
/// format of fixed depth is compiled with its depth as a constant and pays nothing for those that are not.
///
/// **Adding a format.** Start from the nearest file in `Formats/`. Open it with the manual, the section and the table
/// that maps the manual's level names onto `Level`. Define the requirements below; conform to `LinuxPageTableFormat` in
/// a sibling file; add it to `Paging` and to the generic format suite (`FormatSuite`) in the tests, which then checks
/// geometry, leaves, attributes and round trips without further work; run `make matrix` for the support matrix.
///
/// All functions are total: any bit pattern is an answer, never a trap.
public protocol PageTableFormat: Sendable {
    /// 4 or 8.
    static var entryBytes: Int { get }
    /// Whether an entry of 8 bytes is accessed as two halves, by machines that access 4 bytes at once: see
    /// `AccessedInHalves`. An entry whose low half is zero must map nothing, whatever its high half is.
    static var isAccessedInHalves: Bool { get }
    /// The top level of every address space of the format; `nil` where it is a property of each space (folding at run
    /// time: s390x, arm64).
    static var fixedTopLevel: Level? { get }
    /// The highest level that any space of the format can have.
    static var highestLevel: Level { get }
    /// Whether spaces of the format have tables of a level, where Linux knows five levels.
    static func folding(of level: Level) -> Folding
    /// Which of `EntryFlags` and which rights the format knows at all; reports leave out the others.
    static var notions: FormatNotions { get }

    /// The order of an entry's bytes in memory.
    var byteOrder: ByteOrder { get }

    /// log2 of the bytes that one entry of a table at `level` covers.
    func shift(_ level: Level) -> UInt64
    /// log2 of the number of entries of a whole table at `level`.
    func indexBits(_ level: Level) -> UInt64
    /// The sizes of leaves that entries at `level` can map, runs included, smallest first.
    func leafSizes(_ level: Level) -> [PageSize]

    func shape(of entry: Entry, at level: Level) -> EntryShape
    /// Why the shape is `.malformed`; `nil` otherwise.
    func malformation(of entry: Entry, at level: Level) -> Malformation?

    /// The table that an entry of shape `.table` points to.
    func table(of entry: Entry, at level: Level) -> PhysicalAddress
    /// Which indexes the table below an entry of shape `.table` has.
    func limits(below entry: Entry, at level: Level) -> IndexLimits
    /// Where `address` is, given the leaf that covers it: offset included.
    func physical(of leaf: Entry, at level: Level, for address: VirtualAddress) -> PhysicalAddress
    /// The size of the page, or of the run of pages (contiguous, NAPOT, repeated descriptors), that a leaf belongs to.
    func leafSize(of leaf: Entry, at level: Level) -> PageSize

    /// The rights that this entry alone leaves: a walker intersects them along its path.
    func rights(of entry: Entry, at level: Level) -> Rights
    /// What of an entry decides the rights along a path, as bits of which a walker keeps those that all entries have.
    func pathBits(of entry: Entry, at level: Level) -> UInt64
    /// The intersection of the rights of entries whose path bits were combined.
    func rights(ofPath bits: UInt64) -> Rights
    /// The last step of combining rights: rules that look at the whole.
    func effectiveRights(_ intersection: Rights) -> Rights
    /// What a leaf says about its page, with the rights of this entry alone.
    func attributes(of leaf: Entry, at level: Level) -> EntryAttributes
    /// The bits that decide `attributes` and `leafSize`: leaves of one level that agree in them agree in those.
    func attributeBits(of leaf: Entry, at level: Level) -> UInt64
    /// The name of a memory type's number.
    func memoryType(_ index: UInt8) -> MemoryType

    /// The last address of the range that `entry` covers, given an address in it: a function of the entry and its
    /// level, never of a build's constants.
    ///
    /// Where an entry encodes its level (s390x), walkers come here only with entries whose encoding agrees; others are
    /// malformed.
    func last(of entry: Entry, at level: Level, from address: VirtualAddress, limit: VirtualAddress) -> VirtualAddress

    /// The bits of an entry with exactly this content and nothing else: the inverse of decoding.
    func canonical(_ content: EntryContent, _ attributes: EntryAttributes, at level: Level) -> UInt64
}

/// Whether there are tables of a level. A level without tables is *folded*: a walk goes through it without a load.
public enum Folding: String, Sendable {
    /// Every space has tables of the level.
    case never
    /// No space has them: what a build decides for all.
    case statically
    /// Each space, or each boot of a kernel, has them or not: a walker must not take ranges from constants.
    case atRunTime
}

/// What a format can express.
public struct FormatNotions: Sendable {
    public var flags: EntryFlags
    /// False where user and supervisor are told apart by something else than entries (s390x).
    public var user: Bool
    /// False where everything readable can be executed.
    public var execute: Bool

    public init(flags: EntryFlags, user: Bool = true, execute: Bool = true) {
        self.flags = flags
        self.user = user
        self.execute = execute
    }
}

extension PageTableFormat {
    @inlinable
    public static var entryBytes: Int { 8 }

    @inlinable
    public static var isAccessedInHalves: Bool { false }

    /// That of a format whose depth is the same in every kernel that uses it.
    public static func folding(of level: Level) -> Folding { level <= highestLevel ? .never : .statically }

    @inlinable
    public func entryCount(_ level: Level) -> Int { 1 &<< Int(truncatingIfNeeded: indexBits(level)) }

    /// Bytes of a whole table at `level`.
    @inlinable
    public func tableBytes(_ level: Level) -> Int { entryCount(level) &* Self.entryBytes }

    @inlinable
    public func limits(below entry: Entry, at level: Level) -> IndexLimits {
        IndexLimits(first: 0, last: entryCount(level.below) &- 1)
    }

    @inlinable
    public func pathBits(of entry: Entry, at level: Level) -> UInt64 { UInt64(rights(of: entry, at: level).rawValue) }

    @inlinable
    public func rights(ofPath bits: UInt64) -> Rights { Rights(rawValue: UInt8(truncatingIfNeeded: bits)) }

    @inlinable
    public func effectiveRights(_ intersection: Rights) -> Rights { intersection }

    @inlinable
    public func last(
        of entry: Entry, at level: Level, from address: VirtualAddress, limit: VirtualAddress
    ) -> VirtualAddress {
        let end = address.rawValue | ((1 &<< shift(level)) &- 1)
        return VirtualAddress(min(end, limit.rawValue))
    }

    @inlinable
    public func leafSize(of leaf: Entry, at level: Level) -> PageSize { PageSize(uncheckedLog2Bytes: shift(level)) }
}
