import PageTables
import TableMemory

// A live address space.
//
// Who may change what, and who may look:
//   - map, unmap, protect and whatever else unlinks a table hold the space's lock for writing (`SpaceEditor`);
//   - faults and splits on demand hold it for reading, and change an entry with the lock of its table held, after looking
//     again whether the entry is still what the decision was based on; they are in an RCU section, because
//   - taking back empty leaf tables needs no more than the lock for reading either (`LiveSpace+Retract`);
//   - so do range faults for devices, and looking what was written (`LiveSpace+RangeFault`, `LiveSpace+DirtyRecord`);
//   - growth holds it for reading at least, and the growth lock;
//   - lock-free walkers hold nothing but a section: translate, walk, survey, summarise, pin fast.
//
// Lock order: space, growth, tables by address, fragments, frames. Of these a section waits for those of tables and below only,
// and nobody waits for sections with one of them held.

/// A space of the right structure.
public typealias Space<Format: WritableFormat> = LiveSpace<Format, SoundStructure>

/// An address space whose tables live in shared memory, for any number of threads.
///
/// All that threads share is in words of the memory; the object itself holds where they are, and the regions, which are only
/// used under the space's lock.
public final class LiveSpace<Format: WritableFormat, Structure: SpaceStructure>: @unchecked Sendable {
    // Unchecked: the regions are guarded by the space's lock, which is a word of the shared memory and unknown to the compiler.

    /// `WritableFormat.ofLiveSpaces` of the one that the space was made with.
    public let format: Format
    /// Of the frames that tables are made of and that are mapped.
    public let references: FrameReferences
    public let words: SpaceWords
    public let policy: ReclaimPolicy
    public let filling: TableFilling
    @usableFromInline
    let tables: TableAllocator<Structure>
    @usableFromInline
    let reclaimer: TableReclaimer
    // Exclusive access is what the space's lock is for; the runtime's own check would be in every call.
    @exclusivity(unchecked)
    var regions: RegionMap
    @usableFromInline
    @exclusivity(unchecked)
    var hasRegions = false
    @exclusivity(unchecked)
    var keepers = TranslationKeepers()
    /// Whether anybody keeps translations.
    @usableFromInline
    @exclusivity(unchecked)
    var isWatched = false

    init(
        _ format: Format, _ references: FrameReferences, _ words: SpaceWords, _ policy: ReclaimPolicy,
        _ filling: TableFilling
    ) {
        self.format = format.ofLiveSpaces
        self.references = references
        self.words = words
        self.policy = policy
        self.filling = filling
        tables = TableAllocator(references, words)
        reclaimer = TableReclaimer(policy, users: words.users)
        regions = RegionMap()
    }

    @inlinable
    public var map: FrameMap { references.map }

    /// Makes an empty space.
    ///
    /// - Parameters:
    ///   - topLevel: How deep the space is at first; `nil` for the least.
    ///   - words: `SpaceWords.byteCount` bytes of bookkeeping, zero.
    ///   - filling: What is made where a table is missing that is smaller than a frame.
    /// - Throws: `.outOfMemory`.
    /// - Precondition: The frames are as large as the format's, and the format has such a top level.
    public static func make<Memory: SharedMemory>(
        _ format: Format, topLevel: Level? = nil, _ references: FrameReferences, words: SpaceWords,
        reclaiming policy: ReclaimPolicy = .rcu, filling: TableFilling = .single, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) -> LiveSpace {
        let topLevel = topLevel ?? format.topLevels.lowerBound
        precondition(format.topLevels.contains(topLevel), "the format has no space of that depth")
        precondition(references.map.log2FrameBytes == format.log2FrameBytes, "frames are not as large as the format's")
        let space = LiveSpace(format, references, words, policy, filling)
        let isMade: Bool
        do throws(Memory.Failure) {
            if let top = try space.newTable(topLevel, in: memory) {
                try Structure.publish(SpaceRoot(table: top, topLevel: topLevel), words, memory)
                isMade = true
            } else {
                isMade = false
            }
        } catch { throw .memory(error) }
        if !isMade { throw .refused(.outOfMemory) }
        return space
    }

    /// Says that a processor uses the space from now on. Under `ReclaimPolicy.direct` its walks are waited for only then.
    @inlinable
    public func use<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        try Structure.addUser(ProcessorSet(memory.processor), words, memory)
    }

    /// The space as walkers see it now: root and depth of one moment. A snapshot to be used inside the section only.
    ///
    /// A space that grows meanwhile keeps all translations of the snapshot.
    @inlinable
    public func view<Section: ReadWitness & ~Copyable>(
        in section: borrowing Section
    ) throws(Section.Failure) -> AddressSpace<Format> {
        let root = try Structure.loadRoot(words, section.memory)
        return format.addressSpace(root: root.table, topLevel: Format.fixedTopLevel ?? root.topLevel)
    }

    /// The table's range of memory.
    @inlinable
    func tableRange(_ table: PhysicalAddress, _ level: Level) -> PhysicalRange {
        let bytes: UInt64 = 1 &<< UInt64(truncatingIfNeeded: format.log2TableBytes(level))
        return PhysicalRange(first: table, last: PhysicalAddress(table.rawValue &+ bytes &- 1))
    }

    /// A table that maps nothing; `nil` if there is no memory.
    @inlinable
    func newTable<Memory: SharedMemory>(
        _ level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress? {
        let log2Bytes = format.log2TableBytes(level)
        guard let table = try tables.allocate(log2Bytes: log2Bytes, in: memory) else { return nil }
        if memory.enforces(.initialiseTableBeforePublishing) {
            try memory.fill(tableRange(table, level), with: format.emptyEntry(at: level), format)
        }
        return table
    }

    /// Frees a table that was never published.
    @inlinable
    func freeUnseen<Memory: SharedMemory>(
        _ table: PhysicalAddress, _ level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try tables.free(table, log2Bytes: format.log2TableBytes(level), in: memory)
    }

    /// The entry that points to a table.
    @inlinable
    func tableEntry(_ table: PhysicalAddress, at level: Level) -> Entry {
        Entry(format.canonical(.table(table), EntryAttributes(rights: .all), at: level))
    }

    @inlinable
    func place(_ index: Int, of table: PhysicalAddress) -> PhysicalAddress {
        PhysicalAddress(table.rawValue &+ UInt64(truncatingIfNeeded: index &* Format.entryBytes))
    }

    /// The lock of the frame that a table is in. Tables in one frame share it: see `withTableLocks` for two.
    @inlinable
    func tableLock(of table: PhysicalAddress) -> TicketLock {
        guard let frame = map.frame(of: table) else { preconditionFailure("a table is outside the map") }
        return map.descriptor(of: frame).tableLock
    }
}
