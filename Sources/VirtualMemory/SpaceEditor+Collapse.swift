import PageTables
import TableMemory

// Collapsing: the leaves of one leaf table become one large leaf, with the space's lock held for writing (after Linux's
// khugepaged, v6.19, mm/khugepaged.c, collapse_huge_page).
//
//   1. All pages are mapped, with the same attributes. Either they are one block already, aligned as a large leaf has to be, or
//      each is a frame of its own; then take a new block.
//   2. Clear the entry that leads to the leaf table. Flush.                                       [clearBeforeCollapse]
//   3. For a new block, look at every page: the mapping's must be its only reference.         [collapseOnlyUnreferenced]
//      If there is another, put the table back and give up.
//   4. Copy the pages. Set the large leaf. Then drop the old pages' references.
//   5. The leaf table, its entries as they were, goes into the batch: it is freed after its walkers were waited for.
//
// Steps 2 and 3 against a fast pin: the pin adds to the page's references and then looks again at the entry that led to the
// table; here that entry is cleared and then the references are looked at, each with a full barrier in between. So either
// the pin is seen, or it retreats [recheckUpperEntryAfterPin]. Nobody is waited for before the copy. A table that is put back
// maps what it mapped, so a pin that missed the moment is right as well.

extension SafetyRule {
    @inlinable
    public static var clearBeforeCollapse: SafetyRule {
        SafetyRule(
            name: "clearBeforeCollapse",
            demand: "Pages are looked at and copied only while no entry leads to their table.",
            history: "A page that could still be reached was written to, or pinned, after it was copied.")
    }

    @inlinable
    public static var collapseOnlyUnreferenced: SafetyRule {
        SafetyRule(
            name: "collapseOnlyUnreferenced",
            demand: "A page is replaced by a copy only if nobody but its mapping refers to it.",
            history: "Who had pinned a page was left with one that nobody else saw any more (Linux 6.0, khugepaged).")
    }
}

/// What the entries of a leaf table have in common.
@usableFromInline
struct UniformPages {
    /// Where the first page is.
    @usableFromInline
    let start: PhysicalAddress
    @usableFromInline
    let attributes: EntryAttributes
    /// Whether each page follows the one before.
    @usableFromInline
    let isContiguous: Bool

    @inlinable
    init(start: PhysicalAddress, attributes: EntryAttributes, isContiguous: Bool) {
        self.start = start
        self.attributes = attributes
        self.isContiguous = isContiguous
    }
}

extension SpaceEditor where Memory: SharedMemory {
    /// See `LiveSpace.collapse`.
    ///
    /// - Returns: Why nothing has changed; `nil` if the address is now mapped by a large leaf.
    @inlinable
    public mutating func collapse(_ address: VirtualAddress) throws(Memory.Failure) -> Refusal? {
        let format = space.format
        let level = Level(1)
        let root = try Structure.loadRoot(space.words, memory)
        guard format.covers(address, topLevel: root.topLevel) else { return .notMapped(address) }
        var (table, above) = (root.table, root.topLevel)
        while true {
            let place = space.place(format.index(of: address, at: above), of: table)
            let entry = try memory.load(format, place)
            switch format.shape(of: entry, at: above) {
            case .table where above > level:
                table = format.table(of: entry, at: above)
                above = above.below
            case .table: return try collapse(entry, at: place, of: table, address)
            case .leaf: return nil
            case .invalid, .malformed: return .notMapped(address)
            }
        }
    }

    @inlinable
    mutating func collapse(
        _ entry: Entry, at place: PhysicalAddress, of table: PhysicalAddress, _ address: VirtualAddress
    ) throws(Memory.Failure) -> Refusal? {
        let format = space.format
        let range = format.range(of: address, at: Level(1))
        let leafTable = format.table(of: entry, at: Level(1))
        let pages: UniformPages
        switch try uniformPages(leafTable, range.first) {
        case .success(let found): pages = found
        case .failure(let refusal): return refusal
        }
        let isCopied = try !isOneBlock(pages)
        var start = pages.start
        if isCopied {
            if let other = try firstPage(
                of: leafTable, range.first, where: { (leaf) throws(Memory.Failure) in try isNoSingleFrame(leaf) })
            {
                return .notCollapsible(other)
            }
            let order = FrameOrder(Int(format.indexBits(.leafTable)))
            guard let head = try space.references.allocator.allocate(order, in: memory) else { return .outOfMemory }
            start = space.map.address(of: head)
        }
        let size = PageSize(log2Bytes: Int(format.shift(Level(1))))
        var leaf: Entry
        do throws(EncodingError) { leaf = try format.leaf(start, size, pages.attributes, at: Level(1)) } catch {
            if isCopied { try dropBlock(start) }
            return .notExpressible(error)
        }
        try beginChange(of: range)
        if memory.enforces(.clearBeforeCollapse) {
            try memory.store(format.emptyEntry(at: Level(1)), format, at: place, .release)
            if let invalidation { try invalidation.flush(in: memory) }
            try memory.fence(.full)
            // Until the flush hardware may have recorded uses.
            if case .success(let last) = try uniformPages(leafTable, range.first) {
                leaf = Entry(format.canonical(.leaf(start, size), last.attributes, at: Level(1)))
            }
        }
        if isCopied, let referenced = try copyPages(of: leafTable, range.first, to: start) {
            try memory.store(entry, format, at: place, .release)
            try dropBlock(start)
            return .notCollapsible(referenced)
        }
        try waitBeforeReuse()
        try memory.store(leaf, format, at: place, .release)
        if isCopied { try dropPages(of: leafTable) }
        try addToBatch(leafTable, .leafTable)
        return nil
    }

    /// Step 1: what the pages have in common, or the first that is not mapped as the others are.
    @inlinable
    func uniformPages(
        _ table: PhysicalAddress, _ first: VirtualAddress
    ) throws(Memory.Failure) -> Result<UniformPages, Refusal> {
        let format = space.format
        guard format.canMapLeaf(Level(1)) else { return .failure(.notCollapsible(first)) }
        var start = PhysicalAddress(0)
        var common = EntryAttributes(rights: [])
        var isContiguous = true
        for index in 0..<format.entryCount(.leafTable) {
            let offset = UInt64(index) << UInt64(format.log2FrameBytes)
            let entry = try memory.load(format, space.place(index, of: table))
            let refusal = Refusal.notCollapsible(VirtualAddress(first.rawValue &+ offset))
            guard format.shape(of: entry, at: .leafTable) == .leaf else { return .failure(refusal) }
            let physical = format.physical(of: entry, at: .leafTable, for: VirtualAddress(0))
            var attributes = format.attributes(of: entry, at: .leafTable)
            if index == 0 { (start, common) = (physical, attributes) }
            // A use or a change of any page is one of the large page.
            common.flags.formUnion(attributes.flags.intersection([.accessed, .dirty]))
            attributes.flags.formUnion(common.flags.intersection([.accessed, .dirty]))
            guard attributes == common else { return .failure(refusal) }
            if physical.rawValue != start.rawValue &+ offset { isContiguous = false }
        }
        return .success(UniformPages(start: start, attributes: common, isContiguous: isContiguous))
    }

    /// Whether one leaf can map the pages where they are: a device's, or all of one block.
    @inlinable
    func isOneBlock(_ pages: UniformPages) throws(Memory.Failure) -> Bool {
        let mask = space.format.offsetMask(Level(1))
        guard pages.isContiguous, pages.start.rawValue & mask == 0 else { return false }
        if !space.map.overlaps(pages.start, PhysicalAddress(pages.start.rawValue | mask)) { return true }
        guard let frame = space.map.frame(of: pages.start) else { return false }
        let block = FrameBlock(rawValue: try memory.load(space.map.descriptor(of: frame).block, .relaxed))
        return UInt64(block.order.rawValue) >= space.format.indexBits(.leafTable)
    }

    /// The address of the first page of a leaf table for which `condition` holds.
    @inlinable
    func firstPage(
        of table: PhysicalAddress, _ first: VirtualAddress, where condition: (Entry) throws(Memory.Failure) -> Bool
    ) throws(Memory.Failure) -> VirtualAddress? {
        for index in 0..<space.format.entryCount(.leafTable) {
            let entry = try memory.load(space.format, space.place(index, of: table))
            guard try condition(entry) else { continue }
            return VirtualAddress(first.rawValue &+ UInt64(index) << UInt64(space.format.log2FrameBytes))
        }
        return nil
    }

    @inlinable
    func frame(of leaf: Entry) -> Frame? {
        space.map.frame(of: space.format.physical(of: leaf, at: .leafTable, for: VirtualAddress(0)))
    }

    @inlinable
    func isNoSingleFrame(_ leaf: Entry) throws(Memory.Failure) -> Bool {
        guard let frame = frame(of: leaf) else { return true }
        return FrameBlock(rawValue: try memory.load(space.map.descriptor(of: frame).block, .relaxed)).isLarge
    }

    /// Steps 3 and 4, up to the new block's counts.
    ///
    /// - Returns: The first page that somebody else refers to; nothing was copied then.
    @inlinable
    func copyPages(
        of table: PhysicalAddress, _ first: VirtualAddress, to start: PhysicalAddress
    ) throws(Memory.Failure) -> VirtualAddress? {
        if memory.enforces(.collapseOnlyUnreferenced) {
            if let other = try firstPage(
                of: table, first, where: { (leaf) throws(Memory.Failure) in try isReferencedElsewhere(leaf) })
            {
                return other
            }
        }
        let pageBytes = space.format.pageBytes
        var to = start.rawValue
        for index in 0..<space.format.entryCount(.leafTable) {
            let leaf = try memory.load(space.format, space.place(index, of: table))
            let from = space.format.physical(of: leaf, at: .leafTable, for: VirtualAddress(0)).rawValue
            for offset in stride(from: 0, to: pageBytes, by: 8) {
                let word = try memory.load(Word<UInt64>(PhysicalAddress(from &+ offset)), .relaxed)
                try memory.store(word, to: Word<UInt64>(PhysicalAddress(to &+ offset)), .relaxed)
            }
            to &+= pageBytes
        }
        // The allocation's reference is that of the first page's mapping.
        guard let head = space.map.frame(of: start) else { return nil }
        let pages = UInt32(space.format.entryCount(.leafTable))
        let counts = space.map.descriptor(of: head)
        _ = try memory.add(pages &- 1, to: counts.references, .relaxed)
        try memory.store(pages, to: counts.mapCount, .relaxed)
        return nil
    }

    @inlinable
    func isReferencedElsewhere(_ leaf: Entry) throws(Memory.Failure) -> Bool {
        guard let frame = frame(of: leaf) else { return true }
        return try memory.load(space.map.descriptor(of: frame).references, .acquire) != 1
    }

    /// Gives up the pages that the entries of an unlinked leaf table map.
    @inlinable
    func dropPages(of table: PhysicalAddress) throws(Memory.Failure) {
        for index in 0..<space.format.entryCount(.leafTable) {
            try dropFrames(of: memory.load(space.format, space.place(index, of: table)), at: .leafTable)
        }
    }

    /// Gives back a block that was never mapped.
    @inlinable
    func dropBlock(_ start: PhysicalAddress) throws(Memory.Failure) {
        if let head = space.map.frame(of: start) { try space.references.drop(on: head, in: memory) }
    }
}

extension LiveSpace {
    /// Maps an address with a large leaf instead of a leaf table, where that is possible: pages that are one aligned block
    /// stay where they are, others are copied into a new block.
    ///
    /// - Throws: `.notMapped`; `.notCollapsible` with the first page that is not mapped as its neighbours are, or that somebody
    ///   else refers to; `.notExpressible`, `.outOfMemory`. Nothing has changed then.
    /// - Complexity: The entries of a leaf table, and the bytes of a large page where they are copied.
    @inlinable
    public func collapse<Memory: SharedMemory>(
        _ address: VirtualAddress, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        try editOnce(in: memory) { (editor) throws(Memory.Failure) in try editor.collapse(address) }
    }
}
