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
//      - nobody's: then the file was truncated since, and the slow path decides;                 [retreatWhenMappingGone]
//      - for writing: a file's that has to know when it is written: not here          [checkFileMappingBeforeLongTermPin]
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
            demand: "A page whose file has let it go is not pinned for long without a lock.",
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
    /// The entry that led to the table; `nil` if the table is the top.
    @usableFromInline
    let upper: LoadedEntry?

    @inlinable
    init(
        entry: Entry, place: PhysicalAddress, table: PhysicalAddress, level: Level, pathBits: UInt64,
        upper: LoadedEntry?
    ) {
        self.entry = entry
        self.place = place
        self.table = table
        self.level = level
        self.pathBits = pathBits
        self.upper = upper
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
    @inline(__always)
    public func pinFast<Section: InterruptWitness & ~Copyable>(
        _ address: VirtualAddress, for access: PageAccess, longTerm: Bool = false, in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        // What is not kept for long is compiled without a thought of the other, and into the section that it is called in: a
        // call would be a tenth of the whole.
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
            let found = try leaf(of: address, cameFrom: address, root, in: section)
        {
            // Asked at once, so that the walk of a format of fixed depth ends here, with a level that is known.
            let pin =
                found.level == .leafTable
                ? try pin(found, address, 1, access, longTerm, in: section)
                : try pinLarge(found, address, access, longTerm, in: section)
            if let pin { return pin }
        }
        section.memory.count(.retreat)
        return nil
    }

    /// A page of a leaf above the leaf table.
    @inlinable
    @inline(__always)
    func pinLarge<Section: InterruptWitness & ~Copyable>(
        _ found: FoundLeaf, _ address: VirtualAddress, _ access: PageAccess, _ longTerm: Bool,
        in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        guard allows(access, found) else { return nil }
        return try pinLarge(
            format.physical(of: found.entry, at: found.level, for: address),
            LoadedEntry(value: found.entry, place: found.place), under: found.upper, access, longTerm,
            isWritable: longTerm && allows(.write, found), in: section)
    }

    /// As `pin`, out of line. In parts and not as a `FoundLeaf`, which has too many words for registers: it would be put
    /// together in memory in front of every pin, for a call that few make.
    @inlinable
    @inline(never)
    func pinLarge<Section: InterruptWitness & ~Copyable>(
        _ physical: PhysicalAddress, _ leaf: LoadedEntry, under upper: LoadedEntry?, _ access: PageAccess,
        _ longTerm: Bool, isWritable: Bool, in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        try pin(physical, 1, leaf, under: upper, access, longTerm, isWritable: isWritable, in: section)
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
        var upper: LoadedEntry?
        while true {
            let place = try Structure.place(
                of: format.index(of: address, at: level), in: table, at: level,
                enteredAt: format.index(of: start, at: level), of: root, format, section.memory)
            let entry = try section.load(format, place)
            switch format.shape(of: entry, at: level) {
            case .table where level > .leafTable:
                let below = try Structure.descended(entry, from: place, format, section.memory)
                pathBits &= format.pathBits(of: below, at: level)
                upper = LoadedEntry(value: entry, place: place)
                table = format.table(of: below, at: level)
                level = level.below
            case .leaf:
                return FoundLeaf(
                    entry: entry, place: place, table: table, level: level, pathBits: pathBits, upper: upper)
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
        return try pin(
            format.physical(of: found.entry, at: found.level, for: address), pages,
            LoadedEntry(value: found.entry, place: found.place), under: found.upper, access, longTerm,
            isWritable: longTerm && allows(.write, found), in: section)
    }

    /// What is left when the path is known to allow it: the frame of step 3, and steps 4 to 8.
    ///
    /// - Parameter isWritable: Whether the path allows writing; looked at for long-term pins only.
    @inlinable
    @inline(__always)
    func pin<Section: InterruptWitness & ~Copyable>(
        _ physical: PhysicalAddress, _ pages: UInt32, _ leaf: LoadedEntry, under upper: LoadedEntry?,
        _ access: PageAccess, _ longTerm: Bool, isWritable: Bool, in section: borrowing Section
    ) throws(Section.Failure) -> Pin? {
        guard let (frame, descriptor) = map.described(physical, log2FrameBytes: format.log2FrameBytes)
        else { return nil }
        let memory = section.memory
        let head: Frame
        let attempt = try FrameReferences.attempt(pages, asPins: true, descriptor, in: memory)
        switch attempt {
        case .taken: head = frame
        case .refused: return nil
        case .isLarge, .isAstray:
            guard let other = try takePins(pages, on: frame, after: attempt, in: memory) else { return nil }
            head = other
        }
        var isStill = true
        if let upper, memory.enforces(.recheckUpperEntryAfterPin) {
            isStill = try self.isStill(upper, in: section)
        }
        if isStill, memory.enforces(.recheckEntryAfterPin) {
            isStill = try self.isStill(leaf, in: section)
        }
        if isStill, longTerm { isStill = try mayStayPinned(head, access, isWritable, in: memory) }
        if _slowPath(!isStill) {
            try giveBack(pages, head, in: memory)
            return nil
        }
        return makePin(frame, pages, head)
    }

    /// The rest of step 4, for the few frames that need more than an attempt.
    @inlinable
    @inline(never)
    func takePins<Memory: SharedMemory>(
        _ pages: UInt32, on frame: Frame, after attempt: FrameReferences.Attempt, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        try references.take(pages, asPins: true, on: frame, after: attempt, in: memory)
    }

    /// The pages from the first address of one to the last address of another.
    @inlinable
    func pageCount(_ first: VirtualAddress, _ last: VirtualAddress) -> UInt32 {
        UInt32(truncatingIfNeeded: (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)) &+ 1
    }

    /// Of whole pages, from a frame on.
    @inlinable
    @inline(__always)
    func makePin(_ first: Frame, _ pages: UInt32, _ head: Frame) -> Pin {
        let start = UInt64(first.number) &<< UInt64(format.log2FrameBytes)
        let last = start &+ UInt64(pages) &<< UInt64(format.log2FrameBytes) &- 1
        let range = PhysicalRange(first: PhysicalAddress(start), last: PhysicalAddress(last))
        return Pin(range: range, head: head, pages: pages)
    }

    /// Step 7.
    @inlinable
    @inline(never)
    func mayStayPinned<Memory: SharedMemory>(
        _ head: Frame, _ access: PageAccess, _ isWritable: Bool, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        switch (access, try references.owner(of: head, in: memory).kind) {
        case (_, .none): if memory.enforces(.retreatWhenMappingGone) { return false }
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
