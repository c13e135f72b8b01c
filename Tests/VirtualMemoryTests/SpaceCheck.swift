import PageTableWalk
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// What holds of the leaves of any live space: the model of random operations does not look at them.
enum SpaceProperty: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sizes = "the largest one that fits is used, at either end of the space"
    case alignment = "none is larger than its memory is aligned, or than the caller allows"
    case blocks = "none covers frames of different blocks"
    case faults = "a fault uses the largest one that the region, the caller and what is mapped allow"
    case splits = "a split leaves those of each level beside a page, and all that they say"
    case joins = "entries that another operation left empty do not keep out pages"

    var testDescription: String { rawValue }
}

struct SpaceCheck<F: WritableFormat> {
    let run: SpaceRun<F>

    private var places: Places<F> { run.places }
    private var space: Space<F> { run.space }
    private var memory: SingleProcessorMemory { run.memory }

    func check(_ property: SpaceProperty) throws {
        switch property {
        case .sizes: try sizes()
        case .alignment: try alignment()
        case .blocks: try blocks()
        case .faults: try faults()
        case .splits: try splits()
        case .joins: try joins()
        }
        try space.tearDown(in: memory)
        let free = try run.references.allocator.freeFrameCount(in: memory)
        let held = run.model.blocks.values.reduce(0) { $0 + UInt64($1.order.frameCount) }
        try run.verify(free + held == UInt64(run.layout.map.frameCount), "\(free) frames are free")
    }

    // MARK: Means

    private func range(_ first: UInt64, _ bytes: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first + (bytes - 1)))
    }

    /// Maps, and says how many bytes leaves of each level then map.
    private func map(
        _ first: UInt64, _ bytes: UInt64, to physical: UInt64, atMost largest: PageSize = PageSize(log2Bytes: 63),
        _ attributes: EntryAttributes? = nil
    ) throws {
        let range = range(first, bytes)
        run.step = "map \(range) to \(hexadecimal(physical))"
        let attributes = attributes ?? run.format.attributes([.read, .write])
        let refusal = try run.refusal { () throws(SpaceError<MemoryMisuse>) in
            try space.map(range, to: PhysicalAddress(physical), attributes, largestLeaf: largest, in: memory)
        }
        try run.verify(refusal == nil, "\(String(describing: refusal))")
    }

    private func unmap(_ first: UInt64, _ bytes: UInt64) throws {
        try space.unmap(range(first, bytes), in: memory)
    }

    /// Unmaps all of the entry above, so that no empty table keeps out a large leaf.
    private func clear(_ first: UInt64, _ level: Level) throws {
        let bytes = places.bytes(Level(min(level.rawValue + 1, run.format.topLevels.upperBound.rawValue)))
        try unmap(first & ~(bytes - 1), bytes)
    }

    private func bytesByLevel(_ first: UInt64, _ bytes: UInt64) throws -> [UInt64] {
        try memory.withRCUReader { (section) throws(MemoryMisuse) in
            try space.summary(of: range(first, bytes), in: section)
        }.bytesByLevel
    }

    private func verify(_ first: UInt64, _ bytes: UInt64, isMappedBy wanted: [Level: UInt64], line: Int = #line) throws
    {
        let found = try bytesByLevel(first, bytes)
        for level in found.indices {
            let expected = wanted[Level(level)] ?? 0
            try run.verify(
                found[level] == expected, "leaves of level \(level) map \(found[level]) bytes, not \(expected)",
                line: line, file: "VirtualMemoryTests/SpaceCheck.swift")
        }
    }

    /// For each level with leaves, the lowest and the highest address of each tree where one fits.
    private func leafPlaces() -> [(level: Level, first: UInt64)] {
        let trees = run.format.addressSpace(root: PhysicalAddress(0), topLevel: run.format.topLevels.upperBound).trees
        return places.leafLevels.flatMap { level in
            trees.flatMap { tree in
                [(level, tree.range.first.rawValue), (level, tree.range.last.rawValue &+ 1 &- places.bytes(level))]
            }
        }
    }

    private func below(_ level: Level) -> Level? { places.leafLevels.last { $0 < level } }

    // MARK: Properties

    private func sizes() throws {
        for (level, first) in leafPlaces() {
            let size = places.bytes(level)
            try map(first, size, to: places.devices + size)
            try verify(first, size, isMappedBy: [level: size])
            try clear(first, level)
            try verify(first, size, isMappedBy: [:])
        }
        // A leaf of each level in one go: pages up to where a larger one may start, and so on, and down again.
        let (top, first) = (
            places.leafLevels.last ?? .leafTable, 4 * places.bytes(places.leafLevels.last ?? .leafTable)
        )
        let sizes = places.leafLevels.map { ($0, places.bytes($0)) }
        let ragged = sizes.dropLast().reduce(UInt64(0)) { $0 + $1.1 }
        let bytes = places.bytes(top) + 2 * ragged
        try map(first - ragged, bytes, to: places.devices + first - ragged)
        var wanted = Dictionary(uniqueKeysWithValues: sizes.map { ($0, 2 * $1) })
        wanted[top] = places.bytes(top)
        try verify(first - ragged, bytes, isMappedBy: wanted)
        try unmap(first - ragged, bytes)
    }

    private func alignment() throws {
        for (level, first) in leafPlaces() {
            guard let below = below(level) else { continue }
            let size = places.bytes(level)
            try map(first, size, to: places.devices + places.bytes(below))
            try verify(first, size, isMappedBy: [below: size])
            try clear(first, level)
            // Not more than the caller allows, whatever size that is.
            for log2Bytes in [run.format.shift(below), run.format.shift(level) - 1] {
                try map(first, size, to: places.devices, atMost: PageSize(log2Bytes: Int(log2Bytes)))
                try verify(first, size, isMappedBy: [below: size])
                try clear(first, level)
            }
        }
        // Even where the caller allows less than a page.
        try map(0, places.pageBytes, to: places.devices, atMost: PageSize(log2Bytes: 0))
        try verify(0, places.pageBytes, isMappedBy: [.leafTable: places.pageBytes])
    }

    private func blocks() throws {
        let level = Level(1)
        guard places.leafLevels.contains(level) else { return }
        let size = places.bytes(level)
        let order = Int(run.format.shift(level)) - Int(run.format.log2FrameBytes)
        // Of larger blocks the test's memory has not enough.
        guard order < 10 else { return }
        guard let whole = try run.newBlock(order), let larger = try run.newBlock(order + 1) else {
            throw run.failure("no memory")
        }
        let first = 8 * size
        try map(first, size, to: run.layout.map.address(of: whole).rawValue)
        try verify(first, size, isMappedBy: [level: size])
        try map(first + 2 * size, 2 * size, to: run.layout.map.address(of: larger).rawValue)
        try verify(first + 2 * size, 2 * size, isMappedBy: [level: 2 * size])
        // The same memory, page by page, counts the same.
        try map(first + 4 * size, size, to: run.layout.map.address(of: larger).rawValue, atMost: PageSize(log2Bytes: 0))
        try verify(references(larger) == 1 + 3 << UInt32(order), "\(try references(larger)) references")
        // Two blocks that are buddies lie as one large leaf would.
        var halves: Set<Frame> = []
        var buddies: (low: Frame, high: Frame)?
        while buddies == nil, let half = try run.newBlock(order - 1) {
            let buddy = Frame(half.number ^ 1 << UInt32(order - 1))
            if halves.contains(buddy) { buddies = (min(half, buddy), max(half, buddy)) }
            halves.insert(half)
        }
        guard let (pair, other) = buddies else { throw run.failure("no buddies") }
        for head in halves.subtracting([pair, other]) { try run.release(head) }
        try map(first, 0 + size, unmappingFirst: true, to: run.layout.map.address(of: pair).rawValue)
        try verify(first, size, isMappedBy: [.leafTable: size])
        for head in [pair, other] {
            try verify(references(head) == 1 + 1 << UInt32(order - 1), "\(try references(head)) references")
        }
        try unmap(first, 4 * size)
        try verify(references(pair) == 1, "\(try references(pair)) references")
        for head in [whole, larger, pair, other] { try run.release(head) }
    }

    private func map(_ first: UInt64, _ bytes: UInt64, unmappingFirst: Bool, to physical: UInt64) throws {
        try unmap(first, bytes)
        try map(first, bytes, to: physical)
    }

    private func references(_ head: Frame) throws -> UInt32 {
        try memory.load(run.layout.map.descriptor(of: head).references, .relaxed)
    }

    private func verify(_ holds: Bool, _ place: @autoclosure () throws -> String, line: Int = #line) throws {
        if !holds { throw run.failure(try place(), line: line, file: "VirtualMemoryTests/SpaceCheck.swift") }
    }

    private func faults() throws {
        let attributes = run.format.attributes([.read, .write])
        for (level, first) in leafPlaces() {
            let size = places.bytes(level)
            for limit in places.leafLevels where limit <= level {
                for isRegions in [false, true] {
                    let allowed = PageSize(log2Bytes: Int(run.format.shift(limit)))
                    let all = PageSize(log2Bytes: 63)
                    let region = Region(
                        range(first, size), .device(start: PhysicalAddress(places.devices)), attributes,
                        largestLeaf: isRegions ? allowed : all)
                    try space.add(region, in: memory)
                    let address = first + size / 2 + 1
                    let refusal = try run.refusal { () throws(SpaceError<MemoryMisuse>) in
                        try run.underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                            try space.fault(
                                VirtualAddress(address), for: .write, atMost: isRegions ? all : allowed, lock: lock)
                        }
                    }
                    run.step = "fault at \(hexadecimal(address)) up to \(allowed)"
                    try verify(refusal == nil, "\(String(describing: refusal))")
                    try verify(first, size, isMappedBy: [limit: places.bytes(limit)])
                    guard case .mapped(let mapping) = try run.translate(address) else {
                        throw run.failure("nothing is mapped")
                    }
                    try verify(
                        mapping.physical.rawValue == places.devices + size / 2 + 1, "it is at \(mapping.physical)")
                    try clear(first, level)
                }
            }
        }
        // A device that lies otherwise than the addresses has smaller leaves, and one that is too short as well.
        guard let top = places.leafLevels.last, let below = below(top) else { return }
        let cases = [
            (places.bytes(below), places.bytes(top), below), (0, places.bytes(top) - places.pageBytes, below),
        ]
        for (offset, bytes, wanted) in cases {
            let start = PhysicalAddress(places.devices + offset)
            try space.add(Region(range(0, bytes), .device(start: start), attributes), in: memory)
            try run.underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                try space.fault(VirtualAddress(0), for: .read, lock: lock)
            }
            try verify(0, places.bytes(top), isMappedBy: [wanted: places.bytes(wanted)])
            try clear(0, top)
        }
    }

    private func splits() throws {
        for (level, first) in leafPlaces() where level > .leafTable {
            let size = places.bytes(level)
            var attributes = run.randomAttributes()
            attributes.flags = F.notions.flags.intersection([.accessed, .dirty])
            let page = first + size / 2 - places.pageBytes
            for isUnmapped in [true, false] {
                try map(first, size, to: places.devices, attributes)
                let rights = run.format.attributes(.read).rights
                if isUnmapped {
                    try unmap(page, places.pageBytes)
                } else {
                    try space.protect(range(page, places.pageBytes), rights, in: memory)
                }
                var wanted: [Level: UInt64] = [:]
                for smaller in places.leafLevels where smaller < level {
                    let entries = UInt64(run.format.entryCount(smaller))
                    wanted[smaller] = (entries - (smaller == .leafTable && !isUnmapped ? 0 : 1)) * places.bytes(smaller)
                }
                try verify(first, size, isMappedBy: wanted)
                for address in [first, page - 1, page, page + places.pageBytes, first + (size - 1)] {
                    try verifySplit(address, first, isUnmapped ? nil : rights, page, attributes)
                }
                try clear(first, level)
            }
        }
    }

    private func verifySplit(
        _ address: UInt64, _ first: UInt64, _ rights: Rights?, _ page: UInt64, _ attributes: EntryAttributes
    ) throws {
        var attributes = attributes
        if address == page {
            guard let rights else {
                if case .mapped = try run.translate(address) { throw run.failure("\(hexadecimal(address)) is mapped") }
                return
            }
            attributes.rights = rights
        }
        guard case .mapped(let mapping) = try run.translate(address) else {
            throw run.failure("\(hexadecimal(address)) is not mapped")
        }
        try verify(mapping.physical.rawValue == places.devices + (address - first), "it is at \(mapping.physical)")
        let found = run.format.attributes(of: mapping.leaf, at: mapping.level)
        try verify(found == attributes, "\(hexadecimal(address)): \(found), not \(attributes)")
    }

    private func joins() throws {
        // A page at a time, so that tables stay behind; then all at once.
        for (level, first) in leafPlaces() {
            let size = places.bytes(level)
            try map(first, places.pageBytes, to: places.devices)
            try unmap(first, places.pageBytes)
            try map(first, size, to: places.devices)
            let mapped = try bytesByLevel(first, size).reduce(0, +)
            try verify(mapped == size, "\(mapped) bytes are mapped")
            // What covers a whole entry frees the tables, and then the large leaf is used.
            try unmap(first, size)
            try map(first, size, to: places.devices)
            try verify(first, size, isMappedBy: [level: size])
            try clear(first, level)
        }
    }
}
