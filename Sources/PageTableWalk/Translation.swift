import PageTables
import TableMemory

/// The answer for one address.
public enum Translation: Sendable {
    case mapped(Mapping)
    case unmapped(Fault)
}

/// An address that is mapped.
public struct Mapping: Sendable {
    /// Where the address is, the offset in the page included.
    public let physical: PhysicalAddress
    /// The leaf that maps it, as it was loaded.
    public let leaf: Entry
    /// The level of the table that the leaf is in.
    public let level: Level
    /// What the whole path allows.
    public let rights: Rights

    @inlinable
    public init(physical: PhysicalAddress, leaf: Entry, level: Level, rights: Rights) {
        self.physical = physical
        self.leaf = leaf
        self.level = level
        self.rights = rights
    }
}

/// An address that is not mapped.
public struct Fault: Hashable, Sendable {
    public enum Reason: Sendable {
        /// An entry on the path maps nothing, or the table is shorter than the index.
        case notPresent
        /// An entry on the path breaks a rule of the format.
        case malformed
        /// No tree of the space translates the address.
        case outOfRange
    }

    public let reason: Reason
    /// The level where the walk ended; of no meaning for `.outOfRange`.
    public let level: Level
    /// The entry that ended it; zero if none was loaded.
    public let entry: Entry

    @inlinable
    public init(reason: Reason, level: Level, entry: Entry) {
        self.reason = reason
        self.level = level
        self.entry = entry
    }
}

/// Hears of each entry that a translation loads.
public protocol TranslationObserver {
    mutating func loaded(_ entry: Entry, at position: EntryPosition)
}

/// Hears nothing and costs nothing.
public struct NoObserver: TranslationObserver {
    @inlinable
    public init() {}
    @inlinable
    public func loaded(_ entry: Entry, at position: EntryPosition) {}
}

/// Keeps the path.
public struct TranslationPath: TranslationObserver, Sendable {
    public struct Step: Hashable, Sendable {
        public let position: EntryPosition
        public let entry: Entry
    }

    public private(set) var steps: [Step] = []

    public init() {}

    public mutating func loaded(_ entry: Entry, at position: EntryPosition) {
        steps.append(Step(position: position, entry: entry))
    }
}

extension AddressSpace {
    /// Translates one address as the format's view does: as hardware would, or through `linuxView` as Linux means it.
    ///
    /// Each level is loaded once, and only the loaded value decides where the walk goes.
    /// - Throws: The memory's failure, where an entry's word cannot be loaded.
    /// - Complexity: One load a level.
    @inlinable
    public func translate<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ address: VirtualAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Translation {
        var observer = NoObserver()
        return try translate(address, in: memory, observer: &observer)
    }

    /// Translates one address and tells an observer of every entry on the path, from the top.
    @inlinable
    public func translate<Memory: TableMemory & ~Copyable & ~Escapable, Observer: TranslationObserver>(
        _ address: VirtualAddress, in memory: borrowing Memory, observer: inout Observer
    ) throws(Memory.Failure) -> Translation {
        guard let tree = tree(for: address) else {
            return .unmapped(Fault(reason: .outOfRange, level: Format.highestLevel, entry: Entry(0)))
        }
        return try format.follow(address, from: tree, in: memory, observer: &observer)
    }
}

extension PageTableFormat {
    /// The walk itself, also where a translation is a part of a larger one: inlined, because a tree is too large to be copied for
    /// a call.
    @inlinable
    @inline(__always)
    func follow<Memory: TableMemory & ~Copyable & ~Escapable, Observer: TranslationObserver>(
        _ address: VirtualAddress, from tree: TableTree, in memory: borrowing Memory, observer: inout Observer
    ) throws(Memory.Failure) -> Translation {
        // A fixed depth is a constant here, and the loop below is then unrolled.
        var level = Self.fixedTopLevel ?? tree.topLevel
        var table = tree.table
        var index = Int(truncatingIfNeeded: (address.rawValue & tree.addressMask) &>> self.shift(level))
        var pathBits: UInt64 = .max
        if Self.fixedTopLevel == nil && !tree.limits.contains(index) {
            return .unmapped(Fault(reason: .notPresent, level: level, entry: Entry(0)))
        }
        while true {
            let offset = UInt64(truncatingIfNeeded: index &* Self.entryBytes)
            let entry = try memory.load(self, PhysicalAddress(table.rawValue &+ offset))
            observer.loaded(entry, at: EntryPosition(table: table, index: index, level: level))
            switch self.shape(of: entry, at: level) {
            case .leaf:
                let rights = self.rights(ofPath: pathBits & self.pathBits(of: entry, at: level))
                return .mapped(
                    Mapping(
                        physical: self.physical(of: entry, at: level, for: address), leaf: entry, level: level,
                        rights: self.effectiveRights(rights)))
            case .table:
                if level == .leafTable { return .unmapped(Fault(reason: .malformed, level: level, entry: entry)) }
                pathBits &= self.pathBits(of: entry, at: level)
                let limits = self.limits(below: entry, at: level)
                table = self.table(of: entry, at: level)
                level = level.below
                let mask: UInt64 = (1 &<< self.indexBits(level)) &- 1
                index = Int(truncatingIfNeeded: address.rawValue &>> self.shift(level) & mask)
                if !limits.contains(index) {
                    return .unmapped(Fault(reason: .notPresent, level: level, entry: entry))
                }
            case .invalid:
                return .unmapped(Fault(reason: .notPresent, level: level, entry: entry))
            case .malformed:
                return .unmapped(Fault(reason: .malformed, level: level, entry: entry))
            }
        }
    }
}
