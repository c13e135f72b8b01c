import CHostAtomics
import PageTables
import TableMemory

/// Real memory, as one thread of a process sees it: the seam over an arena of words that other threads change.
///
/// A thread gets its view from `HostProcessors.attach()` or `withProcessor`, and gives it up by `detach()`. Until then the
/// processors and their arena stay; afterwards the view, and every table that was found through it, is not to be used.
///
/// Addresses are physical: offsets into the arena. They come from the space's own tables and descriptors, which only the
/// space writes, so one outside of the arena is a mistake in the space and not an input. Debug builds trap on it;
/// optimised builds do not check, because the check would be in every load of every walk.
public struct HostMemory: SharedMemory {
    public typealias Failure = Never

    /// Entries of a table, in place.
    public struct Table {
        @usableFromInline
        let entries: UnsafeMutableRawPointer

        @inlinable
        init(entries: UnsafeMutableRawPointer) { self.entries = entries }
    }

    // Pointers and not references: what is copied into every witness is not to be counted. The owner is retained for as
    // long as the thread is attached, and keeps what the pointers point to.
    @usableFromInline
    let base: UnsafeMutableRawPointer
    @usableFromInline
    let shared: SharedState
    @usableFromInline
    let slot: ProcessorSlot
    var owner: Unmanaged<HostProcessors> { shared.owner }

    init(base: UnsafeMutableRawPointer, shared: SharedState, slot: ProcessorSlot) {
        self.base = base
        self.shared = shared
        self.slot = slot
    }

    /// Gives up the view; its number is free for another thread.
    ///
    /// - Precondition: The thread is attached, and in no section.
    public func detach() {
        precondition(
            !slot.isInside(.interruptsBlocked) && !slot.isInside(.reader), "a processor detaches inside a section")
        owner.takeUnretainedValue().detach(slot)
        owner.release()
    }

    /// Size of the arena in bytes.
    @inlinable
    public var byteCount: UInt64 { shared.byteCount }

    @inlinable
    @inline(__always)
    func pointer(_ address: PhysicalAddress, bytes: UInt64) -> UnsafeMutableRawPointer {
        assert(
            bytes <= byteCount && address.rawValue <= byteCount &- bytes, "an address is outside of the arena")
        return base + Int(truncatingIfNeeded: address.rawValue)
    }
}

extension HostMemory {
    /// One load, which acquires: what it leads to was written before it.
    ///
    /// - Precondition: `address` is a multiple of 8.
    @inlinable
    public func load64(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt64 {
        Self.entry64(pointer(address, bytes: 8), order)
    }

    /// - Precondition: `address` is a multiple of 4.
    @inlinable
    public func load32(_ address: PhysicalAddress, _ order: ByteOrder) -> UInt32 {
        Self.entry32(pointer(address, bytes: 4), order)
    }

    @inlinable
    public func table(at address: PhysicalAddress, bytes: Int) -> Table {
        Table(entries: pointer(address, bytes: UInt64(truncatingIfNeeded: bytes)))
    }

    /// One load, which acquires.
    @inlinable
    public func load64(_ table: Table, index: Int, _ order: ByteOrder) -> UInt64 {
        Self.entry64(table.entries + index &* 8, order)
    }

    @inlinable
    public func load32(_ table: Table, index: Int, _ order: ByteOrder) -> UInt32 {
        Self.entry32(table.entries + index &* 4, order)
    }

    @inlinable
    @inline(__always)
    static func entry64(_ place: UnsafeMutableRawPointer, _ order: ByteOrder) -> UInt64 {
        assert(UInt(bitPattern: place) % 8 == 0, "an entry is not aligned")
        let value = host_load_acquire64(place.assumingMemoryBound(to: UInt64.self))
        return order == .host ? value : value.byteSwapped
    }

    @inlinable
    @inline(__always)
    static func entry32(_ place: UnsafeMutableRawPointer, _ order: ByteOrder) -> UInt32 {
        assert(UInt(bitPattern: place) % 4 == 0, "an entry is not aligned")
        let value = host_load_acquire32(place.assumingMemoryBound(to: UInt32.self))
        return order == .host ? value : value.byteSwapped
    }
}

extension HostMemory {
    /// Traps if memory is poisoned at the end of a life, and was written to since.
    @inlinable
    public func beginLife(of range: PhysicalRange, as kind: ObjectKind) {
        if _slowPath(shared.poisons) { requirePoison(range) }
    }

    @inlinable
    public func endLife(of range: PhysicalRange) {
        if _slowPath(shared.poisons) { poison(range) }
    }

    @usableFromInline
    func poison(_ range: PhysicalRange) { fill(range, with: shared.poison) }

    @usableFromInline
    func requirePoison(_ range: PhysicalRange) {
        guard let bytes = range.byteCount else { preconditionFailure("an arena does not have 2^64 bytes") }
        let words = pointer(range.first, bytes: bytes).assumingMemoryBound(to: UInt64.self)
        for index in 0..<Int(bytes / 8) where words[index] != shared.poison {
            preconditionFailure(
                "memory at \(PhysicalAddress(range.first.rawValue + UInt64(index) * 8)) was written to after it was freed"
            )
        }
    }

    /// - Precondition: The range is of whole words of 8 bytes, aligned.
    public func fill(_ range: PhysicalRange, with pattern: UInt64) {
        guard let bytes = range.byteCount else { preconditionFailure("an arena does not have 2^64 bytes") }
        precondition(
            range.first.rawValue % 8 == 0 && bytes % 8 == 0 && range.last.rawValue < byteCount,
            "a range to be filled is whole words of the arena")
        // Not atomic, because nobody else sees the object: the compiler may use the widest stores there are.
        let words = pointer(range.first, bytes: bytes).assumingMemoryBound(to: UInt64.self)
        host_fill(words, pattern, bytes / 8)
    }

    /// An increment of a word that nobody else looks at.
    @inlinable
    @inline(__always)
    public func count(_ event: SpaceEvent) { slot.events(event).pointee &+= 1 }

    /// How often this processor has counted an event since it was attached.
    public func eventCount(_ event: SpaceEvent) -> UInt64 { slot.events(event).pointee }

    public func allows(_ allocation: AllocationKind) -> Bool {
        let failures = owner._withUnsafeGuaranteedRef { $0.failures }
        guard !failures.isNever, failures.kinds.contains(FailurePolicy.Kinds(allocation)) else { return true }
        slot.allocations.pointee &+= 1
        return !failures.fails(slot.allocations.pointee, on: processor)
    }
}
