/// How far a table is above the leaf table: level 0 is the table whose entries map base pages, counted upward.
///
/// Manuals count differently and some count downward; each format's file maps its manual's names onto these.
public struct Level: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: Int

    @inlinable
    public init(_ rawValue: Int) { self.rawValue = rawValue }

    @inlinable
    public static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }

    /// The leaf table.
    @inlinable
    public static var leafTable: Level { Level(0) }

    /// The level that the entries of this one point down to.
    /// - Precondition: this is not the leaf table.
    @inlinable
    public var below: Level { Level(rawValue - 1) }

    public var description: String { "\(rawValue)" }
}
