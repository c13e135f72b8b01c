import PageTables
import TableMemory

// How a reference to a frame is taken by somebody who holds no lock (after Linux's try_get_folio, v6.19, mm/gup.c).
//
// Taking:
//   1. load the block word of the frame: it leads to the head, whose counts are the block's;
//   2. add to the head's references unless they are zero: zero says that the block is being freed, and a frame that is
//      being freed is not revived;                                                              [pinOnlyLiveFrame]
//      nor if there are 2^31 already, before they run over and a frame is freed that somebody has pinned;
//   3. load the block word again: if the block was split or freed and allocated anew in between, the reference is on the
//      wrong head: drop it and start again.                                                     [recheckHeadAfterPin]
// The update of step 2 is a full barrier: whoever took the reference and then looks at an entry again cannot see the entry
// from before.
//
// Dropping: subtract; whoever brings the references to zero owns the block and frees it. That may be a walker that took its
// reference in vain, when the owner let go in between (the scenario `block-reused-while-pinned` found that leak).
//
// Whoever maps a block has a reference to it, and so adds without a condition and looks afterwards: more than 2^31 are given
// back. What is left up to 2^32 is for those who add at the same time, and for those who are never refused.
//
// Pinning: a pin is a reference that says "somebody reads or writes through a physical address for long". Of a single frame
// pins are counted in the references, `bias` for each, so that one word tells both and one update takes both; a large
// block has a word of its own for them.

extension SafetyRule {
    @inlinable
    public static var pinOnlyLiveFrame: SafetyRule {
        SafetyRule(
            name: "pinOnlyLiveFrame",
            demand: "A reference without a lock is taken only while the count is not zero.",
            history:
                "A count that is raised from zero belongs to a frame that the allocator is handing to somebody else.")
    }

    @inlinable
    public static var recheckHeadAfterPin: SafetyRule {
        SafetyRule(
            name: "recheckHeadAfterPin",
            demand: "After a reference was taken on the head of a block, the frame still belongs to that head.",
            history:
                "A block that was split in between left the reference on another frame (Linux, try_get_compound_head).")
    }
}

/// References and pins of frames, and their end: the last one gone frees the block.
public struct FrameReferences: Sendable {
    public let allocator: FrameAllocator
    public let map: FrameMap

    @inlinable
    public init(_ allocator: FrameAllocator) {
        self.allocator = allocator
        map = allocator.map
    }

    /// What one pin adds to the references of a single frame.
    @inlinable
    public static var bias: UInt32 { 1024 }

    /// A block with as many references gets no more: no number that one call adds is as large.
    @inlinable
    public static var most: UInt32 { 1 << 31 }

    /// Takes `count` references on the block of a frame.
    ///
    /// - Returns: The head that the references are on; `nil` if the block is free or being freed, or has `most` already.
    /// - Complexity: One update, unless blocks are split meanwhile.
    @inlinable
    public func take<Memory: SharedMemory>(
        _ count: UInt32 = 1, on frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        try take(count, asPins: false, on: frame, map.descriptor(of: frame), in: memory)
    }

    /// As `take`, for pins, which are references as well: one update for a single frame, two for a large block.
    @inlinable
    @inline(__always)
    public func takePins<Memory: SharedMemory>(
        _ count: UInt32 = 1, on frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        try take(count, asPins: true, on: frame, map.descriptor(of: frame), in: memory)
    }

    @inlinable
    @inline(__always)
    func take<Memory: SharedMemory>(
        _ count: UInt32, asPins: Bool, on frame: Frame, _ own: FrameDescriptor, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        let attempt = try Self.attempt(count, asPins: asPins, own, in: memory)
        switch attempt {
        case .taken: return frame
        case .refused: return nil
        case .isLarge, .isAstray: return try take(count, asPins: asPins, on: frame, after: attempt, in: memory)
        }
    }

    /// What came of taking the references of a frame as those of a single one, which nearly always is all there is to do.
    @usableFromInline
    enum Attempt {
        case taken
        /// The frame is free or being freed, or has too many references.
        case refused
        /// Nothing was taken: the references are the head's.
        case isLarge
        /// The references are on the frame, and do not belong there any more.
        case isAstray
    }

    /// Steps 1 to 3 for a single frame.
    ///
    /// - Parameter own: The descriptor of the frame.
    @inlinable
    @inline(__always)
    static func attempt<Memory: SharedMemory>(
        _ count: UInt32, asPins: Bool, _ own: FrameDescriptor, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Attempt {
        let block = FrameBlock(rawValue: try memory.load(own.block, .acquire))
        if _slowPath(block.isLarge) { return .isLarge }
        let isRaised = try raise(own.references, by: asPins ? count &* bias : count, in: memory)
        if _slowPath(!isRaised) { return .refused }
        let isStill = try isStill(block, own, in: memory)
        return _fastPath(isStill) ? .taken : .isAstray
    }

    /// The rest, when an attempt has not decided; out of line, so that it costs nothing.
    @inlinable
    @inline(never)
    func take<Memory: SharedMemory>(
        _ count: UInt32, asPins: Bool, on frame: Frame, after attempt: Attempt, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        if attempt == .isAstray { try drop(asPins ? count &* Self.bias : count, on: frame, in: memory) }
        let own = map.descriptor(of: frame)
        let block = FrameBlock(rawValue: try memory.load(own.block, .acquire))
        guard block.isLarge else { return try take(count, asPins: asPins, on: frame, own, in: memory) }
        let head = block.head(of: frame)
        guard map.contains(head) else { return nil }
        let counts = map.descriptor(of: head)
        guard try Self.raise(counts.references, by: count, in: memory) else { return nil }
        guard try Self.isStill(block, own, in: memory) else {
            try drop(count, on: head, in: memory)
            return try take(count, asPins: asPins, on: frame, own, in: memory)
        }
        if asPins { _ = try memory.add(count, to: counts.pins, .full) }
        return head
    }

    /// Step 3.
    @inlinable
    @inline(__always)
    static func isStill<Memory: SharedMemory>(
        _ block: FrameBlock, _ own: FrameDescriptor, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        var isStill = true
        if memory.enforces(.recheckHeadAfterPin) {
            isStill = try memory.load(own.block, .acquire) == block.rawValue
        }
        return isStill
    }

    /// - Returns: False if the references were zero, or `most` and above, and then they still are.
    @inlinable
    static func raise<Memory: SharedMemory>(
        _ references: Word<UInt32>, by count: UInt32, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        if memory.enforces(.pinOnlyLiveFrame) {
            return try memory.addIfPositive(count, to: references, .full) != nil
        }
        _ = try memory.add(count, to: references, .full)
        return true
    }

    /// Counts `pages` more mappings of the block of a frame, each with a reference.
    ///
    /// - Returns: False if the block has `most` references already; nothing is counted then.
    /// - Precondition: The caller has a reference, which keeps the block.
    @inlinable
    public func addMappings<Memory: SharedMemory>(
        _ pages: UInt32, of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        let counts = map.descriptor(of: try head(of: frame, in: memory))
        let before = try memory.add(pages, to: counts.references, .relaxed)
        if _slowPath(before >= Self.most) {
            _ = try memory.add(0 &- pages, to: counts.references, .relaxed)
            return false
        }
        _ = try memory.add(pages, to: counts.mapCount, .relaxed)
        return true
    }

    /// Takes one more reference on a block, which is not refused.
    ///
    /// - Precondition: The caller knows of a reference that stays until this returns, and does not take many.
    func addReference<Memory: SharedMemory>(to head: Frame, in memory: borrowing Memory) throws(Memory.Failure) {
        _ = try memory.add(1, to: map.descriptor(of: head).references, .relaxed)
    }

    /// Gives up mappings and their references, and frees the block if those were the last.
    ///
    /// - Precondition: No entry maps the pages any more: an entry that is cleared later may be pinned through.
    @inlinable
    public func dropMappings<Memory: SharedMemory>(
        _ pages: UInt32, of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let head = try head(of: frame, in: memory)
        _ = try memory.add(0 &- pages, to: map.descriptor(of: head).mapCount, .relaxed)
        try drop(pages, on: head, in: memory)
    }

    /// - Precondition: The caller has a reference, which keeps the block.
    @inlinable
    func head<Memory: SharedMemory>(
        of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame {
        FrameBlock(rawValue: try memory.load(map.descriptor(of: frame).block, .relaxed)).head(of: frame)
    }

    /// Drops references, and frees the block if they were the last.
    @inlinable
    public func drop<Memory: SharedMemory>(
        _ count: UInt32 = 1, on head: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let before = try memory.add(0 &- count, to: map.descriptor(of: head).references, .acquireRelease)
        if before <= count { try end(before, count, of: head, in: memory) }
    }

    /// The last references are gone, and the block with them.
    @inlinable
    @inline(never)
    func end<Memory: SharedMemory>(
        _ before: UInt32, _ count: UInt32, of head: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        if before < count { try memory.broke("more references of a frame are dropped than were taken") }
        precondition(before == count, "more references of a frame are dropped than were taken")
        try allocator.free(head, in: memory)
    }

    /// What a frame is attached to.
    @inlinable
    func owner<Memory: SharedMemory>(
        of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> FrameOwner {
        FrameOwner(rawValue: try memory.load(map.descriptor(of: frame).mapping, .acquire))
    }

    /// Drops pins and the references under them, and frees the block if those were the last.
    @inlinable
    public func unpin<Memory: SharedMemory>(
        _ count: UInt32 = 1, on head: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let counts = map.descriptor(of: head)
        let block = FrameBlock(rawValue: try memory.load(counts.block, .relaxed))
        if block.isLarge {
            _ = try memory.add(0 &- count, to: counts.pins, .release)
            try drop(count, on: head, in: memory)
        } else {
            try drop(count &* Self.bias, on: head, in: memory)
        }
    }

    /// Whether a block may be pinned: exact for large blocks; of a single frame, many plain references look like a pin.
    /// Never wrong in saying no.
    @inlinable
    public func mayBePinned<Memory: SharedMemory>(
        _ head: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        let counts = map.descriptor(of: head)
        let block = FrameBlock(rawValue: try memory.load(counts.block, .relaxed))
        if block.isLarge { return try memory.load(counts.pins, .acquire) != 0 }
        return try memory.load(counts.references, .acquire) >= Self.bias
    }
}
