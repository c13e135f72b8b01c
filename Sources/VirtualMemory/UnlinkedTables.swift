import PageTables
import TableMemory

// Tables on their way back.
//
//   1. Whoever unlinks a table puts it into the operation's batch, while the space's lock is held.
//   2. When the lock is released, the operation waits once for everybody who may still walk one of them, by the policy of
//      the space (`TableReclaimer`), and frees them all.                                            [deferTableFree]
//
// A batch needs memory, and there may be none. Then, as Linux does it (v6.19, mm/mmu_gather.c, tlb_remove_table_one):
//   - where readers are waited for by interrupts, the operation waits at once and frees the table;  [syncWhenBatchFails]
//   - under RCU the table waits with the others, linked through its frame's descriptor. The link is a word of its own, and
//     its frame may at the same time be on the list of frames that have free fragments. A frame has one link only: if
//     another of its fragments waits already, the operation waits at once. So does whoever unlinks tables without the
//     writer's lock (`LiveSpace+Retract`), since links are not atomic.

extension SafetyRule {
    @inlinable
    public static var syncWhenBatchFails: SafetyRule {
        SafetyRule(
            name: "syncWhenBatchFails",
            demand: "A table for which there is no batch is freed only after its readers were waited for.",
            history: "The way without a batch is hardly ever taken, and forgot to invalidate and to wait (Linux, 2018)."
        )
    }
}

/// The tables that one operation has unlinked and not freed yet.
@usableFromInline
struct UnlinkedTables<Structure: SpaceStructure> {
    /// As many as a page of 4 KiB with a header would hold.
    @inlinable
    static var capacity: Int { 510 }

    @usableFromInline
    let tables: TableAllocator<Structure>
    @usableFromInline
    let reclaimer: TableReclaimer
    /// Whether nobody else unlinks tables at the same time: links are changed by whoever holds the writer's lock only.
    @usableFromInline
    let isAlone: Bool
    @usableFromInline
    var batch: [(table: PhysicalAddress, log2Bytes: Int)] = []
    /// The first frame, plus one, of those that are linked through their descriptors.
    @usableFromInline
    var chain: UInt64 = 0

    @inlinable
    init(_ tables: TableAllocator<Structure>, _ reclaimer: TableReclaimer, isAlone: Bool = true) {
        self.tables = tables
        self.reclaimer = reclaimer
        self.isAlone = isAlone
    }

    @inlinable
    var isEmpty: Bool { batch.isEmpty && chain == 0 }

    /// Takes a table that no entry points to any more.
    ///
    /// - Parameter prepare: Runs before tables are freed at once, for want of room.
    @inlinable
    mutating func add<Memory: SharedMemory>(
        _ table: PhysicalAddress, log2Bytes: Int, in memory: borrowing Memory,
        beforeFreeing prepare: () throws(Memory.Failure) -> Void = {}
    ) throws(Memory.Failure) {
        memory.count(.tableFreed)
        if batch.count == Self.capacity {
            try prepare()
            try free(in: memory)
        }
        if !batch.isEmpty {
            batch.append((table, log2Bytes))
        } else if try memory.allows(.batch) {
            batch.reserveCapacity(16)
            batch.append((table, log2Bytes))
        } else {
            try addWithoutBatch(table, log2Bytes, in: memory, beforeFreeing: prepare)
        }
    }

    @inlinable
    mutating func addWithoutBatch<Memory: SharedMemory>(
        _ table: PhysicalAddress, _ log2Bytes: Int, in memory: borrowing Memory,
        beforeFreeing prepare: () throws(Memory.Failure) -> Void
    ) throws(Memory.Failure) {
        if reclaimer.policy == .rcu, isAlone, try link(table, log2Bytes, in: memory) { return }
        try prepare()
        if memory.enforces(.syncWhenBatchFails) { try reclaimer.wait(in: memory) }
        try tables.free(table, log2Bytes: log2Bytes, in: memory)
    }

    /// - Returns: False if the table's frame waits already.
    @inlinable
    mutating func link<Memory: SharedMemory>(
        _ table: PhysicalAddress, _ log2Bytes: Int, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Bool {
        let map = tables.map
        guard let frame = map.frame(of: table) else { preconditionFailure("a table outside the map is freed") }
        let descriptor = map.descriptor(of: frame)
        let log2Count = max(Int(map.log2FrameBytes) - log2Bytes, 0)
        let parts = ((1 << log2Count) + 63) / 64
        for part in 0..<parts where try memory.load(descriptor.pending(part), .acquire) != 0 { return false }
        let index = Int((table.rawValue - map.address(of: frame).rawValue) >> UInt64(log2Bytes))
        try memory.store(1 << UInt64(index % 64), to: descriptor.pending(index / 64), .relaxed)
        // The size is kept with the link: a frame does not say of what size its fragments are.
        try memory.store(chain | UInt64(log2Bytes) << 32, to: Structure.deferredLink(descriptor), .relaxed)
        chain = UInt64(frame.number) + 1
        return true
    }

    /// Waits for the readers, and frees everything.
    ///
    /// - Precondition: The caller is in no section.
    @inlinable
    mutating func free<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        if isEmpty { return }
        if memory.enforces(.deferTableFree) { try reclaimer.wait(in: memory) }
        for entry in batch { try tables.free(entry.table, log2Bytes: entry.log2Bytes, in: memory) }
        batch.removeAll(keepingCapacity: true)
        while chain != 0 {
            let frame = Frame(UInt32(truncatingIfNeeded: chain &- 1))
            guard tables.map.contains(frame) else { break }
            chain = try freePending(of: frame, in: memory)
        }
        chain = 0
    }

    /// Frees the fragment of a frame that waits, and returns what the frame's link led to.
    @inlinable
    func freePending<Memory: SharedMemory>(
        of frame: Frame, in memory: borrowing Memory
    ) throws(Memory.Failure) -> UInt64 {
        let map = tables.map
        let descriptor = map.descriptor(of: frame)
        let link = try memory.load(Structure.deferredLink(descriptor), .relaxed)
        let log2Bytes = Int(link >> 32 & 63)
        let log2Count = min(max(Int(map.log2FrameBytes) - log2Bytes, 0), 8)
        for part in 0..<((1 << log2Count) + 63) / 64 {
            let pending = try memory.load(descriptor.pending(part), .relaxed)
            guard pending != 0 else { continue }
            // The link is free before the fragment is: afterwards the frame may be somebody else's.
            try memory.store(0, to: descriptor.pending(part), .release)
            let index = part * 64 + pending.trailingZeroBitCount
            let table = map.address(of: frame).rawValue + UInt64(index) << UInt64(log2Bytes)
            try tables.free(PhysicalAddress(table), log2Bytes: log2Bytes, in: memory)
            break
        }
        return link & 0xffff_ffff
    }
}
