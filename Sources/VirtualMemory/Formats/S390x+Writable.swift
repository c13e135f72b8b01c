import PageTables

// A space begins with three levels (4 TiB) or two (2 GiB) and can grow to five, as Linux's do (v6.19,
// arch/s390/mm/pgalloc.c, crst_table_upgrade). Region and segment tables are blocks of four frames, page tables are
// halves of one.

extension S390x: UnsignedFormat {
    @inlinable
    public var log2FrameBytes: UInt8 { 12 }
    @inlinable
    public var topLevels: ClosedRange<Level> { Level(1)...Level(4) }

    @inlinable
    public func emptyEntry(at level: Level) -> Entry {
        Entry(level.rawValue == 0 ? 0x400 : 0x20 | UInt64(truncatingIfNeeded: level.rawValue &- 1) &<< 2 & 0xc)
    }

    /// Spaces of unprivileged code are told apart by their root and not by their entries.
    @inlinable
    public func attributes(_ protection: Protection) -> EntryAttributes {
        EntryAttributes(rights: protection.userRights.intersection(.supervisor))
    }
}
