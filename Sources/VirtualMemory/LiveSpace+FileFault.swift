import PageTables
import TableMemory

// Faults in regions of a file, with the space's lock held for reading.
//
//   1. A page that is not mapped is looked up in the file, or read, with the file's lock held; its entry lets nobody write.
//      Only a shared region of shared memory has nothing to hear of, and gets all its rights at once.
//   2. A fault for writing that meets such an entry
//      - of a shared region marks the page dirty, and then makes the entry writable;               [markDirtyBeforeWritable]
//      - of a private region copies the page, puts the copy in its place, and drops the mapping of the page.
//   The entry is changed as in any fault: with its table's lock held, if it still is what it was.     [revalidateUnderLock]
//
// Truncation and writeback change entries with the space's lock held for writing: the page of an entry that a fault looks at
// stays the file's until the fault is over.

extension SafetyRule {
    @inlinable
    public static var markDirtyBeforeWritable: SafetyRule {
        SafetyRule(
            name: "markDirtyBeforeWritable",
            demand: "The page of a file is dirty before an entry lets anybody write to it.",
            history: "What was written to a page that nobody knew to be dirty was dropped with it (Linux, many times).")
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
    /// - Precondition: The region's rights allow what is asked for, and the entry's do not; or a private page is to be copied.
    @inlinable
    func makeWritable<Memory: SharedMemory>(
        _ entry: Entry, at place: PhysicalAddress, of table: PhysicalAddress, _ address: VirtualAddress,
        _ region: Region, _ view: FileView, in memory: Memory
    ) throws(Memory.Failure) -> Refusal? {
        guard let frame = try pageOfFile(entry, view, in: memory) else { return .accessDenied(address) }
        // A table in which a leaf of a page is found stays: it is not empty as long as the space's lock is held.
        let loaded = LoadedEntry(value: entry, place: place)
        switch view.sharing {
        case .shared:
            if memory.enforces(.markDirtyBeforeWritable) { try references.markDirty(frame, in: memory) }
            // What processors have recorded in the entry stays.
            var change = LeafChange(format, .leafTable, region.attributes.rights)
            _ = try replace(loaded, by: change.changed(entry), of: table, in: memory)
        case .private:
            guard let own = try references.allocator.allocate(in: memory) else { return .outOfMemory }
            var bytes = [UInt8](repeating: 0, count: Int(format.pageBytes))
            try memory.read(map.range(of: frame, .single), into: &bytes)
            try memory.write(bytes, to: map.range(of: own, .single))
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
                if memory.enforces(.invalidateBeforeStoring) { try beginChange(of: page) }
                try protectEntries(
                    root.table, Format.fixedTopLevel ?? root.topLevel, page.first, page.last,
                    region.attributes.rights.subtracting(.writes))
            }
        }
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
    /// mapped here. Without memory to split one, it stays as it is; pages of the file are never in it.
    private mutating func unmapWhole(_ range: VirtualRange, _ root: SpaceRoot) throws(Memory.Failure) {
        let topLevel = Format.fixedTopLevel ?? root.topLevel
        var level = Level.leafTable
        while level <= topLevel {
            let mask = space.format.offsetMask(level)
            let first = (range.first.rawValue &+ mask) & ~mask
            let last = (range.last.rawValue &+ 1) & ~mask &- 1
            guard first >= range.first.rawValue, last <= range.last.rawValue, first <= last else { return }
            let part = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
            if try splitEnds(of: part, root) == nil {
                if memory.enforces(.invalidateBeforeTruncating) { try beginChange(of: part) }
                return try unmapEntries(root.table, topLevel, part.first, part.last)
            }
            level = Level(level.rawValue + 1)
        }
    }

    /// Leaves the files of which regions were forgotten, now that no entry maps their pages.
    @usableFromInline
    mutating func leaveFiles() throws(Memory.Failure) {
        let left = leftFiles
        leftFiles = []
        for file in left where !space.regions.shows(file) { try file.detach(space, in: memory) }
    }

    /// Whether a leaf maps a page of a file: a fault makes that one writable, and nobody else.
    @usableFromInline
    func mapsPageOfFile(_ leaf: Entry, _ level: Level) throws(Memory.Failure) -> Bool {
        let physical = space.format.physical(of: leaf, at: level, for: VirtualAddress(0))
        guard let frame = space.map.frame(of: physical) else { return false }
        return try space.references.owner(of: frame, in: memory).number != 0
    }
}
