import PageTables
import TableMemory

// What was written to the pages of a file, out of the entries of their shared mappings (after Linux's mapping_dirty_helpers,
// v6.19), with the space's lock held for reading: faults, range faults, walks and other helpers run at the same time.
//
// For the part of a region that is asked about:
//   1. Tells the observers of the range, as everybody who takes something away (`Invalidation`).    [tellObserversFirst]
//   2. Counts a flush that has begun.                                                     [announceFlush, countFlushes]
//   3. In an RCU section goes down to the leaf tables. With a leaf table's lock held, changes each leaf of a page of the file
//      that says what is asked about, by one atomic operation: a processor may record a write at any time. Notes what the leaf
//      said, and cannot say any more.                                     [blockTableFreeing, changeEntryAtomically]
//   4. Looks whether other flushes have begun that are not over. If so, it flushes all that it was asked about: a leaf that was
//      found as it should be may have been made so by somebody who has yet to flush. If not, all others are over, and it
//      flushes from the first to the last leaf that it has changed.                   [flushWholeRangeWhenNested]
//   5. Counts the flush as over, and tells the observers that it is over.
//
// The look comes after the leaves: who changed one of them before it was seen had counted before.
//
// Both functions leave a page that is written later to somebody else to notice: to the fault that makes it writable again, or to
// the record that a processor makes in the leaf. Where not every write is recorded so (`leavesSayAllWrites`), what could have been
// written counts as written, and the right to write goes with it: the next write is a fault. A processor of ours may have recorded
// its own all the same, and does no more than it must; whether it runs there, or hardware does, the entries do not know.
//
// Large leaves are never split, and never changed: no page of a file is in one (Linux warns where it meets one that is writable).

extension SafetyRule {
    @inlinable
    public static var announceFlush: SafetyRule {
        SafetyRule(
            name: "announceFlush",
            demand: "Who changes entries under the lock for reading says so before, until the flush is over.",
            history: "Nobody else can know that an entry which looks done is not flushed yet.")
    }

    @inlinable
    public static var countFlushes: SafetyRule {
        SafetyRule(
            name: "countFlushes",
            demand: "Flushes that are under way are counted: the end of one says nothing of the others.",
            history: "Of two who flushed, the first to end cleared the flag that both had set (until Linux 4.13).")
    }

    @inlinable
    public static var flushWholeRangeWhenNested: SafetyRule {
        SafetyRule(
            name: "flushWholeRangeWhenNested",
            demand: "While somebody else's flush is under way, a helper flushes all that it was asked about.",
            history:
                "An entry was found protected already, and processors wrote on by what they kept (Linux 4.13, mprotect)."
        )
    }
}

extension LiveSpace {
    /// Takes the right to write from the entries of shared mappings of files in a range. The next write is a fault.
    ///
    /// - Parameter written: Gets the pages that their entries said were written, where they cannot say so without the right;
    ///   by the numbers of pages in the space: addresses divided by the page size.
    /// - Returns: How many entries were changed.
    /// - Precondition: The caller is in no section. `written` has the pages of the range.
    /// - Complexity: The entries of the range.
    @discardableResult
    public func writeProtect<Memory: SharedMemory>(
        _ range: VirtualRange, into written: inout PageBitmap, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Int { try takeWrites(.right, of: range, &written, lock.memory) }

    /// Makes the entries of shared mappings of files in a range say that their pages were not written, and notes which said they
    /// were. Where entries do not say of every write, the right to write is taken instead, of all entries that have it, and
    /// their pages are noted.
    ///
    /// - Parameter written: Gets the pages, by their numbers in the space, beside those that it has.
    /// - Returns: How many entries were changed.
    /// - Precondition: As for `writeProtect`.
    /// - Complexity: As `writeProtect`.
    @discardableResult
    public func cleanAndRecord<Memory: SharedMemory>(
        _ range: VirtualRange, into written: inout PageBitmap, lock: borrowing ReadLockHeld<Memory>
    ) throws(Memory.Failure) -> Int { try takeWrites(.record, of: range, &written, lock.memory) }

    private func takeWrites<Memory: SharedMemory>(
        _ taken: TakenWrites, of range: VirtualRange, _ written: inout PageBitmap, _ memory: Memory
    ) throws(Memory.Failure) -> Int {
        var count = 0
        for region in regions.regions {
            guard let part = region.range.intersection(range), let view = region.sharedView else { continue }
            let change = WriteChange(format, taken, view, firstNumber: 0, firstPage: VirtualAddress(0))
            count += try takeWrites(change, of: part, &written, memory)
        }
        return count
    }

    private func takeWrites<Memory: SharedMemory>(
        _ change: WriteChange<Format>, of range: VirtualRange, _ written: inout PageBitmap, _ memory: Memory
    ) throws(Memory.Failure) -> Int {
        var change = change
        if isWatched {
            try changeAndFlush(range, in: memory) { () throws(Memory.Failure) in
                try changeLeaves(&change, of: range, memory)
                return change.touched
            }
        } else {
            try changeLeaves(&change, of: range, memory)
        }
        for number in change.written { written.insert(number) }
        return change.count
    }

    /// Steps 1 to 5 for a range of which `change` changes leaves and says from where to where it has.
    @usableFromInline
    func changeAndFlush<Memory: SharedMemory>(
        _ range: VirtualRange, in memory: Memory, _ change: () throws(Memory.Failure) -> VirtualRange?
    ) throws(Memory.Failure) {
        let invalidation = Invalidation(self)
        try invalidation.announce(range, in: memory)
        var isAnnounced = false
        if memory.enforces(.announceFlush) {
            _ = try memory.add(1, to: words.flushesBegun, .full)
            isAnnounced = true
        }
        var flushed = try change()
        if memory.enforces(.flushWholeRangeWhenNested), try memory.load(words.flushesBegun, .acquire) > 1 {
            flushed = range
        }
        if let flushed { try flush(flushed, in: memory) }
        if isAnnounced { try endFlush(memory) }
        try invalidation.finish(in: memory)
    }

    private func endFlush<Memory: SharedMemory>(_ memory: borrowing Memory) throws(Memory.Failure) {
        if memory.enforces(.countFlushes) {
            _ = try memory.add(0 &- 1, to: words.flushesBegun, .full)
            return
        }
        try memory.store(0, to: words.flushesBegun, .release)
    }

    /// Step 3.
    private func changeLeaves<Memory: SharedMemory>(
        _ change: inout WriteChange<Format>, of range: VirtualRange, _ memory: Memory
    ) throws(Memory.Failure) {
        try memory.withRCUReader { (_) throws(Memory.Failure) in
            let root = try Structure.loadRoot(words, memory)
            let topLevel = Format.fixedTopLevel ?? root.topLevel
            let trees = format.addressSpace(root: root.table, topLevel: topLevel)
            for tree in [trees.lower, trees.upper] {
                guard let tree, let part = tree.range.intersection(range) else { continue }
                try changeLeaves(&change, root.table, topLevel, part.first, part.last, memory)
            }
        }
    }

    private func changeLeaves<Memory: SharedMemory>(
        _ change: inout WriteChange<Format>, _ table: PhysicalAddress, _ level: Level, _ first: VirtualAddress,
        _ last: VirtualAddress, _ memory: Memory
    ) throws(Memory.Failure) {
        if level == .leafTable {
            return try memory.withLock(tableLock(of: table)) { (_) throws(Memory.Failure) in
                try changeLeaves(&change, table, first, last, memory)
            }
        }
        var entries = TouchedEntries(format, of: table, level, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            guard format.shape(of: entry, at: level) == .table else { continue }
            try changeLeaves(&change, format.table(of: entry, at: level), level.below, part.first, part.last, memory)
        }
    }

    /// With the table's lock held. If the table was taken back meanwhile, it has no leaves.
    private func changeLeaves<Memory: SharedMemory>(
        _ change: inout WriteChange<Format>, _ table: PhysicalAddress, _ first: VirtualAddress, _ last: VirtualAddress,
        _ memory: Memory
    ) throws(Memory.Failure) {
        var entries = TouchedEntries(format, of: table, .leafTable, first, last)
        while let part = entries.nextPart() {
            let entry = try memory.load(format, part.place)
            guard format.shape(of: entry, at: .leafTable) == .leaf, change.concerns(entry),
                try pageOfFile(entry, change.view, in: memory) != nil
            else { continue }
            let old = try replace(entry, at: part.place, by: change, memory)
            change.note(old, VirtualRange(first: part.first, last: part.last))
        }
    }

    /// - Returns: What was there.
    private func replace<Memory: SharedMemory>(
        _ leaf: Entry, at place: PhysicalAddress, by change: WriteChange<Format>, _ memory: Memory
    ) throws(Memory.Failure) -> Entry {
        if isWatched, !Format.isAccessedInHalves, memory.enforces(.changeEntryAtomically) {
            return try replaceAtomically(leaf, at: place, by: change, memory)
        }
        try memory.store(change.changed(leaf), format, at: place, .release)
        return leaf
    }

    private func replaceAtomically<Memory: SharedMemory>(
        _ leaf: Entry, at place: PhysicalAddress, by change: WriteChange<Format>, _ memory: Memory
    ) throws(Memory.Failure) -> Entry {
        var seen = leaf
        while true {
            // Processors record uses; for all else the table's lock is needed.
            let outcome = try memory.compareExchange(
                expected: seen, desired: change.changed(seen), format, at: place, .full)
            if outcome.isExchanged { return seen }
            seen = Entry(outcome.original)
        }
    }
}

extension LiveSpace {
    /// See `FileSpace.takeWrites`.
    func takeWrites<Memory: SharedMemory>(
        _ taken: TakenWrites, _ pages: ClosedRange<UInt64>, of file: PageCache, _ written: inout PageBitmap,
        in memory: borrowing Memory
    ) throws(Memory.Failure) -> Int {
        try memory.withReadLock(words.lock) { (lock) throws(Memory.Failure) in
            var count = 0
            for region in regions.regions {
                guard let view = region.sharedView, view.file == file,
                    let part = view.addresses(ofPages: pages, in: region)
                else { continue }
                let change = WriteChange(
                    format, taken, view, firstNumber: view.pageIndex(of: part.first, in: region),
                    firstPage: part.first)
                count += try takeWrites(change, of: part, &written, lock.memory)
            }
            return count
        }
    }
}

/// What is taken from entries: see `LiveSpace.writeProtect` and `LiveSpace.cleanAndRecord`.
enum TakenWrites {
    case right
    case record
}

/// The change of the leaves of one region, and what came of it.
private struct WriteChange<Format: WritableFormat> {
    let format: Format
    let taken: TakenWrites
    let view: FileView
    /// The number of the page at `firstPage`.
    let firstNumber: UInt64
    let firstPage: VirtualAddress
    /// The numbers of the pages whose entries said that they were written, and say so no more.
    var written: [UInt64] = []
    var count = 0
    /// From the first to the last page of which the entry was changed.
    var touched: VirtualRange?

    init(
        _ format: Format, _ taken: TakenWrites, _ view: FileView, firstNumber: UInt64, firstPage: VirtualAddress
    ) {
        self.format = format
        self.taken = taken
        self.view = view
        self.firstNumber = firstNumber
        self.firstPage = firstPage
    }

    private var takesRight: Bool { taken == .right || !format.leavesSayAllWrites }

    private func saysWritten(_ leaf: Entry) -> Bool {
        Format.leavesSayWritten && format.attributes(of: leaf, at: .leafTable).flags.contains(.dirty)
    }

    /// Whether a leaf has what is to be taken.
    func concerns(_ leaf: Entry) -> Bool {
        takesRight
            ? !format.rights(of: leaf, at: .leafTable).isDisjoint(with: .writes) : saysWritten(leaf)
    }

    func changed(_ leaf: Entry) -> Entry {
        var decoded = format.decode(leaf, at: .leafTable)
        if takesRight { decoded.attributes.rights.subtract(.writes) } else { decoded.attributes.flags.subtract(.dirty) }
        return format.encode(decoded, at: .leafTable)
    }

    mutating func note(_ old: Entry, _ page: VirtualRange) {
        count += 1
        touched = VirtualRange(first: touched?.first ?? page.first, last: page.last)
        let isLost = taken == .record || saysWritten(old) && !saysWritten(changed(old))
        if isLost {
            let distance = (page.first.rawValue &- firstPage.rawValue) &>> UInt64(format.log2FrameBytes)
            written.append(firstNumber &+ distance)
        }
    }
}

extension Region {
    /// What a region shows of a file, if writes to it are the file's.
    fileprivate var sharedView: FileView? {
        guard case .file(let view) = content, view.sharing == .shared else { return nil }
        return view
    }
}

extension FileView {
    /// The part of the region that shows certain pages of the file.
    fileprivate func addresses(ofPages pages: ClosedRange<UInt64>, in region: Region) -> VirtualRange? {
        let first = max(pages.lowerBound, pageIndex(of: region.range.first, in: region))
        let last = min(pages.upperBound, pageIndex(of: region.range.last, in: region))
        guard first <= last, let start = addresses(ofPage: first, in: region),
            let end = addresses(ofPage: last, in: region)
        else { return nil }
        return VirtualRange(first: start.first, last: end.last)
    }
}
