import PageTables
import TableMemory

// How frames are handed out and come back.
//
// Free blocks of each order are kept apart, aligned to their size. A block that is wanted and not there is cut out of a
// larger one; a block that comes back is joined with its buddy, the other half of the block twice as large, as long as that
// is free as well. All of this is ordinary values, used under the allocator's lock only.
//
// What lock-free readers see are the words of descriptors, in this order:
//   - handing out: the block words of all frames, then references 0 -> 1 with release: who sees a count sees the block;
//   - coming back: the references are zero already, and nobody can raise them; then the block words of all frames are made
//     those of single frames, before anybody else can get one of them. A frame whose block word still led to the old head
//     would let a walker take its reference there after the head was handed out anew, and looking at the word again would not
//     tell (the scenario `block-reused-while-pinned` found that in the first version of this file).

extension SafetyRule {
    @inlinable
    public static var forgetBlockBeforeReuse: SafetyRule {
        SafetyRule(
            name: "forgetBlockBeforeReuse",
            demand: "The frames of a block stop leading to its head before the head is handed out again.",
            history:
                "A walker that came by a frame of the old block took its reference on a head that was somebody else's.")
    }
}

/// Hands out blocks of contiguous frames.
public final class FrameAllocator: @unchecked Sendable {
    // Unchecked: the free blocks are used by whoever holds the lock, which is a word of the shared memory and unknown to the
    // compiler.

    public let map: FrameMap
    @usableFromInline
    let lock: TicketLock
    @usableFromInline
    var free: FreeBlocks
    private var fileNumbers: UInt64 = 0

    /// All frames of a map are free in the beginning.
    ///
    /// - Parameter lock: 8 bytes of bookkeeping, zero.
    public init(_ map: FrameMap, lock: PhysicalAddress) {
        self.map = map
        self.lock = TicketLock(at: lock)
        free = FreeBlocks(first: map.first, count: map.frameCount)
    }

    /// Takes a block, with one reference on it.
    ///
    /// - Returns: The head; `nil` if there is no such block, or failure was injected.
    /// - Complexity: The number of orders, and one word for each frame of the block.
    @inlinable
    public func allocate<Memory: SharedMemory>(
        _ order: FrameOrder = .single, for kind: AllocationKind = .frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        guard try memory.allows(kind) else { return nil }
        return try allocateUnasked(order, for: kind, in: memory)
    }

    /// As `allocate`, for a caller that has asked already whether the allocation is to succeed.
    @inlinable
    func allocateUnasked<Memory: SharedMemory>(
        _ order: FrameOrder, for kind: AllocationKind, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Frame? {
        guard let head = try underLock(memory, { $0.take(order) }) else { return nil }
        try memory.beginLife(of: map.range(of: head, order), as: kind == .table ? .table : .frame)
        for number in 0..<order.frameCount {
            let descriptor = map.descriptor(of: Frame(head.number + number))
            try memory.store(FrameBlock(order: order).rawValue, to: descriptor.block, .relaxed)
        }
        let descriptor = map.descriptor(of: head)
        let owner = kind == .table ? 0 : FrameOwner.anonymous.rawValue
        try memory.store(owner, to: descriptor.mapping, .relaxed)
        try memory.store(1, to: descriptor.references, .release)
        return head
    }

    /// Takes a block back.
    ///
    /// - Precondition: The references of the head are zero, and the caller brought them there.
    @inlinable
    public func free<Memory: SharedMemory>(
        _ head: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        let descriptor = map.descriptor(of: head)
        let order = FrameBlock(rawValue: try memory.load(descriptor.block, .relaxed)).order
        if memory.enforces(.forgetBlockBeforeReuse) {
            for number in 0..<order.frameCount {
                let frame = map.descriptor(of: Frame(head.number + number))
                try memory.store(FrameBlock(order: .single).rawValue, to: frame.block, .relaxed)
            }
        }
        try memory.endLife(of: map.range(of: head, order))
        let isFirst = try underLock(memory) { $0.give(head, order) }
        if !isFirst { try memory.broke("a frame is freed twice") }
        precondition(isFirst, "a frame is freed twice")
    }

    /// A number for a file with pages among the frames: from 1 on, each only once.
    func newFileNumber<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> UInt64 {
        try memory.withLock(lock) { (_) throws(Memory.Failure) in
            fileNumbers += 1
            return fileNumbers
        }
    }

    /// Frames that are free. Exact only while nobody else allocates.
    @inlinable
    public func freeFrameCount<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) -> UInt64 {
        try underLock(memory) { $0.frameCount }
    }

    /// The access to `free` begins and ends within the lock, and no call of the seam is inside it.
    @inlinable
    func underLock<Memory: SharedMemory, Result>(
        _ memory: borrowing Memory, _ body: (inout FreeBlocks) -> Result
    ) throws(Memory.Failure) -> Result {
        try memory.withLock(lock) { (_) throws(Memory.Failure) in body(&free) }
    }
}
