import PageTables
import TableMemory

// Where tables come from: blocks of frames, or fragments of one.
//
// A table that is smaller than a frame (a page table of s390x has half of one, tables of ppc64 a sixteenth or a 256th of
// 64 KiB) shares its frame with tables of the same size and the same space. Of each frame that is cut the descriptor says
// which fragments are taken, and links frames that have free ones into a list of the space. All of that is read and written
// with the fragment lock held.
//
//   taking:  1. take the first frame of the list, or cut a new one and put it there;
//            2. mark a free fragment as taken; if it was the last, take the frame off the list.
//   taking several: cut a new frame, and mark those as taken; put it on the list if it has more.
//   freeing: 1. mark the fragment as free;                                            [releaseFragmentUnderLock]
//            2. if it is the first free one, put the frame on the list;
//            3. if none is taken any more, take the frame off the list, and give it back when the lock is released.
//
// A fragment that waits for a grace period is still taken: its frame stays, and its other fragments may be in any state.
// What waits is linked by a word of its own (`UnlinkedTables`), which the list here never touches.

extension SafetyRule {
    @inlinable
    public static var releaseFragmentUnderLock: SafetyRule {
        SafetyRule(
            name: "releaseFragmentUnderLock",
            demand:
                "Whether a fragment was the last of its frame is decided together with the list that the frame is on.",
            history:
                "Two halves of a page were freed at once, and one freed the page while the other unlinked it (s390, 2021)."
        )
    }

    @inlinable
    public static var initialiseTableBeforePublishing: SafetyRule {
        SafetyRule(
            name: "initialiseTableBeforePublishing",
            demand: "All entries of a new table are written before an entry points to it.",
            history: "A walker saw the new table and, in it, what the memory had held before (Linux 2.6.26).")
    }
}

/// Hands out the tables of one space.
public struct TableAllocator<Structure: SpaceStructure>: Sendable {
    @usableFromInline
    let references: FrameReferences
    @usableFromInline
    let words: SpaceWords

    @inlinable
    init(_ references: FrameReferences, _ words: SpaceWords) {
        self.references = references
        self.words = words
    }

    @inlinable
    var map: FrameMap { references.map }

    /// Takes a table. Its entries are whatever the memory held before.
    ///
    /// - Returns: An address aligned to the table's size; `nil` if there is no memory.
    /// - Complexity: That of a frame allocation where a frame has to be taken.
    @inlinable
    public func allocate<Memory: SharedMemory>(
        log2Bytes: Int, in memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress? {
        let memory = copy memory
        let log2Count = Int(map.log2FrameBytes) - log2Bytes
        guard log2Count > 0 else {
            let frame = try references.allocator.allocate(FrameOrder(-log2Count), for: .table, in: memory)
            return frame.map { map.address(of: $0) }
        }
        guard try memory.allows(.table) else { return nil }
        return try allocateFragment(log2Count, in: memory)
    }

    /// Takes tables that follow one another in a frame of their own; a single one if no frame is free.
    ///
    /// - Parameter count: 2 or more, as many as a frame holds at most.
    /// - Returns: The first, and how many there are; `nil` if there is no memory. Each is freed by itself.
    /// - Complexity: That of a frame allocation.
    @inlinable
    public func allocate<Memory: SharedMemory>(
        together count: Int, log2Bytes: Int, in memory: borrowing Memory
    ) throws(Memory.Failure) -> (first: PhysicalAddress, count: Int)? {
        let memory = copy memory
        let log2Count = Int(map.log2FrameBytes) - log2Bytes
        precondition(count > 1 && count <= 1 << max(log2Count, 0), "a frame does not hold so many tables")
        guard try memory.allows(.table) else { return nil }
        guard let frame = try cutFrame(log2Count, taking: count, memory) else {
            return try allocateFragment(log2Count, in: memory).map { ($0, 1) }
        }
        if count < 1 << log2Count {
            try memory.withLock(words.fragmentLock) { (_) throws(Memory.Failure) in
                try FragmentList(words, log2Count, map).insert(frame, in: memory)
            }
        }
        return (map.address(of: frame), count)
    }

    /// Takes one fragment of a frame, for a caller that has asked already whether the allocation is to succeed.
    @inlinable
    func allocateFragment<Memory: SharedMemory>(
        _ log2Count: Int, in memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress? {
        let memory = copy memory
        let taken = try memory.withLock(words.fragmentLock, holds: true) { () throws(Memory.Failure) in
            try takeFragment(log2Count, memory)
        }
        guard let (frame, index) = taken else { return nil }
        let fragment = fragment(index, of: frame, log2Count)
        try memory.beginLife(of: fragment, as: .table)
        return fragment.first
    }

    /// Takes a table back.
    ///
    /// - Precondition: Nobody can reach the table any more.
    @inlinable
    public func free<Memory: SharedMemory>(
        _ table: PhysicalAddress, log2Bytes: Int, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let memory = copy memory
        guard let frame = map.frame(of: table) else { preconditionFailure("a table outside the map is freed") }
        let log2Count = Int(map.log2FrameBytes) - log2Bytes
        guard log2Count > 0 else { return try references.drop(on: frame, in: memory) }
        let index = Int((table.rawValue - map.address(of: frame).rawValue) >> UInt64(log2Bytes))
        try memory.endLife(of: fragment(index, of: frame, log2Count))
        let isLast = try memory.withLock(words.fragmentLock, holds: memory.enforces(.releaseFragmentUnderLock)) {
            () throws(Memory.Failure) in try giveFragment(index, of: frame, log2Count, memory)
        }
        let count = Structure.referencesOfFreedFragment(isLast: isLast)
        if count > 0 { try references.drop(count, on: frame, in: memory) }
    }

    @inlinable
    func fragment(_ index: Int, of frame: Frame, _ log2Count: Int) -> PhysicalRange {
        let log2Bytes = UInt64(Int(map.log2FrameBytes) - log2Count)
        let first = map.address(of: frame).rawValue + UInt64(index) << log2Bytes
        return PhysicalRange(first: PhysicalAddress(first), last: PhysicalAddress(first + (1 << log2Bytes) - 1))
    }

    @inlinable
    func takeFragment<Memory: SharedMemory>(
        _ log2Count: Int, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> (Frame, Int)? {
        let frame: Frame
        if let listed = try FragmentList(words, log2Count, map).first(in: memory) {
            frame = listed
        } else {
            guard let new = try cutFrame(log2Count, taking: 0, memory) else { return nil }
            try FragmentList(words, log2Count, map).insert(new, in: memory)
            frame = new
        }
        let descriptor = map.descriptor(of: frame)
        let count = 1 << log2Count
        for part in 0..<(count + 63) / 64 {
            let taken = try memory.load(descriptor.taken(part), .relaxed)
            let bit = (~taken).trailingZeroBitCount
            guard part * 64 + bit < count, bit < 64 else { continue }
            try memory.store(taken | 1 << UInt64(bit), to: descriptor.taken(part), .relaxed)
            if try isFull(descriptor, count, memory) {
                try FragmentList(words, log2Count, map).remove(frame, in: memory)
            }
            return (frame, part * 64 + bit)
        }
        return nil
    }

    /// Takes a frame and makes all of it fragments, the first ones of them taken.
    @inlinable
    func cutFrame<Memory: SharedMemory>(
        _ log2Count: Int, taking taken: Int, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        guard let frame = try references.allocator.allocateUnasked(.single, for: .table, in: memory) else { return nil }
        let descriptor = map.descriptor(of: frame)
        let count = 1 << log2Count
        for index in taken..<count { try memory.endLife(of: fragment(index, of: frame, log2Count)) }
        for part in 0..<(count + 63) / 64 {
            let bits = min(max(taken - part * 64, 0), 64)
            try memory.store(bits == 64 ? .max : 1 << UInt64(bits) - 1, to: descriptor.taken(part), .relaxed)
            try memory.store(0, to: descriptor.pending(part), .relaxed)
        }
        try Structure.frameWasCut(descriptor, fragments: UInt32(count), memory)
        return frame
    }

    /// - Returns: Whether the frame has no taken fragment any more.
    @inlinable
    func giveFragment<Memory: SharedMemory>(
        _ index: Int, of frame: Frame, _ log2Count: Int, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        let descriptor = map.descriptor(of: frame)
        let count = 1 << log2Count
        let wasFull = try isFull(descriptor, count, memory)
        let taken = try memory.load(descriptor.taken(index / 64), .relaxed)
        try memory.store(taken & ~(1 << UInt64(index % 64)), to: descriptor.taken(index / 64), .relaxed)
        let list = FragmentList(words, log2Count, map)
        if wasFull { try list.insert(frame, in: memory) }
        for part in 0..<(count + 63) / 64 where try memory.load(descriptor.taken(part), .relaxed) != 0 { return false }
        try list.remove(frame, in: memory)
        return true
    }

    @inlinable
    func isFull<Memory: SharedMemory>(
        _ descriptor: FrameDescriptor, _ count: Int, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        let all: UInt64 = count >= 64 ? .max : 1 << UInt64(count) - 1
        for part in 0..<(count + 63) / 64 where try memory.load(descriptor.taken(part), .relaxed) != all {
            return false
        }
        return true
    }
}

/// The frames of a space that have free fragments of one size, linked in both directions through their descriptors: the
/// number of the next frame plus one in the low half of the link, that of the previous one in the high half.
@usableFromInline
struct FragmentList {
    @usableFromInline
    let head: Word<UInt64>
    @usableFromInline
    let map: FrameMap

    @inlinable
    init(_ words: SpaceWords, _ log2Count: Int, _ map: FrameMap) {
        head = words.fragmentList(log2Count)
        self.map = map
    }

    @inlinable
    func frame(_ link: UInt64) -> Frame? {
        guard link != 0 else { return nil }
        let frame = Frame(UInt32(truncatingIfNeeded: link &- 1))
        return map.contains(frame) ? frame : nil
    }

    @inlinable
    func first<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> Frame? {
        frame(try memory.load(head, .relaxed))
    }

    @inlinable
    func insert<Memory: SharedMemory>(_ new: Frame, in memory: borrowing Memory) throws(Memory.Failure) {
        let next = try memory.load(head, .relaxed)
        try memory.store(next, to: map.descriptor(of: new).fragmentLink, .relaxed)
        if let frame = frame(next) { try change(frame, previous: UInt64(new.number) + 1, in: memory) }
        try memory.store(UInt64(new.number) + 1, to: head, .relaxed)
    }

    @inlinable
    func remove<Memory: SharedMemory>(_ old: Frame, in memory: borrowing Memory) throws(Memory.Failure) {
        let link = try memory.load(map.descriptor(of: old).fragmentLink, .relaxed)
        let (next, previous) = (link & 0xffff_ffff, link >> 32)
        if let frame = frame(previous) {
            try change(frame, next: next, in: memory)
        } else {
            try memory.store(next, to: head, .relaxed)
        }
        if let frame = frame(next) { try change(frame, previous: previous, in: memory) }
    }

    @inlinable
    func change<Memory: SharedMemory>(
        _ frame: Frame, next: UInt64? = nil, previous: UInt64? = nil, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let word = map.descriptor(of: frame).fragmentLink
        let link = try memory.load(word, .relaxed)
        try memory.store((previous ?? link >> 32) << 32 | (next ?? link & 0xffff_ffff), to: word, .relaxed)
    }
}
