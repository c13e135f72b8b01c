import PageTableWalk
import PageTables
import TableMemory

// A guest's tables over a space: what Linux on s390x calls gmap (v6.19, arch/s390/mm/gmap.c).
//
// The guest sees ranges of its parent's addresses at addresses of its own. Its tables map pages of the parent and nothing else;
// they count no references, so a page's entry in them has to be cleared before the parent gives the page up. They are made by the
// parent's allocator: tables of both may be fragments of one frame.
//
//   A fault of the guest's, with the parent's lock held for reading:
//     1. Begin a reading (`MirrorWords`): wait until no change of the parent's is in progress.        [waitForInvalidations]
//     2. Have the parent map the page, and ask where it is. For writing, its leaf is made to say that it was written; the guest
//        may write only where it says so: accesses of the guest leave no trace there.       [recordWriteBeforeDevice]
//     3. Make the tables that are missing. They stay until the guest is torn down.
//     4. Take the guest's lock. If a change has begun since step 1, start again.    [recheckSequenceUnderMirrorLock]
//     5. Store the entry.
//   A change of the parent's, with its lock held for reading at least, counts itself and clears the entries of what is about to
//   change, with the guest's lock held.                                          [tellObserversFirst, forgetUnderMirrorLock]
//   An access of the guest's holds the guest's lock from the look at the entry until it is done with the page.
//                                                                                            [holdGuestWhileUsing]
//
// Step 4 is needed although the parent's lock is held: faults that copy a page, and splits, change the parent's entries with
// no more than that. For the same reason step 1 may wait: who is in progress holds the lock for reading as well, and waits for
// nobody who waits for it. Nobody takes a lock, or waits, with the guest's held.

extension SafetyRule {
    public static var holdGuestWhileUsing: SafetyRule {
        SafetyRule(
            name: "holdGuestWhileUsing",
            demand: "Whoever clears a guest's entry waits for accesses that have seen it.",
            history: "A host cleared an entry, and freed a page to which its guest was still writing (Linux, gmap).")
    }
}

/// Where the words of one guest are: those of a mirror, and the root at byte 16, written when the guest is made and torn down.
public struct GuestWords: Hashable, Sendable {
    let mirror: MirrorWords

    /// - Parameter mirror: Words that no mirror has, zero.
    public init(_ mirror: MirrorWords) { self.mirror = mirror }

    public static var byteCount: UInt64 { MirrorWords.byteCount }

    var root: Word<UInt64> { Word(PhysicalAddress(mirror.address.rawValue &+ 16)) }
    var lock: TicketLock { mirror.lock }
}

/// A range of a guest's addresses, and where in the parent's its first one is.
struct GuestSegment {
    let range: VirtualRange
    let parent: VirtualAddress

    func parentAddress(of address: VirtualAddress) -> VirtualAddress {
        VirtualAddress(parent.rawValue &+ (address.rawValue &- range.first.rawValue))
    }

    /// The addresses of the guest at which it sees part of a range of the parent's.
    func guestPart(of changed: VirtualRange) -> VirtualRange? {
        let whole = VirtualRange(first: parent, last: parentAddress(of: range.last))
        guard let part = whole.intersection(changed) else { return nil }
        let shift = range.first.rawValue &- parent.rawValue
        return VirtualRange(
            first: VirtualAddress(part.first.rawValue &+ shift), last: VirtualAddress(part.last.rawValue &+ shift))
    }
}

/// Tables of a guest that sees parts of a live space.
public final class GuestSpace<Format: WritableFormat, Structure: SpaceStructure>: InvalidationObserver,
    @unchecked Sendable
{
    // Unchecked: the segments are guarded by the parent's lock, which is a word of the shared memory and unknown to the compiler.

    public let parent: LiveSpace<Format, Structure>
    let words: GuestWords
    @exclusivity(unchecked)
    private(set) var segments: [GuestSegment] = []

    private init(_ parent: LiveSpace<Format, Structure>, _ words: GuestWords) {
        self.parent = parent
        self.words = words
    }

    var format: Format { parent.format }
    public var range: VirtualRange { .all }

    /// Makes a guest that sees nothing yet.
    ///
    /// - Parameters:
    ///   - topLevel: How deep its tables are; `nil` for the least. They do not grow.
    ///   - words: `GuestWords.byteCount` bytes of bookkeeping, zero.
    /// - Throws: `.outOfMemory`.
    /// - Precondition: The format's entries are not accessed in halves, and it has such a top level.
    public static func make<Memory: SharedMemory>(
        over parent: LiveSpace<Format, Structure>, topLevel: Level? = nil, words: GuestWords,
        in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) -> GuestSpace {
        let topLevel = topLevel ?? parent.format.topLevels.lowerBound
        precondition(parent.format.topLevels.contains(topLevel), "the format has no space of that depth")
        precondition(!Format.isAccessedInHalves, "a guest's entries are stored at once")
        let guest = GuestSpace(parent, words)
        let memory = copy memory
        try SpaceError.throwing { () throws(Memory.Failure) in
            guard let top = try parent.newTable(topLevel, in: memory) else { return .outOfMemory }
            try memory.store(SpaceRoot(table: top, topLevel: topLevel).word, to: words.root, .release)
            try parent.add(guest, in: memory)
            return nil
        }
        return guest
    }

    /// Shows a range of the parent's addresses to the guest.
    ///
    /// - Parameters:
    ///   - range: Addresses of the guest, whole pages.
    ///   - first: Where the parent has the first of them.
    /// - Throws: `.invalidRange`, `.alreadyMapped` with the first address of the guest that shows something already.
    public func show<Memory: SharedMemory>(
        _ range: VirtualRange, from first: VirtualAddress, in memory: borrowing Memory
    ) throws(SpaceError<Memory.Failure>) {
        let memory = copy memory
        try SpaceError.throwing { () throws(Memory.Failure) in
            try memory.withWriteLock(parent.words.lock) { (_) throws(Memory.Failure) in
                let root = try loadRoot(in: memory)
                let last = first.rawValue.addingReportingOverflow(range.last.rawValue &- range.first.rawValue)
                guard (range.first.rawValue | ~range.last.rawValue | first.rawValue) & (format.pageBytes &- 1) == 0,
                    format.covers(range, topLevel: root.topLevel), !last.overflow
                else { return .invalidRange(range) }
                let taken = segments.compactMap { $0.range.intersection(range)?.first }.min()
                if let taken { return .alreadyMapped(taken) }
                segments.append(GuestSegment(range: range, parent: first))
                return nil
            }
        }
    }

    func loadRoot<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> SpaceRoot {
        SpaceRoot(word: try memory.load(words.root, .acquire))
    }

    /// What lock-free walkers of the guest see, as of a space: where pages are, and not that they stay there.
    public func view<Section: ReadWitness & ~Copyable>(
        in section: borrowing Section
    ) throws(Section.Failure) -> AddressSpace<Format> {
        let root = try loadRoot(in: section.memory)
        return format.addressSpace(root: root.table, topLevel: Format.fixedTopLevel ?? root.topLevel)
    }

    /// Gives all tables back, and is not told of changes any more. Before the parent is torn down.
    ///
    /// - Precondition: No other thread uses the guest. Others may use the parent.
    public func tearDown<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        let memory = copy memory
        try parent.remove(self, in: memory)
        var unlinked = UnlinkedTables(parent.tables, parent.reclaimer)
        // Links of frames that wait are changed with the parent's lock held for writing: a frame may have tables of both.
        try memory.withWriteLock(parent.words.lock) { (_) throws(Memory.Failure) in
            segments = []
            let root = try loadRoot(in: memory)
            try memory.store(0, to: words.root, .release)
            try unlink(root.table, root.topLevel, into: &unlinked, in: memory)
        }
        try unlinked.free(in: memory)
    }

    private func unlink<Memory: SharedMemory>(
        _ table: PhysicalAddress, _ level: Level, into unlinked: inout UnlinkedTables<Structure>, in memory: Memory
    ) throws(Memory.Failure) {
        if level > .leafTable {
            for index in 0..<format.entryCount(level) {
                let entry = try memory.load(format, parent.place(index, of: table))
                guard format.shape(of: entry, at: level) == .table else { continue }
                try unlink(format.table(of: entry, at: level), level.below, into: &unlinked, in: memory)
            }
        }
        try unlinked.add(table, log2Bytes: format.log2TableBytes(level), in: memory)
    }
}
