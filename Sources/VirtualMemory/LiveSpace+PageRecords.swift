import PageTables
import TableMemory

// Records of pages and categories of pages (after Linux's pagemap and PAGEMAP_SCAN, v6.19, fs/proc/task_mmu.c).
//
// The space's lock is held for reading for what one entry above the leaf tables covers and no longer: writers get in between.
// So the records of one leaf table are of one moment, those of a range are not. Of a page that is mapped the counts are its own:
// under the lock of its table it stays mapped (`LiveSpace+LockedLeaves`).

extension LiveSpace {
    /// Appends a record for each page of a range, in order.
    ///
    /// - Parameters:
    ///   - range: Of pages of the smallest size; one that begins or ends within a page has the whole page.
    ///   - records: Eight bytes for each page, mapped or not: whoever reads much reads it in parts.
    /// - Precondition: The caller is in no section and does not hold the space's lock.
    /// - Complexity: The pages of the range.
    @inlinable
    public func readPageRecords<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory, into records: inout [PageRecord]
    ) throws(Memory.Failure) {
        let memory = copy memory
        let mask = format.pageBytes &- 1
        let last = VirtualAddress(range.last.rawValue | mask)
        var address = VirtualAddress(range.first.rawValue & ~mask)
        var found: [PageRecord] = []
        while true {
            // Not appended to in the closure: nothing of the caller's is touched with a lock held.
            let first = address
            let end = try memory.withReadLock(words.lock) { (_) throws(Memory.Failure) in
                try visitLeaves(from: first, to: last, in: memory) { (leaf) throws(Memory.Failure) in
                    appendHole(pagesBetween(first, leaf.first) &- UInt64(found.count), to: &found)
                    try appendRecords(of: leaf, in: memory, to: &found)
                }
            }
            records.append(contentsOf: found)
            appendHole(pagesBetween(first, end) &+ 1 &- UInt64(found.count), to: &records)
            found.removeAll(keepingCapacity: true)
            if end == last { return }
            address = VirtualAddress(end.rawValue &+ 1)
        }
    }

    @inlinable
    func pagesBetween(_ first: VirtualAddress, _ last: VirtualAddress) -> UInt64 {
        (last.rawValue &- first.rawValue) &>> UInt64(format.log2FrameBytes)
    }

    @inlinable
    func appendHole(_ pages: UInt64, to records: inout [PageRecord]) {
        records.append(contentsOf: repeatElement(.hole, count: Int(truncatingIfNeeded: pages)))
    }

    @inlinable
    func appendRecords<Memory: SharedMemory>(
        of leaf: LockedLeaf, in memory: Memory, to records: inout [PageRecord]
    ) throws(Memory.Failure) {
        let physical = format.physical(of: leaf.entry, at: leaf.level, for: leaf.first)
        let number = physical.rawValue &>> UInt64(format.log2FrameBytes)
        let pages = pagesBetween(leaf.first, leaf.last) &+ 1
        var (isFile, isExclusive) = (false, false)
        if let frame = map.frame(of: physical) {
            let sharing = try references.sharing(of: frame, in: memory)
            isFile = sharing.owner.kind != .anonymous
            isExclusive = sharing.isExclusive(toLeafOf: pageCount(ofLeafAt: leaf.level))
        }
        for page in 0..<pages {
            records.append(PageRecord(frameNumber: number &+ page, isFile: isFile, isExclusive: isExclusive))
        }
    }

    /// Pages of the smallest size that a leaf maps.
    @inlinable
    func pageCount(ofLeafAt level: Level) -> UInt32 {
        1 &<< UInt32(truncatingIfNeeded: format.shift(level) &- UInt64(format.log2FrameBytes))
    }
}
