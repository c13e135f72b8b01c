import SeededRandom
import Testing

@testable import PageTables

/// What the generic suite cannot find out from a format itself.
struct FormatExpectations: Sendable {
    /// The width of the widest addresses that tables of the highest level translate.
    var addressBits: UInt64
    /// The width of the physical addresses that a leaf of a size can hold.
    var leafAddressBits: @Sendable (PageSize) -> UInt64
    /// The width of the physical addresses that a table entry can hold.
    var tableAddressBits: UInt64
    /// How many of the 64 sets of rights every leaf can express at least.
    var leafRights: Int
    /// How many of the 64 sets of rights a table entry of a level can express at least.
    var tableRights: @Sendable (Level) -> Int = { _ in 1 }
    /// The numbers of memory types that every leaf can hold.
    var memoryTypes: ClosedRange<UInt8> = 0...0
    /// The protection keys or domains that every leaf can hold.
    var protectionKeys: ClosedRange<UInt8> = 0...0
}

/// The properties that every format has.
enum FormatProperty: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case geometry = "levels share out the bits of an address without gap or overlap"
    case leaves = "leaves of every size build and read back, up to the highest frame"
    case tables = "table entries build and read back, up to the highest table"
    case attributes = "rights, flags, memory types and keys of leaves read back as they were built"
    case roundTrip = "any entry is put together again as it was taken apart"
    case malformations = "just the malformed entries have a malformation"
    case boundaries = "the range of an entry ends where the next entry's starts, or at the limit"
    case attributeBits = "leaves that agree in the attribute bits agree in attributes and size"

    var testDescription: String { rawValue }
}

/// A format that does not have a property: where it was noticed, with the line that replays it if it was by chance.
///
/// An error and no recorded issue, so that the tests of the suite itself can expect it; and one failure tells as much as
/// thousands.
struct FormatFailure: Error, CustomStringConvertible {
    let place: String
    let line: Int

    var description: String { "FormatSuite.swift:\(line): \(place)" }
}

/// Puts a format through one property, or through all of them.
///
/// - Throws: `FormatFailure`, or an `EncodingError` where nothing was built that should be.
func checkFormat<F: PageTableFormat>(
    _ format: F, named name: String, _ expectations: FormatExpectations,
    _ properties: [FormatProperty] = FormatProperty.allCases
) throws {
    let check = FormatCheck(format: format, name: name, expectations: expectations)
    for property in properties {
        switch property {
        case .geometry: try check.geometry()
        case .leaves: try check.leaves()
        case .tables: try check.tables()
        case .attributes: try check.attributes()
        case .roundTrip: try check.roundTrip()
        case .malformations: try check.malformations()
        case .boundaries: try check.boundaries()
        case .attributeBits: try check.attributeBits()
        }
    }
}

@Suite("Every format")
struct FormatSuite {
    @Test(arguments: FormatCase.all, FormatProperty.allCases)
    func `has the property that`(format: FormatCase, property: FormatProperty) throws {
        try format.check(property)
    }

    @Test func `is listed once`() {
        #expect(Set(FormatCase.all.map(\.name)).count == FormatCase.all.count)
    }
}

private struct FormatCheck<F: PageTableFormat> {
    let format: F
    let name: String
    let expectations: FormatExpectations

    var levels: [Level] { (0...F.highestLevel.rawValue).map { Level($0) } }
    var allRights: [Rights] { (0..<64).map { Rights(rawValue: $0) } }

    func place(_ level: Level) -> String { "\(name), level \(level)" }

    func place(_ level: Level, _ entry: Entry) -> String {
        "\(name), level \(level), entry \(entry); \(SeededRandom.replay("FormatSuite"))"
    }

    func verify(_ holds: Bool, _ place: @autoclosure () -> String, line: Int = #line) throws {
        if !holds { throw FormatFailure(place: place(), line: line) }
    }

    // MARK: Properties

    func geometry() throws {
        try verify(F.entryBytes == 4 || F.entryBytes == 8, name)
        for level in levels {
            let covered = format.shift(level) + format.indexBits(level)
            try verify(covered <= 64, place(level))
            try verify(format.indexBits(level) > 0, place(level))
            try verify(format.entryCount(level) == 1 << Int(format.indexBits(level)), place(level))
            try verify(format.tableBytes(level) == format.entryCount(level) * F.entryBytes, place(level))
            if level < F.highestLevel {
                try verify(format.shift(Level(level.rawValue + 1)) == covered, place(level))
            } else {
                try verify(format.shift(level) < expectations.addressBits, place(level))
                try verify(expectations.addressBits <= covered, place(level))
            }
            let sizes = format.leafSizes(level)
            try verify(sizes == sizes.sorted() && Set(sizes).count == sizes.count, place(level))
            try verify(sizes.allSatisfy { $0.log2Bytes >= format.shift(level) }, place(level))
        }
        try verify(format.leafSizes(.leafTable).first?.log2Bytes == UInt8(format.shift(.leafTable)), place(.leafTable))
    }

    func leaves() throws {
        for (level, size) in leafKinds {
            let attributes = acceptedAttributes(size, at: level)
            try verify(!attributes.isEmpty, place(level))
            for frame in [0, highest(expectations.leafAddressBits(size), size.bytes)] {
                for attributes in attributes {
                    try verifyReadsBack(leaf: PhysicalAddress(frame), size, attributes, at: level)
                }
            }
            guard let any = attributes.first else { continue }
            // Of a run of pages each entry has a frame of its own, so only a page's own size counts.
            let half = PhysicalAddress(1 << (format.shift(level) - 1))
            try verify((try? format.leaf(half, size, any, at: level)) == nil, place(level))
            let tooWide = expectations.leafAddressBits(size)
            if tooWide < 64 {
                try verify(
                    (try? format.leaf(PhysicalAddress(1 << tooWide), size, any, at: level)) == nil, place(level))
            }
        }
    }

    func tables() throws {
        for level in levels where level > .leafTable {
            let bytes = UInt64(format.tableBytes(level.below))
            for table in [0, highest(expectations.tableAddressBits, bytes)].map({ PhysicalAddress($0) }) {
                var accepted = 0
                for rights in allRights {
                    guard let entry = try? format.tableEntry(table, rights: rights, at: level) else { continue }
                    accepted += 1
                    try verify(format.shape(of: entry, at: level) == .table, place(level, entry))
                    try verify(format.table(of: entry, at: level) == table, place(level, entry))
                    try verify(format.rights(of: entry, at: level) == rights, place(level, entry))
                    try verify(format.decode(entry, at: level).residue == 0, place(level, entry))
                    let limits = format.limits(below: entry, at: level)
                    try verify(0 <= limits.first && limits.first <= limits.last, place(level, entry))
                    try verify(limits.last < format.entryCount(level.below), place(level, entry))
                }
                try verify(accepted >= max(1, expectations.tableRights(level)), place(level))
            }
        }
    }

    func attributes() throws {
        for (level, size) in leafKinds {
            let accepted = acceptedAttributes(size, at: level)
            try verify(accepted.count >= expectations.leafRights, place(level))
            for attributes in accepted {
                try verifyReadsBack(leaf: PhysicalAddress(0), size, attributes, at: level)
                try verify(F.notions.execute || attributes.rights.contains(.supervisorExecute), place(level))
            }
            // Whatever a leaf can hold beside rights it can hold under some rights at least.
            func verifySome(_ what: String, _ change: (inout EntryAttributes) -> Void) throws {
                let changed = accepted.map { attributes in
                    var copy = attributes
                    change(&copy)
                    return copy
                }.filter { (try? format.leaf(PhysicalAddress(0), size, $0, at: level)) != nil }
                try verify(!changed.isEmpty, "\(what): \(name), level \(level)")
                for attributes in changed {
                    try verifyReadsBack(leaf: PhysicalAddress(0), size, attributes, at: level)
                }
            }
            for raw in 0..<8 as Range<UInt8> {
                let flags = EntryFlags(rawValue: raw)
                if flags.isSubset(of: F.notions.flags) { try verifySome("flags \(raw)") { $0.flags = flags } }
            }
            for index in expectations.memoryTypes {
                try verifySome("memory type \(index)") { $0.memoryTypeIndex = index }
            }
            for key in expectations.protectionKeys { try verifySome("key \(key)") { $0.protectionKey = key } }
        }
    }

    func roundTrip() throws {
        try forRandomEntries("round trip") { entry, level, _ in
            let decoded = format.decode(entry, at: level)
            try verify(format.encode(decoded, at: level) == entry, place(level, entry))
            if case .malformed = decoded.content { return }
            var plain = decoded
            plain.residue = 0
            try verify(format.decode(format.encode(plain, at: level), at: level) == plain, place(level, entry))
        }
    }

    func malformations() throws {
        try forRandomEntries("malformations") { entry, level, _ in
            let shape = format.shape(of: entry, at: level)
            try verify(
                (format.malformation(of: entry, at: level) != nil) == (shape == .malformed), place(level, entry))
            try verify(level > .leafTable || shape != .table, place(level, entry))
            guard shape == .leaf else { return }
            try verify(
                format.leafSizes(level).contains(format.leafSize(of: entry, at: level)), place(level, entry))
            try verify(
                format.rights(of: entry, at: level) == format.attributes(of: entry, at: level).rights,
                place(level, entry))
        }
    }

    func boundaries() throws {
        try forRandomEntries("boundaries", count: 2000) { entry, level, random in
            guard format.shape(of: entry, at: level) != .malformed else { return }
            let address = random.next()
            let limit = UInt64.random(in: address ... .max, using: &random)
            let offset = (1 << format.shift(level)) - 1 as UInt64
            for limit in [limit, .max, address, address | offset] {
                let last = format.last(
                    of: entry, at: level, from: VirtualAddress(address), limit: VirtualAddress(limit))
                try verify(last.rawValue == min(limit, address | offset), place(level, entry))
            }
            guard format.shape(of: entry, at: level) == .leaf else { return }
            let physical = format.physical(of: entry, at: level, for: VirtualAddress(address))
            try verify(physical.rawValue & offset == address & offset, place(level, entry))
        }
    }

    func attributeBits() throws {
        var compared: [Level: Int] = [:]
        try forRandomEntries("attribute bits", count: 1000) { entry, level, random in
            guard format.shape(of: entry, at: level) == .leaf else { return }
            let bits = format.attributeBits(of: entry, at: level)
            let flips = (0..<F.entryBytes * 8).map { 1 << UInt64($0) } + (0..<8).map { _ in random.sparse(4) }
            for flip in flips {
                let other = Entry(entry.rawValue ^ flip)
                guard format.shape(of: other, at: level) == .leaf,
                    format.attributeBits(of: other, at: level) == bits
                else { continue }
                compared[level, default: 0] += 1
                try verify(
                    format.attributes(of: other, at: level) == format.attributes(of: entry, at: level)
                        && format.leafSize(of: other, at: level) == format.leafSize(of: entry, at: level),
                    "\(place(level, entry)), and \(other)")
            }
        }
        for (level, size) in leafKinds {
            try verify(compared[level, default: 0] > 100, place(level))
            // Nothing is gained by bits that differ between neighbouring pages.
            let top = PhysicalAddress(highest(expectations.leafAddressBits(size), size.bytes))
            for attributes in acceptedAttributes(size, at: level) {
                guard let low = try? format.leaf(PhysicalAddress(0), size, attributes, at: level),
                    let high = try? format.leaf(top, size, attributes, at: level)
                else { continue }
                try verify(
                    format.attributeBits(of: low, at: level) == format.attributeBits(of: high, at: level),
                    place(level, high))
            }
        }
    }

    // MARK: Entries

    var leafKinds: [(Level, PageSize)] { levels.flatMap { level in format.leafSizes(level).map { (level, $0) } } }

    /// The address of the last block of `bytes` below 2^`addressBits`.
    func highest(_ addressBits: UInt64, _ bytes: UInt64) -> UInt64 {
        (addressBits < 64 ? (1 << addressBits) - 1 : .max) & ~(bytes - 1)
    }

    /// Attributes with each set of rights that leaves of a size can express, and nothing else if possible.
    func acceptedAttributes(_ size: PageSize, at level: Level) -> [EntryAttributes] {
        allRights.compactMap { rights in
            // Some formats cannot express rights without a flag, such as writable and not dirty.
            (0..<8 as Range<UInt8>).lazy.map { EntryAttributes(rights: rights, flags: EntryFlags(rawValue: $0)) }
                .first { (try? format.leaf(PhysicalAddress(0), size, $0, at: level)) != nil }
        }
    }

    func verifyReadsBack(
        leaf frame: PhysicalAddress, _ size: PageSize, _ attributes: EntryAttributes, at level: Level
    ) throws {
        let entry = try format.leaf(frame, size, attributes, at: level)
        try verify(format.shape(of: entry, at: level) == .leaf, place(level, entry))
        try verify(format.leafSize(of: entry, at: level) == size, place(level, entry))
        try verify(format.attributes(of: entry, at: level) == attributes, place(level, entry))
        try verify(format.rights(of: entry, at: level) == attributes.rights, place(level, entry))
        let decoded = format.decode(entry, at: level)
        try verify(decoded.content == .leaf(frame, size) && decoded.residue == 0, place(level, entry))
        let offset = VirtualAddress((1 << format.shift(level)) - 1)
        try verify(
            format.physical(of: entry, at: level, for: offset).rawValue == frame.rawValue + offset.rawValue,
            place(level, entry))
        if F.entryBytes == 4 { try verify(entry.rawValue >> 32 == 0, place(level, entry)) }
    }

    /// Entries of every kind at every level: any bits, few bits, many bits, and built entries with a few bits changed.
    func forRandomEntries(
        _ purpose: String, count: Int = 20_000, _ body: (Entry, Level, inout SeededRandom) throws -> Void
    ) throws {
        for level in levels {
            var random = SeededRandom(for: "\(name) \(purpose) \(level)")
            let built = builtEntries(at: level)
            for number in 0..<count {
                var value: UInt64
                switch number & 7 {
                case 0: value = random.next()
                case 1: value = random.sparse(3)
                case 2: value = ~random.sparse(3)
                default:
                    value = built.randomElement(using: &random) ?? 0
                    value ^= random.sparse(Int.random(in: 2...6, using: &random))
                }
                // Memory holds no more than the entry, but callers may.
                if F.entryBytes == 4, number & 15 != 0 { value &= 0xffff_ffff }
                try body(Entry(value), level, &random)
            }
        }
    }

    func builtEntries(at level: Level) -> [UInt64] {
        var entries: [UInt64] = []
        for size in format.leafSizes(level) {
            let top = PhysicalAddress(highest(expectations.leafAddressBits(size), size.bytes))
            for attributes in acceptedAttributes(size, at: level) {
                for frame in [PhysicalAddress(0), top] {
                    if let entry = try? format.leaf(frame, size, attributes, at: level) {
                        entries.append(entry.rawValue)
                    }
                }
            }
        }
        guard level > .leafTable else { return entries }
        let top = highest(expectations.tableAddressBits, UInt64(format.tableBytes(level.below)))
        for rights in allRights {
            if let entry = try? format.tableEntry(PhysicalAddress(top), rights: rights, at: level) {
                entries.append(entry.rawValue)
            }
        }
        return entries
    }
}
