import PageTables
import TableMemory

extension LiveSpace {
    /// Finds the pages of a range that are in certain categories, in the order of addresses; the lock is held as for records.
    ///
    /// - Parameters:
    ///   - range: Of pages of the smallest size; one that begins or ends within a page has the whole page.
    ///   - mostPages: No more are found.
    ///   - mostRanges: No more are told.
    /// - Precondition: The caller is in no section and does not hold the space's lock.
    /// - Complexity: The entries of the leaf tables of the range; where nothing is mapped, those above.
    @inlinable
    public func scanPages<Memory: SharedMemory>(
        of range: VirtualRange, for query: PageQuery, mostPages: UInt64 = .max, mostRanges: Int = .max,
        in memory: borrowing Memory
    ) throws(Memory.Failure) -> PageScan {
        let memory = copy memory
        let mask = format.pageBytes &- 1
        let last = VirtualAddress(range.last.rawValue | mask)
        var address = VirtualAddress(range.first.rawValue & ~mask)
        var scanner = PageScanner(
            query, log2PageBytes: UInt64(format.log2FrameBytes), mostPages: mostPages, mostRanges: mostRanges)
        while true {
            // Where nothing is mapped that the scanner has heard of.
            var hole: VirtualAddress? = address
            let first = address
            let end = try memory.withReadLock(words.lock) { (_) throws(Memory.Failure) in
                try visitLeaves(from: first, to: last, in: memory) { (leaf) throws(Memory.Failure) in
                    if let start = hole, start < leaf.first {
                        scanner.add(start, VirtualAddress(leaf.first.rawValue &- 1), [])
                    }
                    scanner.add(leaf.first, leaf.last, try categories(of: leaf, in: memory))
                    hole = leaf.last == last ? nil : VirtualAddress(leaf.last.rawValue &+ 1)
                }
            }
            if let start = hole, start <= end { scanner.add(start, end, []) }
            if scanner.isFull || end == last { return scanner.scan }
            address = VirtualAddress(end.rawValue &+ 1)
        }
    }

    @inlinable
    func categories<Memory: SharedMemory>(
        of leaf: LockedLeaf, in memory: Memory
    ) throws(Memory.Failure) -> PageCategories {
        var categories: PageCategories = .present
        let flags = format.attributes(of: leaf.entry, at: leaf.level).flags
        if !format.leavesSayAllWrites || flags.contains(.dirty) { categories.insert(.written) }
        if leaf.level > .leafTable { categories.insert(.huge) }
        let physical = format.physical(of: leaf.entry, at: leaf.level, for: leaf.first)
        if let frame = map.frame(of: physical) {
            let owner = try references.sharing(of: frame, in: memory).owner
            if owner.kind != .anonymous { categories.insert(.file) }
        }
        return categories
    }
}
