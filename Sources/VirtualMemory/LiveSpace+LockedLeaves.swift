import PageTables
import TableMemory

// Looking at leaves that nobody but hardware changes meanwhile, with the space's lock held for reading.
//
//   1. Go down from the root inside an RCU section, so that a leaf table is not freed.                [blockTableFreeing]
//   2. Take the lock of the table, and load its entries only then: faults, splits and whoever takes back empty tables change
//      entries with that lock held, everybody else with the space's lock held for writing. A page that is mapped then stays
//      mapped for as long, and its counts are its own.                                           [lockTableOfLeaves]
//      Where an entry in halves maps nothing, the lock of its table is taken as well, and the entry loaded again: while it
//      is replaced it is a hole for a moment (`TableMemory/EntryHalves.swift`).                   [confirmHoleUnderLock]
//   3. Leave the section before the next table, so that nobody who frees a table waits for a whole range.
//
// A leaf table may have been taken back between 1 and 2. It was empty then and stays so: a hole is seen that was there.

extension SafetyRule {
    @inlinable
    public static var lockTableOfLeaves: SafetyRule {
        SafetyRule(
            name: "lockTableOfLeaves",
            demand: "What is said or taken of a leaf under the lock for reading, is with its table's lock held.",
            history: "A page that was copied on a write meanwhile was reported with what its frame was by then.")
    }
}

extension SafetyRule {
    @inlinable
    public static var confirmHoleUnderLock: SafetyRule {
        SafetyRule(
            name: "confirmHoleUnderLock",
            demand: "A hole in a table of entries in halves is believed only with the table's lock held.",
            history: "A page that was mapped all the time was not mapped for a fault that met the split of its leaf.")
    }
}

/// A leaf whose table's lock is held.
@usableFromInline
struct LockedLeaf {
    @usableFromInline
    let entry: Entry
    @usableFromInline
    let place: PhysicalAddress
    @usableFromInline
    let level: Level
    /// The part of what it maps that was asked for.
    @usableFromInline
    let first: VirtualAddress
    @usableFromInline
    let last: VirtualAddress

    @inlinable
    init(entry: Entry, place: PhysicalAddress, level: Level, first: VirtualAddress, last: VirtualAddress) {
        self.entry = entry
        self.place = place
        self.level = level
        self.first = first
        self.last = last
    }
}

extension LiveSpace {
    /// Calls `body` for the leaves from an address on, in order, as far as one entry above the leaf tables reaches: a leaf table's,
    /// a large leaf, or none.
    ///
    /// - Returns: The last address of what was looked at.
    /// - Precondition: The space's lock is held for reading.
    @inlinable
    func visitLeaves<Memory: SharedMemory>(
        from address: VirtualAddress, to limit: VirtualAddress, in memory: Memory,
        _ body: (LockedLeaf) throws(Memory.Failure) -> Void
    ) throws(Memory.Failure) -> VirtualAddress {
        let root = try Structure.loadRoot(words, memory)
        let space = format.addressSpace(root: root.table, topLevel: root.topLevel)
        guard let tree = space.tree(for: address) else {
            guard let upper = space.upper, address < upper.range.first else { return limit }
            return min(limit, VirtualAddress(upper.range.first.rawValue &- 1))
        }
        let limit = min(limit, tree.range.last)
        return try memory.withRCUReader { (_) throws(Memory.Failure) in
            try visitLeaves(root.table, Format.fixedTopLevel ?? root.topLevel, address, limit, in: memory, body)
        }
    }

    @inlinable
    func visitLeaves<Memory: SharedMemory>(
        _ top: PhysicalAddress, _ topLevel: Level, _ address: VirtualAddress, _ limit: VirtualAddress,
        in memory: Memory, _ body: (LockedLeaf) throws(Memory.Failure) -> Void
    ) throws(Memory.Failure) -> VirtualAddress {
        var (table, level) = (top, topLevel)
        while true {
            let end = VirtualAddress(min(address.rawValue | format.offsetMask(level), limit.rawValue))
            let place = place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table where level > Level(1):
                table = format.table(of: entry, at: level)
                level = level.below
            case .table where level == Level(1):
                let below = format.table(of: entry, at: level)
                try visitLockedEntries(of: below, .leafTable, address, end, in: memory, body)
                return end
            case .leaf:
                // It may be split before the lock is there.
                if try visitLockedEntries(of: table, level, address, end, in: memory, body) { return end }
            case .invalid where Format.isAccessedInHalves && memory.enforces(.confirmHoleUnderLock):
                if try visitLockedEntries(of: table, level, address, end, in: memory, body) { return end }
            default: return end
            }
        }
    }

    /// Whether an address is mapped, for somebody who has seen a hole there without the table's lock.
    @usableFromInline
    func isMapped<Memory: SharedMemory>(
        _ address: VirtualAddress, in memory: Memory
    ) throws(Memory.Failure) -> Bool {
        var isMapped = false
        _ = try visitLeaves(from: address, to: address, in: memory) { (_) throws(Memory.Failure) in isMapped = true }
        return isMapped
    }

    /// Whether what an entry was seen to be without its table's lock, a hole, it is not: another value is on its way.
    @inlinable
    func isNoHole<Memory: SharedMemory>(
        _ entry: LoadedEntry, of table: PhysicalAddress, in memory: Memory
    ) throws(Memory.Failure) -> Bool {
        guard Format.isAccessedInHalves, memory.enforces(.confirmHoleUnderLock) else { return false }
        return try memory.withLock(tableLock(of: table)) { (_) throws(Memory.Failure) in
            try !isStill(entry, in: memory)
        }
    }

    /// - Returns: Whether there was nothing but leaves and holes.
    @inlinable
    @discardableResult
    func visitLockedEntries<Memory: SharedMemory>(
        of table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress, in memory: Memory,
        _ body: (LockedLeaf) throws(Memory.Failure) -> Void
    ) throws(Memory.Failure) -> Bool {
        let isLocked = memory.enforces(.lockTableOfLeaves)
        return try memory.withLock(tableLock(of: table), holds: isLocked) { () throws(Memory.Failure) in
            var entries = TouchedEntries(format, of: table, level, first, last)
            while let part = entries.nextPart() {
                let entry = try memory.load(format, part.place)
                switch format.shape(of: entry, at: level) {
                case .leaf:
                    try body(
                        LockedLeaf(
                            entry: entry, place: part.place, level: level, first: part.first, last: part.last))
                case .table: return false
                case .invalid, .malformed: break
                }
            }
            return true
        }
    }
}
