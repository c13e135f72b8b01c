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

    /// Replaces an entry and returns what was there, at once.
    ///
    /// - Precondition: `place` is aligned to the entry's size, and the format is not accessed in halves.
    @inlinable
    public func exchange<Format: PageTableFormat>(
        with entry: Entry, _ format: Format, at place: PhysicalAddress, _ ordering: UpdateOrdering
    ) throws(Failure) -> Entry {
        precondition(!Format.isAccessedInHalves, "an entry in halves cannot be exchanged at once")
        let isSwapped = format.byteOrder != .host
        if Format.entryBytes == 8 {
            let value = isSwapped ? entry.rawValue.byteSwapped : entry.rawValue
            let old = try exchange(Word<UInt64>(aligned: place), with: value, ordering)
            return Entry(isSwapped ? old.byteSwapped : old)
        }
        let value = UInt32(truncatingIfNeeded: entry.rawValue)
        let old = try exchange(Word<UInt32>(aligned: place), with: isSwapped ? value.byteSwapped : value, ordering)
        return Entry(UInt64(isSwapped ? old.byteSwapped : old))
    }

    /// Replaces an entry if it is what is expected.
    ///
    /// - Returns: What was there, as in `Entry.rawValue`.
    /// - Precondition: As for `exchange`.
    @inlinable
    public func compareExchange<Format: PageTableFormat>(
        expected: Entry, desired: Entry, _ format: Format, at place: PhysicalAddress, _ ordering: UpdateOrdering
    ) throws(Failure) -> Exchange<UInt64> {
        precondition(!Format.isAccessedInHalves, "an entry in halves cannot be exchanged at once")
        let isSwapped = format.byteOrder != .host
        if Format.entryBytes == 8 {
            func stored(_ value: UInt64) -> UInt64 { isSwapped ? value.byteSwapped : value }
            let outcome = try compareExchange(
                Word<UInt64>(aligned: place), expected: stored(expected.rawValue), desired: stored(desired.rawValue),
                ordering)
            return Exchange(isExchanged: outcome.isExchanged, original: stored(outcome.original))
        }
        func stored(_ value: UInt64) -> UInt32 {
            let half = UInt32(truncatingIfNeeded: value)
            return isSwapped ? half.byteSwapped : half
        }
        let outcome = try compareExchange(
            Word<UInt32>(aligned: place), expected: stored(expected.rawValue), desired: stored(desired.rawValue),
            ordering)
        let original = isSwapped ? outcome.original.byteSwapped : outcome.original
        return Exchange(isExchanged: outcome.isExchanged, original: UInt64(original))
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
