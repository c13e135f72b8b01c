import PageTables
import TableMemory

// Faults in regions of a file, with the space's lock held for reading.
//
//   1. A page that is not mapped is looked up in the file, or read, with the file's lock held; its entry lets nobody write.
//      Only a shared region of shared memory has nothing to hear of, and gets all its rights at once.
//   2. A fault for writing that meets such an entry
//      - of a shared region marks the page dirty, and then makes the entry writable;               [markDirtyBeforeWritable]
//      - of a private region copies the page, puts the copy in its place, and drops the mapping of the page.
//        While it copies, it has a reference to the page, taken before a second look at the entry.     [keepPageWhileCopying]
//   The entry is changed as in any fault: with its table's lock held, if it still is what it was.     [revalidateUnderLock]
//   3. A page that is not the file's is for nobody to copy or to make writable, and the access is denied: if the entry still
//      is what it was.                                                                       [recheckEntryBeforeDenial]
//
// Truncation and writeback change entries with the space's lock held for writing. Of a shared region, the page of an entry
// that a fault looks at stays the file's until the fault is over. Of a private region it does not: another fault may copy it
// at the same time and drop its mapping, and then nothing keeps it from being given up and used again (`PageCache.reclaim`).

extension SafetyRule {
    @inlinable
    public static var markDirtyBeforeWritable: SafetyRule {
        SafetyRule(
            name: "markDirtyBeforeWritable",
            demand: "The page of a file is dirty before an entry lets anybody write to it.",
            history: "What was written to a page that nobody knew to be dirty was dropped with it (Linux, many times).")
    }

    @inlinable
    public static var keepPageWhileCopying: SafetyRule {
        SafetyRule(
            name: "keepPageWhileCopying",
            demand: "A page is copied with a reference to it that was there when its entry was looked at again.",
            history:
                "Two wrote to a private page first; one let it go, and the other copied a freed frame (found by exploration)."
        )
    }

    @inlinable
    public static var recheckEntryBeforeDenial: SafetyRule {
        SafetyRule(
            name: "recheckEntryBeforeDenial",
            demand: "A write is denied for what the page is only if the entry still maps that page.",
            history:
                "A write was refused since another had copied the page, and the file given it up (found by exploration)."
        )
    }
}

extension LiveSpace {
    /// The entry for a page of a file, which has its mapping counted.
    @usableFromInline
    func newLeaf<Memory: SharedMemory>(
        _ address: VirtualAddress, _ region: Region, of view: FileView, _ table: PhysicalAddress,
        in memory: Memory
    ) throws(Memory.Failure) -> Result<Entry, Refusal> {
        let page = VirtualAddress(address.rawValue & ~format.offsetMask(.leafTable))
        switch try view.file.mapPage(view.pageIndex(of: page, in: region), in: memory) {
        case .beyondEnd: return .failure(.beyondEnd(address))
        case .unreadable: return .failure(.unreadable(address))
        case .outOfMemory: return .failure(.outOfMemory)
        case .frame(let frame):
            var attributes = region.attributes
            if view.sharing == .private || view.file.kind == .file { attributes.rights.subtract(.writes) }
            try setMapsFrames(table, in: memory)
            return .success(leaf(frame, attributes))
        }
    }

    @inlinable
    func leaf(_ frame: Frame, _ attributes: EntryAttributes) -> Entry {
        let size = PageSize(log2Bytes: Int(format.log2FrameBytes))
        return Entry(format.canonical(.leaf(map.address(of: frame), size), attributes, at: .leafTable))
    }

    /// The frame that an entry of a region of a file maps, if it is a page of that file.
    @inlinable
    func pageOfFile<Memory: SharedMemory>(
        _ entry: Entry, _ view: FileView, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        let physical = format.physical(of: entry, at: .leafTable, for: VirtualAddress(0))
        guard let frame = map.frame(of: physical) else { return nil }
        return try references.owner(of: frame, in: memory).number == view.file.number ? frame : nil
    }

    /// Step 2. Whoever comes back looks at the entry again: it is writable, or somebody else has changed it.
    ///
    /// - Returns: `.accessDenied` if the page is none of the file's; `.outOfMemory` also if it cannot be kept because there are
    ///   too many references to it.
    /// - Precondition: The region's rights allow what is asked for, and the entry's do not; or a private page is to be copied.
    @inlinable
    func makeWritable<Memory: SharedMemory>(
        _ entry: Entry, at place: PhysicalAddress, of table: PhysicalAddress, _ address: VirtualAddress,
        _ region: Region, _ view: FileView, in memory: Memory
    ) throws(Memory.Failure) -> Refusal? {
        // A table in which a leaf of a page is found stays: it is not empty as long as the space's lock is held.
        let loaded = LoadedEntry(value: entry, place: place)
        guard let frame = try pageOfFile(entry, view, in: memory) else {
            var isStill = true
            if memory.enforces(.recheckEntryBeforeDenial) { isStill = try self.isStill(loaded, in: memory) }
            return isStill ? .accessDenied(address) : nil
        }
        switch view.sharing {
        case .shared:
            if memory.enforces(.markDirtyBeforeWritable) { try references.markDirty(frame, in: memory) }
            // What processors have recorded in the entry stays.
            var change = LeafChange(format, .leafTable, region.attributes.rights)
            _ = try replace(loaded, by: change.changed(entry), of: table, in: memory)
        case .private:
            var kept: Frame?
            if memory.enforces(.keepPageWhileCopying) {
                kept = try references.take(on: frame, in: memory)
                let isStill = try isStill(loaded, in: memory)
                guard kept != nil, isStill else {
                    if let kept { try references.drop(on: kept, in: memory) }
                    return isStill ? .outOfMemory : nil
                }
            }
            let copy = try newCopy(of: frame, in: memory)
            if let kept { try references.drop(on: kept, in: memory) }
            guard let own = copy else { return .outOfMemory }
            // The allocation's reference becomes the mapping's.
            try memory.store(1, to: map.descriptor(of: own).mapCount, .relaxed)
            let invalidation = try beginInvalidation(of: format.range(of: address, at: .leafTable), in: memory)
            let isMine = try replace(loaded, by: leaf(own, region.attributes), of: table, in: memory)
            if isMine, let invalidation {
                try invalidation.drop(1, of: frame, in: memory)
            } else {
                try references.dropMappings(1, of: isMine ? frame : own, in: memory)
            }
            if let invalidation { try invalidation.finish(in: memory) }
        }
        return nil
    }

    /// A new frame with what a page holds; `nil` if there is none.
    @inlinable
    func newCopy<Memory: SharedMemory>(of frame: Frame, in memory: borrowing Memory) throws(Memory.Failure) -> Frame? {
        guard let new = try references.allocator.allocate(in: memory) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(format.pageBytes))
        try memory.read(map.range(of: frame, .single), into: &bytes)
        try memory.write(bytes, to: map.range(of: new, .single))
        return new
    }
}

extension LiveSpace: FileSpace {
    func protectPages<Memory: SharedMemory>(
        _ indices: [UInt64], of file: PageCache, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try edit(in: memory) { (editor) throws(Memory.Failure) in try editor.protectPages(indices, of: file) }
    }

    func unmapPages<Memory: SharedMemory>(
        from index: UInt64, of file: PageCache, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try edit(in: memory) { (editor) throws(Memory.Failure) in try editor.unmapPages(from: index, of: file) }
    }
}

extension SpaceEditor where Memory: SharedMemory {
    /// See `FileSpace.protectPages`.
    mutating func protectPages(_ indices: [UInt64], of file: PageCache) throws(Memory.Failure) {
        let root = try Structure.loadRoot(space.words, memory)
        for region in space.regions.regions {
            guard case .file(let view) = region.content, view.file == file, view.sharing == .shared else { continue }
            for index in indices {
                guard let page = view.addresses(ofPage: index, in: region) else { continue }
                try protectPage(page, view, root)
            }
        }
    }

    /// Takes the right to write from the leaf of a page, if it maps a page of the file: whatever else is mapped there stays as
    /// it is, large leaves too.
    private mutating func protectPage(
        _ page: VirtualRange, _ view: FileView, _ root: SpaceRoot
    ) throws(Memory.Failure) {
        let format = space.format
        let (leaf, level, _) = try lowestEntry(for: page.first, root)
        guard level == .leafTable, format.shape(of: leaf.value, at: .leafTable) == .leaf,
            try space.pageOfFile(leaf.value, view, in: memory) != nil
        else { return }
        let rights = format.rights(of: leaf.value, at: .leafTable)
        // Who took the right before has flushed before he released the space's lock.
        guard !rights.isDisjoint(with: .writes) else { return }
        if memory.enforces(.invalidateBeforeStoring) { try beginChange(of: page) }
        let change = LeafChange(format, .leafTable, rights.subtracting(.writes))
        try changeWithCare(leaf.value, at: leaf.place, change)
    }

    /// See `FileSpace.unmapPages`.
    mutating func unmapPages(from index: UInt64, of file: PageCache) throws(Memory.Failure) {
        let root = try Structure.loadRoot(space.words, memory)
        for region in space.regions.regions {
            guard case .file(let view) = region.content, view.file == file,
                let rest = view.addresses(fromPage: index, in: region)
            else { continue }
            try unmapWhole(rest, root)
        }
    }

    /// Unmaps a range, with large leaves split that reach beyond it: those are of private copies, and of other frames that were
    /// mapped here. Without memory to split one, that one stays as it is: no page of the file is in it.
    private mutating func unmapWhole(_ range: VirtualRange, _ root: SpaceRoot) throws(Memory.Failure) {
        var (first, last) = (range.first, range.last)
        if try split(at: first, isStart: true, root) != nil {
            let kept = try lowestEntry(for: first, root).range
            if kept.last >= last { return }
            first = VirtualAddress(kept.last.rawValue + 1)
        }
        if try split(at: last, isStart: false, root) != nil {
            let kept = try lowestEntry(for: last, root).range
            if kept.first <= first { return }
            last = VirtualAddress(kept.first.rawValue - 1)
        }
        let part = VirtualRange(first: first, last: last)
        if memory.enforces(.invalidateBeforeTruncating) { try beginChange(of: part) }
        try unmapEntries(root.table, Format.fixedTopLevel ?? root.topLevel, part.first, part.last)
    }

    /// The entry that a walk to an address ends at, and the addresses that it is for.
    private func lowestEntry(
        for address: VirtualAddress, _ root: SpaceRoot
    ) throws(Memory.Failure) -> (loaded: LoadedEntry, level: Level, range: VirtualRange) {
        let format = space.format
        var (table, level) = (root.table, Format.fixedTopLevel ?? root.topLevel)
        while true {
            let place = space.place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            guard level > .leafTable, format.shape(of: entry, at: level) == .table else {
                let range = format.range(of: address, at: level)
                return (LoadedEntry(value: entry, place: place), level, range)
            }
            table = format.table(of: entry, at: level)
            level = level.below
        }
    }

    /// Leaves the files of which regions were forgotten, now that no entry maps their pages. Whoever asks a file who could write
    /// to it does not find this space afterwards, so processors have forgotten the entries before.
    @usableFromInline
    mutating func leaveFiles() throws(Memory.Failure) {
        let left = leftFiles.filter { !space.regions.shows($0) }
        leftFiles = []
        if !left.isEmpty, let invalidation, memory.enforces(.flushBeforeLeavingFile) {
            try invalidation.settle(in: memory)
        }
        for file in left { try file.detach(space, in: memory) }
    }

    /// Whether a leaf maps a page of a file: a fault makes that one writable, and nobody else.
    @usableFromInline
    func mapsPageOfFile(_ leaf: Entry, _ level: Level) throws(Memory.Failure) -> Bool {
        let physical = space.format.physical(of: leaf, at: level, for: VirtualAddress(0))
        guard let frame = space.map.frame(of: physical) else { return false }
        return try space.references.owner(of: frame, in: memory).number != 0
    }
}
