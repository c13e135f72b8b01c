import PageTableWalk
import PageTables
import SeededRandom
import Testing

/// What the walkers have to say about any space.
enum SpaceProperty: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case translation = "every page translates at its first, middle and last byte, and nothing beside it does"
    case ranges = "a survey has just the mapped pages, merged where they continue one another"
    case agreement = "translating and surveying agree on any address"
    case leaves = "a walk meets each leaf once, and holes fill all that is between"
    case parts = "a survey of a part is that part of the survey of everything"
    case reading = "a survey reads each entry of each table once, and nothing else"

    var testDescription: String { rawValue }
}

@Suite("In every space")
struct SpaceProperties {
    @Test(arguments: SpaceCase.all, SpaceProperty.allCases)
    func `it holds that`(space: SpaceCase, property: SpaceProperty) throws { try space.check(property) }
}

/// A property that does not hold, with the line that replays the random choices.
struct SpaceFailure: Error, CustomStringConvertible {
    let place: String
    let line: Int

    var description: String {
        "SpaceProperties.swift:\(line): \(place); \(SeededRandom.replay("PageTableWalkTests"))"
    }
}

struct SpaceCheck<F: PageTableFormat> {
    let built: BuiltSpace<F>
    let name: String

    private var space: AddressSpace<F> { built.space }
    private var format: F { built.space.format }

    func check(_ property: SpaceProperty) throws {
        try verify(built.pages.count > 4, "too little is mapped to tell anything")
        switch property {
        case .translation: try translation()
        case .ranges: try ranges()
        case .agreement: try agreement()
        case .leaves: try leaves()
        case .parts: try parts()
        case .reading: try reading()
        }
    }

    private func verify(_ holds: Bool, _ place: @autoclosure () -> String, line: Int = #line) throws {
        if !holds { throw SpaceFailure(place: "\(name): \(place())", line: line) }
    }

    // MARK: Properties

    private func translation() throws {
        for page in built.pages {
            let before = page.first == 0 ? page.first : page.first - 1
            let behind = page.last == .max ? page.last : page.last + 1
            for address in [page.first, page.first + page.lastOffset / 2, page.last, before, behind] {
                try verifyTranslation(of: address)
            }
        }
        for tree in space.trees {
            try verifyTranslation(of: tree.range.first.rawValue)
            try verifyTranslation(of: tree.range.last.rawValue)
            try verifyTranslation(of: tree.range.first.rawValue &- 1)
            try verifyTranslation(of: tree.range.last.rawValue &+ 1)
        }
    }

    private func verifyTranslation(of address: UInt64, line: Int = #line) throws {
        let virtual = VirtualAddress(address)
        let place = "\(virtual)"
        switch (try space.translate(virtual, in: built.memory), built.page(at: address)) {
        case (.mapped(let mapping), let page?):
            try verify(mapping.physical.rawValue == page.physical + (address - page.first), place, line: line)
            try verify(mapping.level == page.level, place, line: line)
            try verify(mapping.rights == page.attributes.rights, place, line: line)
            var attributes = format.attributes(of: mapping.leaf, at: mapping.level)
            attributes.rights = mapping.rights
            try verify(attributes == page.attributes, place, line: line)
            try verify(format.leafSize(of: mapping.leaf, at: mapping.level) == page.size, place, line: line)
        case (.unmapped(let fault), nil):
            let inside = space.trees.contains { $0.range.contains(virtual) }
            try verify(fault.reason == (inside ? .notPresent : .outOfRange), place, line: line)
        case (.mapped, nil): throw SpaceFailure(place: "\(name): \(virtual) is mapped", line: line)
        case (.unmapped(let fault), _?):
            throw SpaceFailure(place: "\(name): \(virtual) is not mapped: \(fault)", line: line)
        }
    }

    private func ranges() throws {
        let survey = try space.survey(in: built.memory)
        try verify(survey.oddities.isEmpty, "\(survey.oddities)")
        try verifyRanges(survey, .all)
    }

    private func verifyRanges(_ survey: Survey, _ range: VirtualRange, line: Int = #line) throws {
        let expected = merged(built.pages.compactMap { $0.cut(to: range) })
        for (range, wanted) in zip(survey.ranges, expected) {
            try verify(range == wanted, "\(range) instead of \(wanted)", line: line)
        }
        try verify(survey.ranges.count == expected.count, "\(range)", line: line)
    }

    private func agreement() throws {
        let survey = try space.survey(in: built.memory)
        var random = SeededRandom(for: "addresses \(name)")
        for number in 0..<2000 {
            var address = random.next()
            if number & 3 > 0, let page = built.pages.randomElement(using: &random) {
                address = page.first &+ random.sparse(number & 3) & (page.lastOffset << 2 | 3)
            }
            let virtual = VirtualAddress(address)
            let range = survey.range(mapping: virtual)
            guard case .mapped(let mapping) = try space.translate(virtual, in: built.memory) else {
                try verify(range == nil, "\(virtual) in \(String(describing: range))")
                continue
            }
            try verify(range != nil, "\(virtual)")
            guard let range else { continue }
            let offset = address - range.first.rawValue
            try verify(mapping.physical.rawValue == range.physical.rawValue + offset, "\(virtual)")
            try verify(mapping.rights == range.attributes.rights, "\(virtual)")
            try verify(mapping.level.rawValue == Int(range.level), "\(virtual)")
        }
    }

    private func leaves() throws {
        var random = SeededRandom(for: "walks \(name)")
        try verifyWalk(over: .all)
        for _ in 0..<4 { try verifyWalk(over: randomRange(&random)) }
    }

    private func verifyWalk(over range: VirtualRange) throws {
        var recorder = WalkRecorder<F>()
        try verify(try space.walk(range, in: built.memory, visitor: &recorder), "a walk stopped over \(range)")
        let expected = built.pages.compactMap { $0.cut(to: range) }.map { VirtualRange($0) }
        try verify(recorder.leaves == expected, "leaves of \(range)")
        var covered: [VirtualRange] = []
        for part in recorder.covered {
            if let last = covered.last, last.last.rawValue &+ 1 == part.first.rawValue,
                !space.trees.contains(where: { $0.range.first == part.first })
            {
                covered[covered.count - 1] = VirtualRange(first: last.first, last: part.last)
            } else {
                covered.append(part)
            }
        }
        let wanted = space.trees.compactMap { $0.range.intersection(range) }
        try verify(covered == wanted, "\(range) is covered as \(covered)")
        for (hole, level) in recorder.holes {
            for address in [hole.first, hole.last] {
                guard case .unmapped(let fault) = try space.translate(address, in: built.memory) else {
                    throw SpaceFailure(place: "\(name): \(address) is in a hole", line: #line)
                }
                try verify(fault.level == level, "\(address) ends at level \(fault.level), its hole is at \(level)")
            }
        }
        var holes: [Hole] = []
        for (hole, level) in recorder.holes {
            if let last = holes.last, last.level == level, last.virtual.last.rawValue &+ 1 == hole.first.rawValue {
                holes[holes.count - 1] = Hole(VirtualRange(first: last.virtual.first, last: hole.last), level: level)
            } else {
                holes.append(Hole(hole, level: level))
            }
        }
        let surveyed = try space.survey(range, in: built.memory, holes: true).holes
        try verify(surveyed == holes, "holes of \(range)")
    }

    private func parts() throws {
        var random = SeededRandom(for: "parts \(name)")
        for _ in 0..<6 {
            let range = randomRange(&random)
            try verifyRanges(try space.survey(range, in: built.memory), range)
        }
    }

    /// Ranges that start and end in pages, beside them or anywhere.
    private func randomRange(_ random: inout SeededRandom) -> VirtualRange {
        let bounds = (0..<2).map { _ in
            let page = built.pages.randomElement(using: &random)
            let inside = page.map { $0.first + random.next() % ($0.lastOffset + 1) } ?? 0
            return [page?.first, page?.last, page.map { $0.last &+ 1 }, inside, random.next()].compactMap(\.self)
                .randomElement(using: &random) ?? 0
        }.sorted()
        return VirtualRange(first: VirtualAddress(bounds[0]), last: VirtualAddress(bounds[1]))
    }

    private func reading() throws {
        built.memory.forgetLoads()
        let survey = try space.survey(in: built.memory)
        let loads = built.memory.loads
        var entries = 0
        for (table, reaches) in built.reaches {
            let visited = IndexLimits(
                first: reaches.map(\.indexes.first).min() ?? 0, last: reaches.map(\.indexes.last).max() ?? 0)
            for index in visited.first...visited.last {
                // Tables below entries with other rights map other ranges, and are read again for them.
                let wanted = reaches.count { $0.indexes.contains(index) }
                let count = loads[table.address + UInt64(index * F.entryBytes)] ?? 0
                try verify(count == wanted, "entry \(index) of \(table) is loaded \(count) times, not \(wanted)")
            }
            entries += visited.last - visited.first + 1
            let surveyed = survey.tables.filter { $0.address.rawValue == table.address && $0.level == table.level }
            try verify(surveyed.count == 1, "\(table) is listed \(surveyed.count) times")
            let slots = (built.tables[table] ?? [:]).filter { visited.contains($0.key) }
            let leaves = slots.values.count { if case .leaf = $0 { true } else { false } }
            try verify(surveyed[0].indexes == visited, "\(table)")
            try verify(surveyed[0].leaves == leaves, "\(table): \(surveyed[0].leaves) leaves, not \(leaves)")
            try verify(surveyed[0].tables == slots.count - leaves, "\(table): \(surveyed[0].tables) tables")
        }
        try verify(loads.count == entries, "something that is no entry is loaded")
    }

    // MARK: The simple way

    /// Pages joined where both addresses go on and all else is equal.
    private func merged(_ pages: [ModelPage]) -> [MappedRange] {
        var result: [MappedRange] = []
        for page in pages {
            var (first, physical, lastOffset) = (page.first, page.physical, page.lastOffset)
            if let last = result.last, last.last.rawValue &+ 1 == page.first,
                last.physical.rawValue &+ last.lastOffset &+ 1 == page.physical, last.attributes == page.attributes,
                last.pageSize == page.size
            {
                (first, physical) = (last.first.rawValue, last.physical.rawValue)
                lastOffset += last.lastOffset + 1
                result.removeLast()
            }
            result.append(
                MappedRange(
                    first: VirtualAddress(first), physical: PhysicalAddress(physical), lastOffset: lastOffset,
                    attributes: page.attributes, pageSize: page.size, level: UInt8(page.level.rawValue)))
        }
        return result
    }
}

extension VirtualRange {
    init(_ page: ModelPage) { self.init(first: VirtualAddress(page.first), last: VirtualAddress(page.last)) }
}

/// Hears of everything in the order of a walk.
struct WalkRecorder<Format: PageTableFormat>: PageWalkVisitor {
    private(set) var leaves: [VirtualRange] = []
    private(set) var holes: [(VirtualRange, Level)] = []
    /// Leaves and holes.
    private(set) var covered: [VirtualRange] = []

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        leaves.append(VirtualRange(first: first, last: last))
        covered.append(VirtualRange(first: first, last: last))
        return .proceed
    }

    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction {
        holes.append((VirtualRange(first: first, last: last), visit.level))
        covered.append(VirtualRange(first: first, last: last))
        return .proceed
    }
}
