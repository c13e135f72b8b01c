import PageTables
import TableMemory

// Changing a space with its lock held for writing.
//
//   1. Take the lock for writing: no fault, no slow pin and no other editor runs. Lock-free walkers do.
//   2. Change entries, each with one store. A page's reference is dropped only after the entry that mapped it, or the entry
//      that led to its table, was cleared: a fast pin that still has the old value finds that out (`LiveSpace+PinFast`).
//   3. A table is put into the batch when no entry leads to it any more.
//   4. Where somebody keeps translations, finish what is owed to them (`Invalidation`).
//   5. Release the lock. Then wait for the walkers and free the batch (`UnlinkedTables`).

/// A space whose lock is held for writing. Exists inside `LiveSpace.edit` only.
public struct SpaceEditor<Format: WritableFormat, Structure: SpaceStructure, Memory: SharedMemory>: ~Copyable {
    @usableFromInline
    let space: LiveSpace<Format, Structure>
    @usableFromInline
    let memory: Memory
    @usableFromInline
    var unlinked: UnlinkedTables<Structure>
    @usableFromInline
    var encoding: LeafEncoding<Format>
    /// The leaf table that was changed last, and the first address that it maps: neighbouring pages need no walk from the
    /// root. An address that no table maps first where there is none.
    @usableFromInline
    var recentTable = PhysicalAddress(0)
    @usableFromInline
    var recentStart: UInt64 = 1
    @usableFromInline
    var recentMapsFrames = false
    /// Whether readers may be between the halves of entries that were changed.
    @usableFromInline
    var hasChangedEntries = false
    /// What is owed to those who keep translations; `nil` if nobody does.
    @usableFromInline
    var invalidation: Invalidation<Format, Structure>?
    /// Files of regions that were forgotten.
    @usableFromInline
    var leftFiles: [PageCache] = []

    @inlinable
    init(_ space: LiveSpace<Format, Structure>, _ memory: Memory) {
        self.space = space
        self.memory = memory
        unlinked = UnlinkedTables(space.tables, space.reclaimer)
        encoding = LeafEncoding(space.format)
    }
}

extension SpaceEditor {
    /// Whether the leaf table that was changed last maps all of a range.
    @inlinable
    @inline(__always)
    func isInRecentTable(_ range: VirtualRange) -> Bool {
        let mask = ~space.format.offsetMask(Level(1))
        return range.first.rawValue & mask == recentStart && range.last.rawValue & mask == recentStart
    }

    @inlinable
    mutating func remember(
        _ table: PhysicalAddress, for address: VirtualAddress, mapsFrames: Bool
    ) {
        recentTable = table
        recentMapsFrames = mapsFrames
        recentStart = address.rawValue & ~space.format.offsetMask(Level(1))
    }

    /// To be called where a leaf table may go.
    @inlinable
    mutating func forgetRecentTable() { recentStart = 1 }
}

extension SpaceEditor where Memory: SharedMemory {
    /// To be called before entries of a range are cleared or replaced.
    @inlinable
    @inline(__always)
    mutating func beginChange(of range: VirtualRange) throws(Memory.Failure) {
        noteChangedEntries()
        if let invalidation { try invalidation.begin(range, in: memory) }
    }

    @inlinable
    @inline(__always)
    mutating func finishInvalidation() throws(Memory.Failure) {
        if let invalidation {
            try invalidation.finish(in: memory)
            self.invalidation = nil
        }
    }

    /// Clears an entry that was loaded, and returns what it was then: processors may have recorded uses in a leaf since.
    @inlinable
    @inline(__always)
    func take(_ entry: Entry, at place: PhysicalAddress, _ level: Level) throws(Memory.Failure) -> Entry {
        let empty = space.format.emptyEntry(at: level)
        if invalidation != nil, !Format.isAccessedInHalves, memory.enforces(.changeEntryAtomically) {
            return try memory.exchange(with: empty, space.format, at: place, .full)
        }
        try memory.store(empty, space.format, at: place, .release)
        return entry
    }

    /// Replaces a leaf that was loaded by what `change` makes of it.
    @inlinable
    @inline(__always)
    func change(
        _ leaf: Entry, at place: PhysicalAddress, _ change: (Entry) throws(Memory.Failure) -> Entry
    ) throws(Memory.Failure) {
        if invalidation != nil, !Format.isAccessedInHalves, memory.enforces(.changeEntryAtomically) {
            return try changeAtomically(leaf, at: place, change)
        }
        try memory.store(change(leaf), space.format, at: place, .release)
    }

    @inlinable
    @inline(never)
    func changeAtomically(
        _ leaf: Entry, at place: PhysicalAddress, _ change: (Entry) throws(Memory.Failure) -> Entry
    ) throws(Memory.Failure) {
        var seen = leaf
        while true {
            let outcome = try memory.compareExchange(
                expected: seen, desired: change(seen), space.format, at: place, .full)
            if outcome.isExchanged { return }
            seen = Entry(outcome.original)
        }
    }
}

extension LiveSpace {
    /// Runs `body` with the lock held for writing, and then frees the tables that it unlinked.
    ///
    /// Several changes in one section cost the lock, and the wait for walkers, once. Nothing undoes what `body` has done if it
    /// throws in between; each single operation of the editor either happens or leaves the space as it was.
    ///
    /// - Precondition: The caller is in no section and holds no lock.
    @inlinable
    public func edit<Memory: SharedMemory, Result>(
        in memory: borrowing Memory,
        _ body: (inout SpaceEditor<Format, Structure, Memory>) throws(Memory.Failure) -> Result
    ) throws(Memory.Failure) -> Result {
        let memory = copy memory
        var editor = SpaceEditor(self, memory)
        let result = try memory.withWriteLock(words.lock) { (_) throws(Memory.Failure) in
            if isWatched { editor.invalidation = Invalidation(self) }
            let result = try body(&editor)
            if memory.enforces(.flushUnderLock) { try editor.finishInvalidation() }
            try editor.waitBeforeReuse()
            return result
        }
        try editor.finishInvalidation()
        try editor.unlinked.free(in: memory)
        return result
    }

    /// Runs one operation of an editor.
    @inlinable
    func editOnce<Memory: SharedMemory>(
        in memory: borrowing Memory,
        _ body: (inout SpaceEditor<Format, Structure, Memory>) throws(Memory.Failure) -> Refusal?
    ) throws(SpaceError<Memory.Failure>) {
        let memory = copy memory
        try SpaceError.throwing { () throws(Memory.Failure) in try edit(in: memory, body) }
    }

    /// Maps a range to contiguous memory, with the largest leaves that fit.
    ///
    /// Memory that is frames of the map is counted: every page gets a reference and a mapping of its own, which unmapping
    /// gives back. Other memory is device memory.
    ///
    /// - Parameters:
    ///   - physical: Where the range's first address is.
    ///   - largestLeaf: Leaves are not larger than that.
    /// - Throws: `.alreadyMapped` with the first address that is mapped; `.invalidRange`, `.notExpressible`,
    ///   `.outOfMemory`. The space is then as it was, though it may be deeper.
    /// - Precondition: Of frames, the caller has references for as long as the call takes.
    /// - Complexity: The entries that are written, and the levels.
    @inlinable
    public func map<Memory: SharedMemory>(
        _ range: VirtualRange, to physical: PhysicalAddress, _ attributes: EntryAttributes,
        largestLeaf: PageSize = PageSize(log2Bytes: 63), in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        try editOnce(in: memory) { (editor) throws(Memory.Failure) in
            try editor.map(range, to: physical, attributes, largestLeaf: largestLeaf)
        }
    }

    /// Unmaps whatever is mapped in a range, and forgets its regions. Leaves that reach beyond the range are split first.
    ///
    /// - Throws: `.invalidRange`; `.outOfMemory` where a leaf had to be split, and then nothing is unmapped.
    /// - Complexity: The tables below the range; their entries too where frames are mapped or the range does not cover the table.
    @inlinable
    public func unmap<Memory: SharedMemory>(
        _ range: VirtualRange, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        try editOnce(in: memory) { (editor) throws(Memory.Failure) in try editor.unmap(range) }
    }

    /// Gives what is mapped in a range, and its regions, other rights. Holes stay holes. Leaves that reach beyond the range
    /// are split first.
    ///
    /// - Throws: As `unmap`, and `.notExpressible`; `.notWritable` with the first address of a shared region that would let somebody
    ///   write to a file whose store cannot be written. Nothing has changed then.
    @inlinable
    public func protect<Memory: SharedMemory>(
        _ range: VirtualRange, _ rights: Rights, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        try editOnce(in: memory) { (editor) throws(Memory.Failure) in try editor.protect(range, rights) }
    }

    /// Says what is to be in a range where nothing is mapped yet.
    ///
    /// - Throws: `.alreadyMapped` if there is a region already; `.invalidRange`, also for a device whose memory is frames of
    ///   the map; `.notWritable` if it is shared and lets somebody write to a file whose store cannot be written;
    ///   `.notExpressible`, `.outOfMemory`.
    @inlinable
    public func add<Memory: SharedMemory>(
        _ region: Region, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        try editOnce(in: memory) { (editor) throws(Memory.Failure) in try editor.add(region) }
    }

    /// Unmaps everything and gives the root back. The space is not to be used afterwards; its words can be.
    ///
    /// - Precondition: No other thread uses the space, but for what is done with files that it shows.
    @inlinable
    public func tearDown<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        try edit(in: memory) { (editor) throws(Memory.Failure) in try editor.unlinkRoot() }
        // It is in no file's reverse map any more, so no more visits begin.
        if memory.enforces(.waitForVisits) { _ = try memory.wait(for: words.visits) { $0 == 0 } }
    }
}
