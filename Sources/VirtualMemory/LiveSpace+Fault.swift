import PageTables
import TableMemory

// Mapping on demand, with the space's lock held for reading: any number of faults run at once, also at the same address, and
// some want large leaves where others want tables.
//
//   1. The region says what is to be at the address, and with which leaf at most.
//   2. Go down from the root, each entry loaded once. A table leads on. A leaf is somebody else's answer to the same fault.
//   3. Where an entry maps nothing, make what is missing while nobody sees it: a page, or a table for a smaller one. A table
//      is filled before it is published.                                              [initialiseTableBeforePublishing]
//      Tables beside it may be made with it: see `LiveSpace+TableFilling`.
//   4. Take the lock of the table that the entry is in, and look again: if the entry is not what it was, somebody else was
//      faster; if a leaf table is not where it was, it was taken back meanwhile (`LiveSpace+Retract`). Give back what was made,
//      and start again from the root.                    [revalidateUnderLock, revalidateTableUnderLock]
//   5. Publish with one store.
//   6. Before an entry in halves is the reason for a refusal because it maps nothing, look again under its table's lock: while
//      somebody replaces it, it maps nothing for a moment.             [confirmHoleUnderLock, in LiveSpace+LockedLeaves]
//
// All of that in an RCU section: a leaf table is not freed while somebody is on the way into it.   [blockTableFreeing]

extension SafetyRule {
    @inlinable
    public static var revalidateUnderLock: SafetyRule {
        SafetyRule(
            name: "revalidateUnderLock",
            demand: "An entry is changed only if, under its table's lock, it still is what the decision was based on.",
            history: "A fault for a small page used a huge page that another had just mapped as a table (Linux 5.5).")
    }
}

extension LiveSpace {
    /// Maps the page of an address, if a region says what is to be there.
    ///
    /// - Parameter largestLeaf: Leaves are not larger than that, nor than the region allows.
    /// - Throws: `.notMapped` where there is neither a page nor a region; `.accessDenied`; `.outOfMemory`; of a region of a
    ///   file `.beyondEnd` and `.unreadable`.
    /// - Complexity: The levels; a page or a table of them may have to be filled.
    @inlinable
    public func fault<Memory: SharedMemory>(
        _ address: VirtualAddress, for access: PageAccess, atMost largestLeaf: PageSize = PageSize(log2Bytes: 63),
        lock: borrowing ReadLockHeld<Memory>
    ) throws(SpaceError<Memory.Failure>) {
        try SpaceError.throwing { () throws(Memory.Failure) in
            try fault(address, .access(access), atMost: largestLeaf, lock)
        }
    }

    @inlinable
    func fault<Memory: SharedMemory>(
        _ address: VirtualAddress, _ cause: FaultCause, atMost largestLeaf: PageSize = PageSize(log2Bytes: 63),
        _ lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Refusal? {
        guard let region = region(at: address) else { return try answerWithoutRegion(address, cause, lock) }
        guard cause.isAllowed(by: format.effectiveRights(region.attributes.rights)) else {
            return .accessDenied(address)
        }
        let memory = lock.memory
        memory.count(.fault)
        return try memory.withRCUReader { (_) throws(Memory.Failure) in
            try fault(address, cause, region, targetLevel(address, region, largestLeaf), in: memory)
        }
    }

    /// Steps 2 to 5.
    @inlinable
    func fault<Memory: SharedMemory>(
        _ address: VirtualAddress, _ cause: FaultCause, _ region: Region, _ target: Level, in memory: Memory
    ) throws(Memory.Failure) -> Refusal? {
        let root = try Structure.loadRoot(words, memory)
        var (table, level) = (root.table, root.topLevel)
        var upper: LoadedEntry?
        while true {
            let place = place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                upper = level == Level(1) ? LoadedEntry(value: entry, place: place) : nil
                table = format.table(of: entry, at: level)
                level = level.below
            case .invalid where level <= target:
                let loaded = LoadedEntry(value: entry, place: place)
                let leaf: Entry
                switch try newLeaf(address, region, level, table, in: memory) {
                case .success(let new): leaf = new
                case .failure(let refusal):
                    if try isNoHole(loaded, of: table, in: memory) { continue }
                    return refusal
                }
                if try replace(loaded, by: leaf, of: table, linkedBy: upper, in: memory) {
                    if cause.isAllowed(by: format.rights(of: leaf, at: level)) { return nil }
                } else {
                    try giveBack(leaf, level, in: memory)
                    (table, level, upper) = (root.table, root.topLevel, nil)
                }
            case .invalid:
                let loaded = LoadedEntry(value: entry, place: place)
                guard try !addTables(around: loaded, of: table, level, address, in: memory) else { continue }
                if try !isNoHole(loaded, of: table, in: memory) { return .outOfMemory }
            case .leaf:
                if cause.isAllowed(by: format.effectiveRights(format.rights(of: entry, at: level))) { return nil }
                // No other right is ever withheld from an entry that its region has: one that is not there does not come.
                guard cause.isWrite, case .file(let view) = region.content, level == .leafTable else {
                    return .accessDenied(address)
                }
                let refusal = try makeWritable(entry, at: place, of: table, address, region, view, in: memory)
                if let refusal { return refusal }
            default: return .accessDenied(address)
            }
        }
    }

    @usableFromInline
    func region(at address: VirtualAddress) -> Region? { regions.region(at: address) }

    /// What a fault is told where no region is: the page may be mapped all the same.
    @usableFromInline
    func answerWithoutRegion<Memory: SharedMemory>(
        _ address: VirtualAddress, _ cause: FaultCause, _ lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Refusal? {
        while true {
            if let found = try leaf(of: address, lock) {
                let bits = found.pathBits & format.pathBits(of: found.entry, at: found.level)
                let isAllowed = cause.isAllowed(by: format.effectiveRights(format.rights(ofPath: bits)))
                return isAllowed ? nil : .accessDenied(address)
            }
            guard Format.isAccessedInHalves, lock.memory.enforces(.confirmHoleUnderLock),
                try isMapped(address, in: lock.memory)
            else { return .notMapped(address) }
        }
    }

    /// The level of the largest leaf that a region allows at an address.
    @inlinable
    func targetLevel(_ address: VirtualAddress, _ region: Region, _ largestLeaf: PageSize) -> Level {
        guard case .device(let start) = region.content else { return .leafTable }
        var level = format.topLevels.upperBound
        while level > .leafTable {
            let mask = format.offsetMask(level)
            let first = VirtualAddress(address.rawValue & ~mask)
            let isInside = first >= region.range.first && first.rawValue | mask <= region.range.last.rawValue
            if isInside, format.shift(level) <= UInt64(min(largestLeaf, region.largestLeaf).log2Bytes),
                (start.rawValue &+ (first.rawValue &- region.range.first.rawValue)) & mask == 0,
                format.canMapLeaf(level)
            {
                return level
            }
            level = level.below
        }
        return .leafTable
    }

    /// The leaf for an address; of an anonymous region it maps a new frame.
    @inlinable
    func newLeaf<Memory: SharedMemory>(
        _ address: VirtualAddress, _ region: Region, _ level: Level, _ table: PhysicalAddress,
        in memory: Memory
    ) throws(Memory.Failure) -> Result<Entry, Refusal> {
        let size = PageSize(log2Bytes: Int(format.shift(level)))
        switch region.content {
        case .device(let start):
            let first = address.rawValue & ~format.offsetMask(level)
            let physical = PhysicalAddress(start.rawValue &+ (first &- region.range.first.rawValue))
            return .success(Entry(format.canonical(.leaf(physical, size), region.attributes, at: level)))
        case .file(let view): return try newLeaf(address, region, of: view, table, in: memory)
        case .anonymous:
            guard let frame = try references.allocator.allocate(in: memory) else { return .failure(.outOfMemory) }
            try memory.fill(map.range(of: frame, .single), with: 0)
            // The allocation's reference becomes the mapping's.
            try memory.store(1, to: map.descriptor(of: frame).mapCount, .relaxed)
            try setMapsFrames(table, in: memory)
            return .success(Entry(format.canonical(.leaf(map.address(of: frame), size), region.attributes, at: level)))
        }
    }

    /// Gives back the frame of a leaf that was never published.
    @inlinable
    func giveBack<Memory: SharedMemory>(
        _ leaf: Entry, _ level: Level, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let physical = format.physical(of: leaf, at: level, for: VirtualAddress(0))
        guard let frame = map.frame(of: physical) else { return }
        try references.dropMappings(1, of: frame, in: memory)
    }

    /// Steps 4 and 5.
    ///
    /// - Parameter upper: What led to a leaf table.
    /// - Returns: False if an entry was not what it is supposed to be.
    @inlinable
    func replace<Memory: SharedMemory>(
        _ entry: LoadedEntry, by new: Entry, of table: PhysicalAddress, linkedBy upper: LoadedEntry? = nil,
        in memory: Memory
    ) throws(Memory.Failure) -> Bool {
        try memory.withLock(tableLock(of: table)) { (_) throws(Memory.Failure) in
            if memory.enforces(.revalidateTableUnderLock), let upper, try !isStill(upper, in: memory) { return false }
            if memory.enforces(.revalidateUnderLock), try !isStill(entry, in: memory) { return false }
            if isWatched, !Format.isAccessedInHalves, memory.enforces(.changeEntryAtomically) {
                return try memory.compareExchange(
                    expected: entry.value, desired: new, format, at: entry.place, .full
                ).isExchanged
            }
            try memory.store(new, format, at: entry.place, .release)
            return true
        }
    }
}
