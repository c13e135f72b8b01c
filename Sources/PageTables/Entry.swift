/// The value that one slot of a table held when it was loaded.
///
/// A value and a place are different things here: an `Entry` has no address, and nothing turns it back into an
/// `EntryPosition`. A walker that copied an entry therefore cannot step from its copy to "the next entry", which is how
/// the lock-free page pin of Linux once walked over its own stack (s390x, 2020).
public struct Entry: Hashable, Sendable, CustomStringConvertible {
    public var rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public var description: String { hexadecimal(rawValue) }
}

/// A slot: which table, which index in it, and the level of that table.
public struct EntryPosition: Hashable, Sendable {
    public let table: PhysicalAddress
    public let index: Int
    public let level: Level

    @inlinable
    public init(table: PhysicalAddress, index: Int, level: Level) {
        self.table = table
        self.index = index
        self.level = level
    }
}

/// What an entry is to whoever walks: the only question that decides where the walk goes.
public enum EntryShape: UInt8, Sendable {
    /// Maps nothing. Whether it holds something for software is another question (`LinuxEntry`).
    case invalid
    /// Points to a table one level down.
    case table
    /// Maps a page.
    case leaf
    /// Breaks a rule of the format: see `PageTableFormat.malformation(of:at:)`.
    case malformed
}

/// The indexes of a table that exist. Where a format stores less than a whole table (s390x), the rest is not memory of
/// the table at all.
public struct IndexLimits: Hashable, Sendable {
    public let first: Int
    public let last: Int

    @inlinable
    public init(first: Int, last: Int) {
        self.first = first
        self.last = last
    }

    @inlinable
    public func contains(_ index: Int) -> Bool { first <= index && index <= last }
}

/// The order of the bytes of an entry in memory.
public enum ByteOrder: Sendable {
    case little
    case big

    /// The order of the machine that runs this code.
    @inlinable
    public static var host: ByteOrder { UInt16(littleEndian: 1) == 1 ? .little : .big }
}
