import PageTables

// Entries of 64 bits on a machine that accesses 32 bits at once: 32-bit x86 with PAE (after Linux's
// CONFIG_GUP_GET_PXX_LOW_HIGH, v6.19: include/linux/pgtable.h, arch/x86/include/asm/pgtable-3level.h).
//
// The low half says whether an entry maps anything: if it is zero the entry maps nothing, whatever the high half is.
//
//   setting:    1. store the high half, which nobody looks at yet;                                 [setHighHalfFirst]
//               2. store the low half.
//   clearing:   1. store zero to the low half;                                                     [clearLowHalfFirst]
//               2. store zero to the high half.
//   replacing:  if only the low half changes, store it: a reader sees the one mapping or the other.     [replaceLowHalfAlone]
//               Else clear the low half, then set. An entry never goes from one high half to another directly.
//                                                                                                  [clearLowHalfFirst]
//   reading:    1. load the low half; zero is nothing, and the end;
//               2. load the high half;
//               3. load the low half again; if it has changed, start again.                        [recheckLowHalf]
//
// Each store of a half releases the one before, each load acquires. Whoever stores is alone: the space's lock is held for
// writing, or the lock of the table, or nobody sees the table.
//
// What a reader without a lock sees: where both halves change, an entry that is replaced is a hole for a moment, between the
// stores that clear and set the low half. Two stores cannot do better; Linux's walkers meet the same while a huge page is split
// (pmd_none). Who splits a large leaf, replaces a page by a copy, or changes a right that the high half holds (execution, in PAE)
// lets walkers, translations and surveys find nothing where there is a page all the time; a pin retreats. Changing the rights
// of the low half does not. Who has to know, and holds the space's lock for reading, looks again with the table's lock
// held.                                                                    [confirmHoleUnderLock, in LiveSpace+LockedLeaves]
//
// What the second look cannot see: between 1 and 3 the entry may have been cleared and set again with the same low half. The
// high half is then that of the old mapping, that of the new one, or zero, and zero with that low half is a page that
// was never mapped. Nor does looking yet again help, since the entry may go to and fro at the pace of the reader. So the
// side that changes entries has to prevent it: an entry that was cleared or replaced gets another mapping only after
// everybody was waited for who may be reading it                                    [waitBeforeEntryReuse, in SpaceEditor+Reuse]
// Of one section, a reader then sees an entry replaced or cleared at most once (a replacement alone is harmless: its high half
// is the old one or the new one, and the low half of either was there). Linux relies on the same: what waits there is the
// flushing of translations, whose interrupt a processor that reads with interrupts blocked does not take.

extension SafetyRule {
    @inlinable
    public static var setHighHalfFirst: SafetyRule {
        SafetyRule(
            name: "setHighHalfFirst",
            demand: "The half of an entry that makes it valid is stored last.",
            history: "A walker that loads the halves in any order sees a table at half an address (Linux 3.5, PAE).")
    }

    @inlinable
    public static var clearLowHalfFirst: SafetyRule {
        SafetyRule(
            name: "clearLowHalfFirst",
            demand: "The high half of an entry changes only while the low half says that there is nothing.",
            history:
                "A page of which one half is of one mapping and one of another (Linux, PAE: see ptep_get_lockless).")
    }

    @inlinable
    public static var replaceLowHalfAlone: SafetyRule {
        SafetyRule(
            name: "replaceLowHalfAlone",
            demand: "An entry of which only the low half changes maps something all the time.",
            history: "A page that was mapped all the time was not found while its rights changed.")
    }

    @inlinable
    public static var recheckLowHalf: SafetyRule {
        SafetyRule(
            name: "recheckLowHalf",
            demand: "After the high half was loaded, the low half still is what it was.",
            history: "The halves are of two mappings, and the wrong page is pinned (Linux, PAE: see ptep_get_lockless)."
        )
    }
}

/// Where the halves of an entry are, in halves.
@usableFromInline
struct HalfOffsets {
    @usableFromInline
    let low: UInt64
    @usableFromInline
    var high: UInt64 { 1 &- low }

    @inlinable
    init(_ order: ByteOrder) { low = order == .little ? 0 : 1 }
}

extension TableMemory where Self: ~Copyable & ~Escapable {
    @inlinable
    func loadHalves<Format: PageTableFormat>(
        _ format: Format, _ address: PhysicalAddress
    ) throws(Failure) -> Entry {
        let (order, offsets) = (format.byteOrder, HalfOffsets(format.byteOrder))
        let lowPlace = PhysicalAddress(address.rawValue &+ offsets.low &* 4)
        while true {
            let low = try load32(lowPlace, order)
            if low == 0 { return Entry(0) }
            let high = try load32(PhysicalAddress(address.rawValue &+ offsets.high &* 4), order)
            var isWhole = true
            if enforces(.recheckLowHalf) { isWhole = try load32(lowPlace, order) == low }
            if isWhole { return Entry(UInt64(high) &<< 32 | UInt64(low)) }
        }
    }

    /// As with an address.
    @inlinable
    func loadHalves<Format: PageTableFormat>(
        _ format: Format, _ table: Table, index: Int
    ) throws(Failure) -> Entry {
        let (order, offsets) = (format.byteOrder, HalfOffsets(format.byteOrder))
        let lowIndex = index &* 2 &+ Int(truncatingIfNeeded: offsets.low)
        while true {
            let low = try load32(table, index: lowIndex, order)
            if low == 0 { return Entry(0) }
            let high = try load32(table, index: index &* 2 &+ Int(truncatingIfNeeded: offsets.high), order)
            var isWhole = true
            if enforces(.recheckLowHalf) { isWhole = try load32(table, index: lowIndex, order) == low }
            if isWhole { return Entry(UInt64(high) &<< 32 | UInt64(low)) }
        }
    }
}

extension SharedMemory {
    /// - Precondition: Nobody else stores to the entry.
    @inlinable
    func storeHalves<Format: PageTableFormat>(
        _ entry: Entry, _ format: Format, at place: PhysicalAddress, _ ordering: StoreOrdering
    ) throws(Failure) {
        let offsets = HalfOffsets(format.byteOrder)
        let isSwapped = format.byteOrder != .host
        func stored(_ half: UInt64) -> UInt32 {
            let value = UInt32(truncatingIfNeeded: half)
            return isSwapped ? value.byteSwapped : value
        }
        let lowWord = Word<UInt32>(aligned: PhysicalAddress(place.rawValue &+ offsets.low &* 4))
        let highWord = Word<UInt32>(aligned: PhysicalAddress(place.rawValue &+ offsets.high &* 4))
        let (low, high) = (stored(entry.rawValue), stored(entry.rawValue &>> 32))
        var isReplaced = false
        if low != 0 { isReplaced = try load(lowWord, .relaxed) != 0 }
        if isReplaced, enforces(.replaceLowHalfAlone), try load(highWord, .relaxed) == high {
            return try store(low, to: lowWord, ordering)
        }
        var isLowStored = false
        if enforces(.clearLowHalfFirst) {
            isLowStored = low == 0
            if isLowStored || isReplaced { try store(0, to: lowWord, ordering) }
        }
        let isHighFirst = enforces(.setHighHalfFirst)
        if isHighFirst { try store(high, to: highWord, .release) }
        if !isLowStored { try store(low, to: lowWord, ordering) }
        if !isHighFirst { try store(high, to: highWord, .release) }
    }
}
