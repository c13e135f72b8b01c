import PageTableWalk
import PageTables
import TableMemory

// Walking a space with its lock held for reading, while others fault and split.
//
// Splitting on demand is a fault with a leaf in place of nothing (`LiveSpace+Fault`): the table is filled while nobody sees it,
// and takes the leaf's place under the lock of its table if the leaf is still there. A leaf of frames becomes a table that
// maps the same. A leaf of a device that a region describes is only cleared: the next fault there maps what it needs, a large
// leaf again or pages. Unless it says that its page was written: nobody would know that any more, so it becomes a table as well.
// So the walk looks at the entry again after every split (`PageWalk`).        [revalidateAfterSplit]
// What is cleared is flushed: something else may be mapped there.               [invalidateClearedLeaf]

extension SafetyRule {
    public static var invalidateClearedLeaf: SafetyRule {
        SafetyRule(
            name: "invalidateClearedLeaf",
            demand: "Who keeps what a large leaf mapped has lost it before anything else can be mapped there.",
            history: "Mapping where nothing is mapped flushes nothing: a processor went on to the page of before.")
    }
}

extension LiveSpace {
    /// Walks a range, inside one RCU section. A callback that returns `.split` for a large leaf gets the pages below instead, or a hole.
    ///
    /// - Returns: False if a callback stopped the walk.
    /// - Throws: `.outOfMemory` where a leaf had to be split; what was walked before stays walked.
    @discardableResult
    public func walk<Memory: SharedMemory, Visitor: PageWalkVisitor<Format>>(
        _ range: VirtualRange, lock: borrowing ReadLockHeld<Memory>, visitor: inout Visitor
    ) throws(SpaceError<Memory.Failure>) -> Bool {
        var splitter = SpaceSplitter(space: self, memory: lock.memory)
        let isDone: Bool
        do throws(Memory.Failure) {
            isDone = try lock.memory.withRCUReader { (section) throws(Memory.Failure) in
                try view(in: section).walk(range, in: section, visitor: &visitor, splitter: &splitter)
            }
        } catch { throw .memory(error) }
        if splitter.isOutOfMemory { throw .refused(.outOfMemory) }
        return isDone
    }

    /// Splits a large leaf that a walk has found.
    ///
    /// What is there afterwards is for the caller to look at: a table, nothing, or a leaf again.
    /// - Returns: False if the leaf had changed already, or there is no memory for the table.
    /// - Complexity: The entries of a table.
    public func split<Memory: SharedMemory>(
        _ leaf: Entry, at position: EntryPosition, of address: VirtualAddress, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Bool { try split(leaf, at: position, of: address, in: lock.memory) == .split }

    func split<Memory: SharedMemory>(
        _ leaf: Entry, at position: EntryPosition, of address: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) -> SplitOutcome {
        guard position.level > .leafTable else { return .changed }
        let loaded = LoadedEntry(value: leaf, place: place(position.index, of: position.table))
        let level = position.level
        let physical = format.physical(of: leaf, at: level, for: VirtualAddress(0))
        // Entries in halves are not cleared where somebody may set them again at once: see `SpaceEditor+Reuse`.
        if !Format.isAccessedInHalves, regionDescribes(leaf, level, physical, address) {
            let empty = format.emptyEntry(at: level)
            var invalidation: Invalidation<Format, Structure>?
            if memory.enforces(.invalidateClearedLeaf) {
                invalidation = try beginInvalidation(of: format.range(of: address, at: level), in: memory)
            }
            let isMine = try replace(loaded, by: empty, of: position.table, in: memory)
            if let invalidation { try invalidation.finish(in: memory) }
            return isMine ? .split : .changed
        }
        guard let below = try tableOfSplit(leaf, at: level, in: memory) else { return .outOfMemory }
        let isMine = try replace(loaded, by: tableEntry(below, at: level), of: position.table, in: memory)
        if isMine { memory.count(.split) } else { try freeUnseen(below, level.below, in: memory) }
        return isMine ? .split : .changed
    }

    /// Whether a fault would map again all that a leaf maps, as it is.
    private func regionDescribes(
        _ leaf: Entry, _ level: Level, _ physical: PhysicalAddress, _ address: VirtualAddress
    ) -> Bool {
        let mask = format.offsetMask(level)
        let (first, last) = (address.rawValue & ~mask, address.rawValue | mask)
        guard let region = regions.region(at: address), case .device(let start) = region.content,
            region.range.first.rawValue <= first, last <= region.range.last.rawValue
        else { return false }
        let size = PageSize(log2Bytes: Int(format.shift(level)))
        let fresh = Entry(format.canonical(.leaf(physical, size), region.attributes, at: level))
        var attributes = format.attributes(of: leaf, at: level)
        let described = format.attributes(of: fresh, at: level)
        // That somebody used it does not matter, but that somebody wrote does.
        if attributes.flags.subtracting(described.flags).contains(.dirty) { return false }
        attributes.flags = described.flags
        return start.rawValue &+ (first &- region.range.first.rawValue) == physical.rawValue && attributes == described
    }
}

/// What became of a leaf that was to be split.
enum SplitOutcome {
    case split
    /// Somebody else was faster.
    case changed
    case outOfMemory
}

/// Splits leaves of a space whose lock is held for reading as long as this exists.
private struct SpaceSplitter<Format: WritableFormat, Structure: SpaceStructure, Memory: SharedMemory>: LeafSplitter {
    typealias Failure = Memory.Failure
    let space: LiveSpace<Format, Structure>
    let memory: Memory
    var isOutOfMemory = false

    init(space: LiveSpace<Format, Structure>, memory: Memory) {
        self.space = space
        self.memory = memory
    }

    mutating func split(
        _ leaf: Entry, at position: EntryPosition, of address: VirtualAddress
    ) throws(Memory.Failure) -> Bool {
        isOutOfMemory = try space.split(leaf, at: position, of: address, in: memory) == .outOfMemory
        return !isOutOfMemory
    }
}
