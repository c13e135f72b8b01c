import PageTables
import TableMemory

// Pinning pages without a lock (after Linux's gup_fast, v6.19, mm/gup.c).
//
// The caller blocks interrupts: tables are not freed meanwhile, whatever the policy (`TableReclaimer`).        [blockTableFreeing]
//   1. Load the root, table and depth in one word. An address beyond its depth is left to the slow path.
//   2. At each level load the entry once. The value that is tested is the value that leads down; the place of the next
//      entry is computed from the table's address, never from where a copy of the entry is kept; the end of its range comes
//      from the entry and its level, since depth is the space's and not the build's.
//   3. At a leaf: do the rights of the whole path allow the access? Is the page a frame of the map?
//   4. Take the pins, unless the frame is free.                                    [pinOnlyLiveFrame, recheckHeadAfterPin]
//   5. Load the entry again that led to this table: if it has changed, the table was unlinked, and what it says is void.
//                                                                                  [recheckUpperEntryAfterPin]
//   6. Load the leaf again: if it has changed, the page may have been unmapped before the pins were there, and whoever
//      unmapped it has not waited.                                                 [recheckEntryAfterPin]
//   7. For a pin that is kept for long, look whose the page is, with one load of its mapping word (`FrameOwner`):
//      - for writing: nobody's, then the file was truncated since, and the slow path decides;    [retreatWhenMappingGone]
//        a file's that has to know when it is written: not here       [checkFileMappingBeforeLongTermPin]
//      - for reading, where the entry lets nobody write: anything but anonymous may be the page of a private region, which
//        the first write replaces by a copy that the pin would not see          [unshareBeforeLongTermPin]
//   8. On any difference give the pins back and leave the rest to the slow path.
//
// The other side clears the entry first and drops the page's reference then. Taking pins is a full barrier: either the one
// who unmaps sees the pins in the count, or the pinner sees the cleared entry.
//
// Why not the levels above: before a page's reference is dropped, its leaf or the entry to its leaf table is cleared, even
// where a whole subtree goes (`SpaceEditor.unlink`). The page itself needs neither interrupts nor a grace period: a page that
// was freed and used again meanwhile is given back in step 8. The tables do need them.
//
// What step 7 looks at is not freed: the pins hold the frame, so the word is that of the page that the entry mapped, whatever
// became of the file; and the file itself is not looked at, since kind and number are in the word. The order matters: before
// the pins and the second look, the word could be that of a frame which has changed hands. A truncation that comes after the
// second look clears the word before or after it is loaded; either the pin retreats, or it was there before the page went.

extension SafetyRule {
    @inlinable
    public static var recheckEntryAfterPin: SafetyRule {
        SafetyRule(
            name: "recheckEntryAfterPin",
            demand: "After the pins were taken, the leaf still is what it was.",
            history: "A page that was unmapped, freed and used by somebody else was pinned (Linux under Xen).")
    }

    @inlinable
    public static var recheckUpperEntryAfterPin: SafetyRule {
        SafetyRule(
            name: "recheckUpperEntryAfterPin",
            demand: "After the pins were taken, the entry that led to the leaf's table still is what it was.",
            history: "A table was unlinked by a collapse; its entries still looked valid (Linux 6.0, khugepaged).")
    }

    @inlinable
    public static var retreatWhenMappingGone: SafetyRule {
        SafetyRule(
            name: "retreatWhenMappingGone",
            demand: "A page whose file has let it go is not pinned for long for writing without a lock.",
            history:
                "What is truncated between the look at the entry and the pin can be any file's (Linux 6.5, review).")
    }

    @inlinable
    public static var checkFileMappingBeforeLongTermPin: SafetyRule {
        SafetyRule(
            name: "checkFileMappingBeforeLongTermPin",
            demand: "A page whose file has to know when it is written is not pinned for long for writing.",
            history:
                "Data written after writeback had cleaned the page was lost, or broke the file system (until Linux 6.5)."
        )
    }

    @inlinable
    public static var unshareBeforeLongTermPin: SafetyRule {
        SafetyRule(
            name: "unshareBeforeLongTermPin",
            demand: "A page of which a private region may make a copy is not pinned for long for reading.",
            history: "A device went on reading the old page after its owner had written to a copy (until Linux 6.2).")
    }
}

/// A leaf that a walk without a lock has found.
@usableFromInline
struct FoundLeaf {
    @usableFromInline
    var entry: Entry
    @usableFromInline
    var place: PhysicalAddress
    @usableFromInline
    let table: PhysicalAddress
    @usableFromInline
    let level: Level
    /// What decides the rights of the entries above.
    @usableFromInline
    let pathBits: UInt64
    /// The entry that led to the table, and where it is; of no meaning if the table is the top.
    @usableFromInline
    let upper: Entry
    @usableFromInline
    let upperPlace: PhysicalAddress
    @usableFromInline
    let hasUpper: Bool

    @inlinable
    init(
        entry: Entry, place: PhysicalAddress, table: PhysicalAddress, level: Level, pathBits: UInt64, upper: Entry,
        upperPlace: PhysicalAddress, hasUpper: Bool
    ) {
        self.entry = entry
        self.place = place
        self.table = table
        self.level = level
        self.pathBits = pathBits
        self.upper = upper
        self.upperPlace = upperPlace
        self.hasUpper = hasUpper
    }
}

extension LiveSpace {
    /// Pins the page of an address, without a lock.
    ///
    /// - Parameters:
    ///   - address: A multiple of the page size.
    ///   - longTerm: Whether the pin may be kept for as long as somebody likes: see step 7.
    /// - Returns: `nil` if the page is not mapped, the access is not allowed, the memory is a device's, or anything changed
    ///   meanwhile: the slow path decides.
    /// - Complexity: A load for each level, two more, and one update of the frame's count.
    @inlinable
    public func pinFast<Section: InterruptWitness & ~Copyable>(
        _ address: VirtualAddress, for access: PageAccess, longTerm: Bool = false, in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        // What is not kept for long is compiled without a thought of the other.
        if longTerm { return try pinPageForLong(address, access, in: section) }
        return try pinPage(address, access, longTerm: false, in: section)
    }

    @inlinable
    @inline(never)
    func pinPageForLong<Section: InterruptWitness & ~Copyable>(
        _ address: VirtualAddress, _ access: PageAccess, in section: borrowing Section
    ) throws(Section.Failure) -> Pin? { try pinPage(address, access, longTerm: true, in: section) }

    @inlinable
    @inline(__always)
    func pinPage<Section: InterruptWitness & ~Copyable>(
        _ address: VirtualAddress, _ access: PageAccess, longTerm: Bool, in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        let root = try Structure.loadRoot(words, section.memory)
        if format.covers(address, topLevel: Format.fixedTopLevel ?? root.topLevel),
            let found = try leaf(of: address, cameFrom: address, root, in: section),
            let pin = try pin(found, address, 1, access, longTerm, in: section)
        {
            return pin
        }
        section.memory.count(.retreat)
        return nil
    }

    /// Pins the pages of a range in order, without a lock, until one cannot be pinned.
    ///
    /// - Parameters:
    ///   - range: Of whole pages.
    ///   - pins: What is pinned is appended: one pin for each leaf.
    /// - Returns: The first address that is not pinned; `nil` if all are.
    /// - Complexity: As for one page; for a table's neighbouring leaves one load and the second look each.
    @inlinable
    public func pinFast<Section: InterruptWitness & ~Copyable>(
        _ range: VirtualRange, for access: PageAccess, longTerm: Bool = false, in section: borrowing Section,
        into pins: inout [Pin]
    ) throws(Section.Failure) -> VirtualAddress? {
        let root = try Structure.loadRoot(words, section.memory)
        let address =
            format.covers(range, topLevel: root.topLevel)
            ? try pinLeaves(range, access, longTerm, root, in: section, into: &pins) : range.first
        if address != nil { section.memory.count(.retreat) }
        return address
    }

    @inlinable
    func pinLeaves<Section: InterruptWitness & ~Copyable>(
        _ range: VirtualRange, _ access: PageAccess, _ longTerm: Bool, _ root: SpaceRoot,
        in section: borrowing Section, into pins: inout [Pin]
    ) throws(Section.Failure) -> VirtualAddress? {
        var address = range.first
        while true {
            guard var found = try leaf(of: address, cameFrom: range.first, root, in: section) else { return address }
            // The leaves of one table, as long as they follow one another.
            while true {
                let end = format.last(of: found.entry, at: found.level, from: address, limit: range.last)
                guard let pin = try pin(found, address, pageCount(address, end), access, longTerm, in: section)
                else { return address }
                pins.append(pin)
                if end == range.last { return nil }
                address = VirtualAddress(end.rawValue &+ 1)
                let index = format.index(of: address, at: found.level)
                if index == 0 { break }
                found.place = try Structure.place(
                    of: index, in: found.table, at: found.level,
                    enteredAt: format.index(of: range.first, at: found.level), of: root, format, section.memory)
                found.entry = try section.load(format, found.place)
                if format.shape(of: found.entry, at: found.level) != .leaf { break }
            }
        }
    }

    /// Goes down to the leaf of an address: step 2.
    ///
    /// - Parameter start: Where the whole walk began.
    @inlinable
    @inline(__always)
    func leaf<Section: ReadWitness & ~Copyable>(
        of address: VirtualAddress, cameFrom start: VirtualAddress, _ root: SpaceRoot, in section: borrowing Section
    ) throws(Section.Failure) -> FoundLeaf? {
        var level = Format.fixedTopLevel ?? root.topLevel
        var table = root.table
        var pathBits: UInt64 = .max
        var upper = Entry(0)
        var upperPlace = table
        var hasUpper = false
        while true {
            let place = try Structure.place(
                of: format.index(of: address, at: level), in: table, at: level,
                enteredAt: format.index(of: start, at: level), of: root, format, section.memory)
            let entry = try section.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                let below = try Structure.descended(entry, from: place, format, section.memory)
                pathBits &= format.pathBits(of: below, at: level)
                (upper, upperPlace, hasUpper) = (entry, place, true)
                table = format.table(of: below, at: level)
                level = level.below
            case .leaf:
                return FoundLeaf(
                    entry: entry, place: place, table: table, level: level, pathBits: pathBits, upper: upper,
                    upperPlace: upperPlace, hasUpper: hasUpper)
            default: return nil
            }
        }
    }

    /// Whether the whole path allows an access.
    @inlinable
    func allows(_ access: PageAccess, _ found: FoundLeaf) -> Bool {
        format.allows(access, path: found.pathBits & format.pathBits(of: found.entry, at: found.level))
    }

    /// Pins what a leaf maps: steps 3 to 8.
    @inlinable
    @inline(__always)
    func pin<Section: InterruptWitness & ~Copyable>(
        _ found: FoundLeaf, _ address: VirtualAddress, _ pages: UInt32, _ access: PageAccess, _ longTerm: Bool,
        in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        guard allows(access, found) else { return nil }
        let physical = format.physical(of: found.entry, at: found.level, for: address)
        guard let frame = map.frame(of: physical) else { return nil }
        let memory = section.memory
        guard let head = try references.takePins(pages, on: frame, in: memory) else { return nil }
        var isStill = true
        if found.hasUpper, memory.enforces(.recheckUpperEntryAfterPin) {
            isStill = try section.load(format, found.upperPlace) == found.upper
        }
        if isStill, memory.enforces(.recheckEntryAfterPin) {
            isStill = try section.load(format, found.place) == found.entry
        }
        if isStill, longTerm { isStill = try mayStayPinned(head, access, allows(.write, found), in: memory) }
        guard isStill else {
            try giveBack(pages, head, in: memory)
            return nil
        }
        return makePin(physical, pages, head)
    }

    /// The pages from the first address of one to the last address of another.
    @inlinable
    func pageCount(_ first: VirtualAddress, _ last: VirtualAddress) -> UInt32 {
        UInt32(truncatingIfNeeded: (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)) &+ 1
    }

    @inlinable
    @inline(__always)
    func makePin(_ physical: PhysicalAddress, _ pages: UInt32, _ head: Frame) -> Pin {
        let last = physical.rawValue &+ UInt64(pages) &<< UInt64(format.log2FrameBytes) &- 1
        return Pin(range: PhysicalRange(first: physical, last: PhysicalAddress(last)), head: head, pages: pages)
    }

    /// Step 7.
    @inlinable
    @inline(never)
    func mayStayPinned<Memory: SharedMemory>(
        _ head: Frame, _ access: PageAccess, _ isWritable: Bool, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        switch (access, try references.owner(of: head, in: memory).kind) {
        case (.write, .none): if memory.enforces(.retreatWhenMappingGone) { return false }
        case (.write, .file): if memory.enforces(.checkFileMappingBeforeLongTermPin) { return false }
        case (.write, _), (.read, .anonymous): break
        case (.read, _): if !isWritable, memory.enforces(.unshareBeforeLongTermPin) { return false }
        }
        return true
    }

    /// Step 8; rare, and out of the way.
    @inlinable
    @inline(never)
    func giveBack<Memory: SharedMemory>(
        _ pages: UInt32, _ head: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) { try references.unpin(pages, on: head, in: memory) }
}
