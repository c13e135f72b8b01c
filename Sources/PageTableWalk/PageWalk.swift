import PageTables
import TableMemory

// The walk over ranges, with callbacks.
//
// The rules that make it right under concurrency are kept here once for all users (proposed for Linux in 2020 after a
// walker had read a PUD several times while another thread changed it):
// - an entry is loaded once; the value goes to the callback, and the same value decides the descent;
// - a position is a table's address and an index, never the address of a copy;
// - a callback that found the value outdated asks for `again`, and the entry is loaded anew;
// - the end of the range that an entry covers comes from the entry's own value and level.

extension SafetyRule {
    @inlinable
    public static var revalidateAfterSplit: SafetyRule {
        SafetyRule(
            name: "revalidateAfterSplit",
            demand: "After a leaf was split, a walk descends only if the entry points to a table now.",
            history:
                "A fault put the huge leaf back, and the walker took the page for a table (Linux 7.0, vfio-pci).")
    }
}

/// What a callback wants next.
public enum WalkAction: Sendable {
    /// Go on: descend into a table, or take the next entry.
    case proceed
    /// Do not descend.
    case skip
    /// Load the entry again and call back with what it holds now.
    case again
    /// Have the leaf split, if the walk has a splitter. Then load the entry again, and descend into the table if
    /// there is one now. Otherwise as `again`: it may be empty, or a leaf that a fault has put back.
    case split
    /// End the whole walk.
    case stop
}

/// A table that the walk enters.
public struct TableVisit: Sendable {
    public let table: PhysicalAddress
    public let level: Level
    /// The indexes that the table has.
    public let limits: IndexLimits
    /// The indexes that the walk visits: fewer than `limits` where the walk's range cuts the table.
    public let visited: IndexLimits
    /// The virtual address that index 0 stands for.
    public let base: VirtualAddress
    /// What the entries above allow.
    public let rights: Rights
    /// Whether the walk's range leaves out nothing of what is below the table.
    public let isWhole: Bool

    @inlinable
    public init(
        table: PhysicalAddress, level: Level, limits: IndexLimits, visited: IndexLimits, base: VirtualAddress,
        rights: Rights, isWhole: Bool
    ) {
        self.table = table
        self.level = level
        self.limits = limits
        self.visited = visited
        self.base = base
        self.rights = rights
        self.isWhole = isWhole
    }

    @inlinable
    public func position(_ index: Int) -> EntryPosition {
        EntryPosition(table: table, index: index, level: level)
    }
}

/// Who splits a large leaf where a walk asks for it: a live space whose lock the walk holds.
public protocol LeafSplitter {
    associatedtype Failure: Error
    /// Splits a leaf, unless the entry has changed. What is there afterwards is for the walk to look at.
    ///
    /// - Returns: False if the walk is to end: there is no memory for a table.
    mutating func split(
        _ leaf: Entry, at position: EntryPosition, of address: VirtualAddress
    ) throws(Failure) -> Bool
}

/// Leaves leaves as they are: for walks that only read, or whose callbacks split by themselves.
public struct NoSplitter<Failure: Error>: LeafSplitter {
    // Not empty: the thread sanitizer looks at the address of what is passed inout, and what is empty has none.
    @usableFromInline
    let isInert = true

    @inlinable
    public init() {}
    @inlinable
    public func split(
        _ leaf: Entry, at position: EntryPosition, of address: VirtualAddress
    ) throws(Failure) -> Bool { true }
}

/// The callbacks of a walk. All have defaults that do nothing.
public protocol PageWalkVisitor<Format> {
    associatedtype Format: PageTableFormat

    /// Before the entries of a table. `.skip` leaves the table out, and `leave` is then not called.
    mutating func enter(_ visit: TableVisit) -> WalkAction
    /// After the entries of a table that was entered, also if the walk was stopped in it.
    mutating func leave(_ visit: TableVisit)

    /// Whether leaves of one table that map neighbouring pages to neighbouring memory with equal attributes are handed to
    /// `leaves` together, instead of one by one to `leaf`.
    static var joinsLeaves: Bool { get }

    /// An entry that maps a page at `first ... last`, which the walk's range may have cut.
    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction
    /// The entries `indexes`, which continue one another; `entry` is the first of them. `.again` loads all of them again.
    mutating func leaves(
        _ entry: Entry, _ format: Format, at indexes: IndexLimits, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction
    /// An entry that points to a table; `.proceed` descends.
    mutating func table(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction
    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction
    /// Adjacent entries of one table that map nothing, or that the table does not have: the hole's depth is the level of
    /// the table. A table that has none of the entries that the walk wants is not entered for its hole.
    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction
    /// Entries `indexes` of a table cannot be loaded: the memory does not have them.
    mutating func absent(_ indexes: IndexLimits, in visit: borrowing TableVisit)

    /// What decides where the walk descends to: the entry that was loaded, and that `table` was given. There for a checker,
    /// to show what a walker does that looks at `place` once more.
    static func descended<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ entry: Entry, from place: PhysicalAddress, _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Entry
}

extension PageWalkVisitor {
    @inlinable
    public mutating func enter(_ visit: TableVisit) -> WalkAction { .proceed }
    @inlinable
    public mutating func leave(_ visit: TableVisit) {}
    @inlinable
    public static var joinsLeaves: Bool { false }
    @inlinable
    public mutating func leaves(
        _ entry: Entry, _ format: Format, at indexes: IndexLimits, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction { .proceed }
    @inlinable
    public mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction { .proceed }
    @inlinable
    public mutating func table(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction { .proceed }
    @inlinable
    public mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction { .proceed }
    @inlinable
    public mutating func hole(
        first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit
    ) -> WalkAction { .proceed }
    @inlinable
    public mutating func absent(_ indexes: IndexLimits, in visit: borrowing TableVisit) {}
    /// The value that was tested is the value that is used.
    @inlinable
    @inline(__always)
    public static func descended<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ entry: Entry, from place: PhysicalAddress, _ format: Format, _ memory: borrowing Memory
    ) -> Entry { entry }
}

extension AddressSpace {
    /// Walks the tables below a range of addresses, depth first and in the order of addresses.
    ///
    /// Every path is followed as the entries say; a visitor that wants a table once whatever its number of parents skips
    /// it in `enter` (as `survey` does).
    /// - Returns: False if a callback stopped the walk.
    /// - Throws: The memory's failure, but for those that only say that a table is not there: they go to `absent`.
    /// - Complexity: The entries of the tables that are entered.
    @inlinable
    @discardableResult
    public func walk<Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>>(
        _ range: VirtualRange = .all, in memory: borrowing Memory, visitor: inout Visitor
    ) throws(Memory.Failure) -> Bool {
        var splitter = NoSplitter<Memory.Failure>()
        return try walk(range, in: memory, visitor: &visitor, splitter: &splitter)
    }

    /// As `walk`, with somebody who splits a leaf where a callback asks for it.
    @inlinable
    @discardableResult
    public func walk<
        Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>, Splitter: LeafSplitter
    >(
        _ range: VirtualRange, in memory: borrowing Memory, visitor: inout Visitor, splitter: inout Splitter
    ) throws(Memory.Failure) -> Bool where Splitter.Failure == Memory.Failure {
        if let lower, try !walk(lower, range, in: memory, visitor: &visitor, splitter: &splitter) { return false }
        if let upper, try !walk(upper, range, in: memory, visitor: &visitor, splitter: &splitter) { return false }
        return true
    }

    @inlinable
    func walk<
        Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>, Splitter: LeafSplitter
    >(
        _ tree: TableTree, _ range: VirtualRange, in memory: borrowing Memory, visitor: inout Visitor,
        splitter: inout Splitter
    ) throws(Memory.Failure) -> Bool where Splitter.Failure == Memory.Failure {
        guard let range = tree.range.intersection(range) else { return true }
        let level = Format.fixedTopLevel ?? tree.topLevel
        return try walk(
            tree.table, level, tree.limits, base: VirtualAddress(tree.range.first.rawValue & ~tree.addressMask),
            rights: .all, range.first, range.last, in: memory, visitor: &visitor, splitter: &splitter)
    }

    /// - Parameter base: The address that the table's index 0 stands for; `first` and `last` are not below it.
    @inlinable
    func walk<
        Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>, Splitter: LeafSplitter
    >(
        _ table: PhysicalAddress, _ level: Level, _ limits: IndexLimits, base: VirtualAddress, rights: Rights,
        _ first: VirtualAddress, _ last: VirtualAddress, in memory: borrowing Memory, visitor: inout Visitor,
        splitter: inout Splitter
    ) throws(Memory.Failure) -> Bool where Splitter.Failure == Memory.Failure {
        let shift = format.shift(level)
        let (firstOffset, lastOffset) = (first.rawValue &- base.rawValue, last.rawValue &- base.rawValue)
        let covered = UInt64(truncatingIfNeeded: limits.last &+ 1) &<< shift
        let visit = TableVisit(
            table: table, level: level, limits: limits,
            visited: IndexLimits(
                first: max(Int(truncatingIfNeeded: firstOffset &>> shift), limits.first),
                last: min(Int(truncatingIfNeeded: lastOffset &>> shift), limits.last)),
            base: base, rights: rights,
            isWhole: firstOffset <= UInt64(truncatingIfNeeded: limits.first) &<< shift && lastOffset >= covered &- 1)
        if visit.visited.first > visit.visited.last {
            return visitor.hole(first: first, last: last, in: visit) != .stop
        }
        return try walk(visit, first, last, in: memory, visitor: &visitor, splitter: &splitter)
    }

    @inlinable
    func walk<
        Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>, Splitter: LeafSplitter
    >(
        _ visit: TableVisit, _ first: VirtualAddress, _ last: VirtualAddress, in memory: borrowing Memory,
        visitor: inout Visitor, splitter: inout Splitter
    ) throws(Memory.Failure) -> Bool where Splitter.Failure == Memory.Failure {
        switch visitor.enter(visit) {
        case .proceed, .again, .split: break
        case .skip: return true
        case .stop: return false
        }
        let firstEntry = visit.table.rawValue &+ UInt64(truncatingIfNeeded: visit.visited.first &* Format.entryBytes)
        let bytes = (visit.visited.last &- visit.visited.first &+ 1) &* Format.entryBytes
        let found: Memory.Table?
        do throws(Memory.Failure) {
            found = try memory.table(at: PhysicalAddress(firstEntry), bytes: bytes)
        } catch {
            if !memory.isAbsence(error) { try raise(error) }
            if memory.hasNothing(at: PhysicalAddress(firstEntry), bytes: bytes) {
                var goesOn = true
                if startAddress(of: visit.visited.first, in: visit) > first {
                    goesOn = tell(first, before: visit.visited.first, of: visit, &visitor)
                }
                visitor.absent(visit.visited, in: visit)
                if goesOn { goesOn = tellRest(of: visit, last, &visitor) }
                visitor.leave(visit)
                return goesOn
            }
            found = nil
        }
        let goesOn = try walkEntries(of: visit, found, first, last, in: memory, visitor: &visitor, splitter: &splitter)
        visitor.leave(visit)
        return goesOn
    }

    /// - Parameter table: `nil` if the memory lacks a part of the table; its entries are then loaded one by one.
    @inlinable
    func walkEntries<
        Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>, Splitter: LeafSplitter
    >(
        of visit: TableVisit, _ table: Memory.Table?, _ first: VirtualAddress, _ last: VirtualAddress,
        in memory: borrowing Memory, visitor: inout Visitor, splitter: inout Splitter
    ) throws(Memory.Failure) -> Bool where Splitter.Failure == Memory.Failure {
        let level = visit.level
        let lastIndex = visit.visited.last
        var index = visit.visited.first
        // Entries that the walk wants and the table does not have are a hole, as are those that map nothing.
        var holeStart = startAddress(of: index, in: visit) > first ? first : nil
        // Loaded once and carried on: whoever finds that the next entry is not its own leaves it here.
        var loaded = try load(index, of: visit, table, in: memory)
        while true {
            guard let entry = loaded else {
                let start = index
                if let hole = holeStart {
                    holeStart = nil
                    if !tell(hole, before: start, of: visit, &visitor) { return false }
                }
                repeat {
                    index &+= 1
                    if index > lastIndex { break }
                    loaded = try load(index, of: visit, table, in: memory)
                } while loaded == nil
                visitor.absent(IndexLimits(first: start, last: index &- 1), in: visit)
                if index > lastIndex { return tellRest(of: visit, last, &visitor) }
                continue
            }
            let start = index
            let address = max(startAddress(of: index, in: visit), first)
            let action: WalkAction
            let shape = format.shape(of: entry, at: level)
            if shape != .invalid, let hole = holeStart {
                holeStart = nil
                if !tell(hole, before: start, of: visit, &visitor) { return false }
            }
            switch shape {
            case .invalid:
                while true {
                    index &+= 1
                    if index > lastIndex { break }
                    loaded = try load(index, of: visit, table, in: memory)
                    guard let next = loaded, format.shape(of: next, at: level) == .invalid else { break }
                }
                let hole = holeStart ?? address
                holeStart = nil
                if index > lastIndex { return visitor.hole(first: hole, last: last, in: visit) != .stop }
                if !tell(hole, before: index, of: visit, &visitor) { return false }
                continue
            case .leaf where Visitor.joinsLeaves:
                let run = try joinedLeaves(entry, at: index, of: visit, table, address, in: memory)
                let end = format.last(
                    of: entry, at: level, from: startAddress(of: run.nextIndex &- 1, in: visit), limit: last)
                let indexes = IndexLimits(first: index, last: run.nextIndex &- 1)
                action = visitor.leaves(entry, format, at: indexes, in: visit, first: address, last: end)
                if action == .proceed || action == .skip {
                    if run.nextIndex > lastIndex { return tellRest(of: visit, last, &visitor) }
                    index = run.nextIndex
                    loaded = run.next
                    continue
                }
            case .leaf:
                let end = format.last(of: entry, at: level, from: address, limit: last)
                action = visitor.leaf(entry, format, at: index, in: visit, first: address, last: end)
            case .table where level > .leafTable:
                let end = format.last(of: entry, at: level, from: address, limit: last)
                action = visitor.table(entry, format, at: index, in: visit, first: address, last: end)
                if action == .proceed {
                    let offset = UInt64(truncatingIfNeeded: index &* Format.entryBytes)
                    let place = PhysicalAddress(visit.table.rawValue &+ offset)
                    let below = try Visitor.descended(entry, from: place, format, memory)
                    if try !descend(
                        below, at: index, of: visit, address, end, in: memory, visitor: &visitor, splitter: &splitter)
                    {
                        return false
                    }
                }
            default:
                action = visitor.malformed(entry, format, at: index, in: visit, first: address)
            }
            switch action {
            case .proceed, .skip:
                index = start &+ 1
                if index > lastIndex { return tellRest(of: visit, last, &visitor) }
            case .again: index = start
            case .split:
                index = start
                if try !splitter.split(entry, at: visit.position(index), of: address) { return false }
                loaded = try load(index, of: visit, table, in: memory)
                guard let now = loaded, level > .leafTable else { continue }
                let shape = format.shape(of: now, at: level)
                var isTable = shape != .invalid
                if memory.enforces(.revalidateAfterSplit) { isTable = shape == .table }
                if !isTable { continue }
                let end = format.last(of: now, at: level, from: address, limit: last)
                if try !descend(
                    now, at: index, of: visit, address, end, in: memory, visitor: &visitor, splitter: &splitter)
                {
                    return false
                }
                index = start &+ 1
                if index > lastIndex { return tellRest(of: visit, last, &visitor) }
            case .stop: return false
            }
            loaded = try load(index, of: visit, table, in: memory)
        }
    }

    /// Tells of a hole that ends before the entry `index`.
    @inlinable
    func tell<Visitor: PageWalkVisitor<Format>>(
        _ hole: VirtualAddress, before index: Int, of visit: TableVisit, _ visitor: inout Visitor
    ) -> Bool {
        let end = VirtualAddress(startAddress(of: index, in: visit).rawValue &- 1)
        return visitor.hole(first: hole, last: end, in: visit) != .stop
    }

    /// Tells of the hole behind the last entry that a table has, if the walk wants more of them.
    @inlinable
    func tellRest<Visitor: PageWalkVisitor<Format>>(
        of visit: TableVisit, _ last: VirtualAddress, _ visitor: inout Visitor
    ) -> Bool {
        let end = startAddress(of: visit.visited.last &+ 1, in: visit)
        // The end of a table at the very top is 0.
        guard end <= last, end > visit.base else { return true }
        return visitor.hole(first: end, last: last, in: visit) != .stop
    }

    @inlinable
    func startAddress(of index: Int, in visit: TableVisit) -> VirtualAddress {
        VirtualAddress(
            visit.base.rawValue &+ UInt64(truncatingIfNeeded: index) &<< format.shift(visit.level))
    }

    /// Follows leaves that continue one another.
    ///
    /// - Returns: The index behind the last of them, and the entry that was loaded from there: `nil` behind the last index
    ///   that the walk visits, or where the memory has no entry.
    @inlinable
    @inline(__always)
    func joinedLeaves<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ entry: Entry, at index: Int, of visit: TableVisit, _ table: Memory.Table?, _ address: VirtualAddress,
        in memory: borrowing Memory
    ) throws(Memory.Failure) -> (nextIndex: Int, next: Entry?) {
        let level = visit.level
        let lastIndex = visit.visited.last
        let slotBytes: UInt64 = 1 &<< format.shift(level)
        let bits = format.attributeBits(of: entry, at: level)
        var nextIndex = index &+ 1
        var nextAddress = startAddress(of: nextIndex, in: visit).rawValue
        var nextPhysical =
            format.physical(of: entry, at: level, for: address).rawValue &+ (nextAddress &- address.rawValue)
        while nextIndex <= lastIndex {
            let loaded = try load(nextIndex, of: visit, table, in: memory)
            guard let next = loaded, format.shape(of: next, at: level) == .leaf,
                format.attributeBits(of: next, at: level) == bits,
                format.physical(of: next, at: level, for: VirtualAddress(nextAddress)).rawValue == nextPhysical
            else { return (nextIndex, loaded) }
            nextIndex &+= 1
            nextAddress &+= slotBytes
            nextPhysical &+= slotBytes
        }
        return (nextIndex, nil)
    }

    /// - Returns: `nil` where the memory does not have the entry.
    @inlinable
    func load<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ index: Int, of visit: TableVisit, _ table: Memory.Table?, in memory: borrowing Memory
    ) throws(Memory.Failure) -> Entry? {
        do throws(Memory.Failure) {
            // A table that was found may still lack entries: an image can end within it.
            if let table { return try memory.load(format, table, index: index &- visit.visited.first) }
            let offset = UInt64(truncatingIfNeeded: index &* Format.entryBytes)
            return try memory.load(format, PhysicalAddress(visit.table.rawValue &+ offset))
        } catch {
            if !memory.isAbsence(error) { try raise(error) }
            return nil
        }
    }

    @inlinable
    func descend<
        Memory: TableMemory & ~Copyable & ~Escapable, Visitor: PageWalkVisitor<Format>, Splitter: LeafSplitter
    >(
        _ entry: Entry, at index: Int, of visit: TableVisit, _ first: VirtualAddress, _ last: VirtualAddress,
        in memory: borrowing Memory, visitor: inout Visitor, splitter: inout Splitter
    ) throws(Memory.Failure) -> Bool where Splitter.Failure == Memory.Failure {
        try walk(
            format.table(of: entry, at: visit.level), visit.level.below, format.limits(below: entry, at: visit.level),
            base: startAddress(of: index, in: visit),
            rights: visit.rights.intersection(format.rights(of: entry, at: visit.level)), first, last, in: memory,
            visitor: &visitor, splitter: &splitter)
    }
}

/// Out of line, because a typed `throw` in place would keep the walker from being specialised.
@usableFromInline
@inline(never)
func raise<Failure: Error>(_ failure: Failure) throws(Failure) -> Never { throw failure }
