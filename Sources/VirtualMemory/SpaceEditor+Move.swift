import PageTables
import TableMemory

// Moving what is mapped in a range to other addresses, with the space's lock held for writing.
//
//   1. Refuse what cannot be: ranges that overlap, a target where something is mapped or promised already.
//   2. Prepare, so that nothing can fail afterwards: split leaves that reach over an end of the range or that the target
//      cannot have at the same level, and make the tables that lead to the target's entries.
//   3. Move single leaves: clear the entry at the old place, then set it at the new one. References stay as they are.
//   4. Tables that move as a whole: clear the entry that leads to each of them.
//   5. Flush the old range, so that no processor goes through one of those tables by it. Wait once for the walkers that may be in one of those tables.          [waitBeforeRelinking]
//   6. Set the entries that lead to them at the new place.
// Tables of the old range that map nothing any more, and empty ones of the target that were in the way, go into the batch
// (`UnlinkedTables`).
//
// A page is found at the old place, at the new one, or, for a moment, at neither. Why wait in step 5: a walker that came into
// a table by its old address takes what it finds there for what is at that address. Without waiting it would find what
// somebody maps, later, at the new one. Pins have their second look and would do without; translations have none.

extension SafetyRule {
    @inlinable
    public static var waitBeforeRelinking: SafetyRule {
        SafetyRule(
            name: "waitBeforeRelinking",
            demand: "A table is linked at other addresses only when nobody is in it who came by the old ones.",
            history:
                "Linux does not wait (move_normal_pmd): there only pins look at tables without a lock, and they look again."
        )
    }
}

/// A range on its way to other addresses.
@usableFromInline
struct MoveJob {
    /// From an old address to the new one.
    @usableFromInline
    let delta: UInt64
    /// Tables that are linked nowhere at the moment: the entries that are to lead to them, and for which address.
    @usableFromInline
    var unlinked: [(entry: Entry, level: Level, target: VirtualAddress)] = []
    /// The table of the target that was found last, and the first address that it maps.
    @usableFromInline
    var table = PhysicalAddress(0)
    @usableFromInline
    var level = Level.leafTable
    @usableFromInline
    var start: UInt64 = 1

    @inlinable
    init(delta: UInt64) { self.delta = delta }

    @inlinable
    func target(of address: VirtualAddress) -> VirtualAddress { VirtualAddress(address.rawValue &+ delta) }

    /// Whether what is as aligned as an entry covers is so at the target. If all of it is in the range, the entry can move as
    /// it is.
    @inlinable
    func keepsAlignment(_ mask: UInt64) -> Bool { delta & mask == 0 }
}

extension SpaceEditor where Memory: SharedMemory {
    /// See `LiveSpace.move`.
    ///
    /// - Returns: Why nothing has moved; `nil` if it has.
    @inlinable
    public mutating func move(_ range: VirtualRange, to start: VirtualAddress) throws(Memory.Failure) -> Refusal? {
        let bytes = range.last.rawValue &- range.first.rawValue
        guard isOfPages(range), start.rawValue & (space.format.pageBytes &- 1) == 0,
            start.rawValue &+ bytes >= start.rawValue
        else { return .invalidRange(range) }
        let target = VirtualRange(first: start, last: VirtualAddress(start.rawValue &+ bytes))
        if range.intersection(target) != nil { return .invalidRange(target) }
        if let refusal = try grow(toCover: range, target) { return refusal }
        let root = try Structure.loadRoot(space.words, memory)
        let level = Format.fixedTopLevel ?? root.topLevel
        if space.hasRegions, let overlap = firstRegion(in: target) { return .alreadyMapped(overlap) }
        if let mapped = try firstMapped(root.table, level, target.first, target.last) { return .alreadyMapped(mapped) }
        forgetRecentTable()
        if let refusal = try splitEnds(of: range, root) { return refusal }
        var job = MoveJob(delta: start.rawValue &- range.first.rawValue)
        try waitBeforeReuse()
        guard try prepare(&job, root, root.table, level, range.first, range.last) else { return .outOfMemory }
        if space.hasRegions { moveRegions(range, by: job.delta) }
        try waitBeforeReuse()
        try beginChange(of: range)
        // Of the target, processors may keep the way to empty tables that are in the way.
        try beginChange(of: target)
        try moveEntries(&job, root, root.table, level, range.first, range.last)
        if !job.unlinked.isEmpty, let invalidation { try invalidation.flush(in: memory) }
        if !job.unlinked.isEmpty {
            if memory.enforces(.waitBeforeRelinking) { try space.reclaimer.wait(in: memory) }
            for (entry, level, target) in job.unlinked { try setMoved(&job, root, entry, level, target) }
        }
        return nil
    }

    @usableFromInline
    func firstRegion(in range: VirtualRange) -> VirtualAddress? { space.regions.firstOverlap(range) }

    @usableFromInline
    func moveRegions(_ range: VirtualRange, by delta: UInt64) { space.regions.move(range, by: delta) }

    /// Makes the space deep enough for both ranges, if the format has such spaces.
    @inlinable
    func grow(toCover range: VirtualRange, _ target: VirtualRange) throws(Memory.Failure) -> Refusal? {
        for part in [range, target] where !space.format.covers(part, topLevel: space.format.topLevels.upperBound) {
            return .invalidRange(part)
        }
        if case .failure(let refusal) = try space.grow(toCover: range, in: memory) { return refusal }
        if case .failure(let refusal) = try space.grow(toCover: target, in: memory) { return refusal }
        return nil
    }

    /// The lowest address of a range at which there is more than nothing.
    @inlinable
    func firstMapped(
        _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress, _ last: VirtualAddress
    ) throws(Memory.Failure) -> VirtualAddress? {
        let format = space.format
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                let below = format.table(of: entry, at: level)
                if let mapped = try firstMapped(below, level.below, part.first, part.last) { return mapped }
            case .invalid: break
            default: return part.first
            }
        }
        return nil
    }

    /// Step 2, for entries none of which reaches beyond the range.
    ///
    /// - Returns: False if there is no memory.
    @inlinable
    mutating func prepare(
        _ job: inout MoveJob, _ root: SpaceRoot, _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress,
        _ last: VirtualAddress
    ) throws(Memory.Failure) -> Bool {
        let format = space.format
        let mask = format.offsetMask(level)
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            let shape = format.shape(of: entry, at: level)
            guard shape == .leaf || shape == .table && level > .leafTable else { continue }
            if part.isWhole && job.keepsAlignment(mask) {
                let found = try targetTable(&job, root, level, job.target(of: part.first))
                if found == nil { return false }
            } else {
                var below = format.table(of: entry, at: level)
                if shape == .leaf {
                    guard let table = try split(entry, of: part.first, at: part.place, level) else { return false }
                    below = table
                }
                guard try prepare(&job, root, below, level.below, part.first, part.last) else { return false }
            }
        }
        return true
    }

    /// The table whose entries at `level` cover an address of the target. It is made if it is not there.
    ///
    /// - Returns: `nil` if there is no memory.
    @inlinable
    func targetTable(
        _ job: inout MoveJob, _ root: SpaceRoot, _ wanted: Level, _ address: VirtualAddress
    ) throws(Memory.Failure) -> PhysicalAddress? {
        let format = space.format
        let covered = format.offsetMask(wanted) &<< format.indexBits(wanted) | ((1 &<< format.indexBits(wanted)) &- 1)
        if job.level == wanted, address.rawValue & ~covered == job.start { return job.table }
        var (table, level) = (root.table, Format.fixedTopLevel ?? root.topLevel)
        while level > wanted {
            let place = space.place(format.index(of: address, at: level), of: table)
            let entry = try memory.load(format, place)
            if format.shape(of: entry, at: level) == .table {
                table = format.table(of: entry, at: level)
            } else {
                guard let below = try addTable(at: place, of: table, level, address, isAlone: false) else { return nil }
                table = below
            }
            level = level.below
        }
        (job.table, job.level, job.start) = (table, wanted, address.rawValue & ~covered)
        return table
    }

    /// Steps 3 and 4.
    @inlinable
    mutating func moveEntries(
        _ job: inout MoveJob, _ root: SpaceRoot, _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress,
        _ last: VirtualAddress
    ) throws(Memory.Failure) {
        let format = space.format
        let mask = format.offsetMask(level)
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            let target = job.target(of: part.first)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                if part.isWhole && job.keepsAlignment(mask) {
                    try memory.store(format.emptyEntry(at: level), format, at: part.place, .release)
                    job.unlinked.append((entry, level, target))
                } else {
                    let below = format.table(of: entry, at: level)
                    try moveEntries(&job, root, below, level.below, part.first, part.last)
                    if part.isWhole {
                        try memory.store(format.emptyEntry(at: level), format, at: part.place, .release)
                        try addToBatch(below, level.below)
                    }
                }
            case .leaf:
                try setMoved(&job, root, take(entry, at: part.place, level), level, target)
            default: break
            }
        }
    }

    /// Sets a leaf, or an entry that leads to a table, at its new place.
    @inlinable
    @inline(__always)
    mutating func setMoved(
        _ job: inout MoveJob, _ root: SpaceRoot, _ entry: Entry, _ level: Level, _ target: VirtualAddress
    ) throws(Memory.Failure) {
        let format = space.format
        guard let table = try targetTable(&job, root, level, target) else {
            preconditionFailure("a table of the target was not made")
        }
        let place = space.place(format.index(of: target, at: level), of: table)
        if level > .leafTable { return try set(entry, level, at: place) }
        let physical = format.physical(of: entry, at: level, for: VirtualAddress(0))
        if space.map.frame(of: physical) != nil { try space.setMapsFrames(table, in: memory) }
        try memory.store(entry, format, at: place, .release)
    }

    /// Sets an entry where the target has nothing or a table that maps nothing, which goes.
    @inlinable
    mutating func set(_ entry: Entry, _ level: Level, at place: PhysicalAddress) throws(Memory.Failure) {
        let old = try memory.load(space.format, place)
        try memory.store(entry, space.format, at: place, .release)
        if space.format.shape(of: old, at: level) == .table {
            try unlink(space.format.table(of: old, at: level), level.below)
        }
    }
}

extension LiveSpace {
    /// Moves what is mapped in a range, and its regions, to other addresses. Holes stay holes.
    ///
    /// Whole tables are linked anew where old and new addresses are aligned alike; elsewhere leaves move one by one. Leaves that
    /// reach over an end of the range, or that do not fit at the target, are split first. References and pins stay.
    ///
    /// - Parameter start: Where the range's first address goes.
    /// - Throws: `.alreadyMapped` with the lowest address of the target at which something is mapped, or a region is;
    ///   `.invalidRange` also if the two ranges overlap; `.outOfMemory`. Nothing has moved then, though leaves may be split and
    ///   the space be deeper.
    /// - Complexity: The tables below both ranges, with the entries of those that cannot move as a whole.
    @inlinable
    public func move<Memory: SharedMemory>(
        _ range: VirtualRange, to start: VirtualAddress, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        try editOnce(in: memory) { (editor) throws(Memory.Failure) in try editor.move(range, to: start) }
    }
}
