import PageTables

extension SharedMemory {
    /// One store of an entry of `format`, which knows its width and byte order; several where the format is accessed in
    /// halves (`EntryHalves.swift`).
    ///
    /// - Precondition: `place` is aligned to the entry's size.
    @inlinable
    @inline(__always)
    public func store<Format: PageTableFormat>(
        _ entry: Entry, _ format: Format, at place: PhysicalAddress, _ ordering: StoreOrdering
    ) throws(Failure) {
        let isSwapped = format.byteOrder != .host
        if Format.isAccessedInHalves {
            try storeHalves(entry, format, at: place, ordering)
        } else if Format.entryBytes == 8 {
            let value = entry.rawValue
            try store(isSwapped ? value.byteSwapped : value, to: Word<UInt64>(aligned: place), ordering)
        } else {
            let value = UInt32(truncatingIfNeeded: entry.rawValue)
            try store(isSwapped ? value.byteSwapped : value, to: Word<UInt32>(aligned: place), ordering)
        }
    }

    /// Puts an entry in the place of another that is still there, in one update: whoever else changes it, hardware included,
    /// does so before or after.
    ///
    /// - Returns: What was there; nothing has changed unless that is `entry`.
    /// - Precondition: The format is not accessed in halves, and `place` is aligned to the entry's size.
    @inlinable
    public func replace<Format: PageTableFormat>(
        _ entry: Entry, with new: Entry, _ format: Format, at place: PhysicalAddress, _ ordering: UpdateOrdering
    ) throws(Failure) -> Entry {
        let isSwapped = format.byteOrder != .host
        if Format.entryBytes == 8 {
            let (old, new) = (entry.rawValue, new.rawValue)
            let found = try compareExchange(
                Word<UInt64>(aligned: place), expected: isSwapped ? old.byteSwapped : old,
                desired: isSwapped ? new.byteSwapped : new, ordering
            ).original
            return Entry(isSwapped ? found.byteSwapped : found)
        }
        let old = UInt32(truncatingIfNeeded: entry.rawValue)
        let new = UInt32(truncatingIfNeeded: new.rawValue)
        let found = try compareExchange(
            Word<UInt32>(aligned: place), expected: isSwapped ? old.byteSwapped : old,
            desired: isSwapped ? new.byteSwapped : new, ordering
        ).original
        return Entry(UInt64(isSwapped ? found.byteSwapped : found))
    }

    /// Makes every entry of a table that nobody else can see `entry`.
    @inlinable
    public func fill<Format: PageTableFormat>(
        _ table: PhysicalRange, with entry: Entry, _ format: Format
    ) throws(Failure) {
        var pattern = entry.rawValue
        if Format.entryBytes == 4 {
            let half = UInt32(truncatingIfNeeded: pattern)
            let stored = UInt64(format.byteOrder == .host ? half : half.byteSwapped)
            pattern = stored &<< 32 | stored
        } else if format.byteOrder != .host {
            pattern = pattern.byteSwapped
        }
        try fill(table, with: pattern)
    }
}
