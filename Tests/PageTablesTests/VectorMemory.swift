@testable import PageTables

/// Memory of a test vector: the values of the listed entries by their physical addresses; nothing else exists.
///
/// Its walk knows no more than the format's requirements and nothing of the walkers of this package, so that a vector
/// checks a format alone.
struct VectorMemory: ExpressibleByDictionaryLiteral {
    var entries: [UInt64: UInt64]

    init(_ entries: [UInt64: UInt64]) { self.entries = entries }

    init(dictionaryLiteral elements: (UInt64, UInt64)...) {
        entries = Dictionary(uniqueKeysWithValues: elements)
    }

    /// How a walk ends.
    enum Outcome: Equatable {
        case page(Page)
        /// An entry that is invalid or malformed, and the level of its table.
        case stopped(EntryShape, Level)
        /// The entry is not in memory, or its table does not reach that far.
        case unavailable(Level)
        /// No tree translates the address.
        case outside
    }

    struct Page: Equatable {
        var physical: UInt64
        var size: PageSize
        /// Of the whole path.
        var rights: Rights
        /// Of the leaf alone.
        var attributes: EntryAttributes
    }

    /// The physical address of `address`; `nil` where it has none.
    func walk<F: PageTableFormat>(_ space: AddressSpace<F>, _ address: UInt64) -> UInt64? {
        page(space, address)?.physical
    }

    func page<F: PageTableFormat>(_ space: AddressSpace<F>, _ address: UInt64) -> Page? {
        guard case .page(let page) = outcome(space, address) else { return nil }
        return page
    }

    func outcome<F: PageTableFormat>(_ space: AddressSpace<F>, _ address: UInt64) -> Outcome {
        let (format, virtual) = (space.format, VirtualAddress(address))
        guard let tree = space.tree(for: virtual) else { return .outside }
        var (table, level, limits, rights) = (tree.table, tree.topLevel, tree.limits, Rights.all)
        var index = Int((address & tree.addressMask) >> format.shift(level))
        while true {
            let place = table.rawValue &+ UInt64(index * F.entryBytes)
            guard limits.contains(index), let value = entries[place] else { return .unavailable(level) }
            let entry = Entry(value)
            let shape = format.shape(of: entry, at: level)
            guard shape == .table || shape == .leaf else { return .stopped(shape, level) }
            rights.formIntersection(format.rights(of: entry, at: level))
            if shape == .leaf {
                return .page(
                    Page(
                        physical: format.physical(of: entry, at: level, for: virtual).rawValue,
                        size: format.leafSize(of: entry, at: level), rights: format.effectiveRights(rights),
                        attributes: format.attributes(of: entry, at: level)))
            }
            guard level > .leafTable else { return .stopped(.malformed, level) }
            limits = format.limits(below: entry, at: level)
            table = format.table(of: entry, at: level)
            level = level.below
            index = Int(address >> format.shift(level)) & (format.entryCount(level) - 1)
        }
    }
}
