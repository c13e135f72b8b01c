import MemoryImages
import PageTableWalk
import PageTables
import Reports

/// One damaged input and everything that is asked of it.
struct MutationCase {
    let seed: UInt64
    private(set) var failures: [String] = []
    private(set) var wasOpened = false

    let start: MutationSeed
    private let scratch: MutationScratch
    private var random: CaseRandom

    private static let limits = SurveyLimits(repeatedRanges: 1000, oddities: 100)

    init(seed: UInt64, _ seeds: [MutationSeed], _ scratch: MutationScratch) throws {
        self.seed = seed
        self.scratch = scratch
        random = CaseRandom(seed: seed)
        start = seeds[random.below(seeds.count)]
    }

    mutating func run() {
        var description = start.description
        var mutator = Mutator(start, random)
        if let text = description, random.chance(1, in: 12) {
            description = damage(text: text)
        } else {
            mutator.run()
        }
        random = mutator.random
        scratch.write(mutator.bytes, description)

        // Somebody who knows better than the description, or thinks so.
        var paging: Paging?
        var overrides = Registers()
        if random.chance(1, in: 12) { paging = Paging.allCases.randomElement(using: &random) }
        if random.chance(1, in: 12) {
            let names = [
                "CR0", "CR3", "CR4", "EFER", "ASCE", "TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "TTBR0", "TTBR1",
                "TTBCR", "satp", "PRTE0", "PRTE0_KERNEL", "PGD",
            ]
            for _ in 0..<1 + random.below(3) {
                overrides[names[random.below(names.count)]] = random.next() >> UInt64(random.below(64))
            }
        }
        do throws(ImageError) {
            let inspected = try scratch.open(paging: paging, overrides: overrides)
            wasOpened = true
            ask(inspected)
        } catch {
            check(!error.description.contains("\n"), "an error of several lines")
            check(error.path.hasPrefix(scratch.imagePath), "an error that names no file")
        }
    }

    private mutating func check(_ holds: Bool, _ failure: @autoclosure () -> String) {
        if !holds && failures.count < 4 { failures.append("\(start.name): \(failure())") }
    }

    /// Text with characters that mean something where others were.
    private mutating func damage(text: [UInt8]) -> [UInt8] {
        var text = text
        let marks = Array("{}[]\":,0x-9eE.\\ntfu \u{0}".utf8) + [0xff, 0xc3]
        for _ in 0..<1 + random.below(4) {
            guard !text.isEmpty else { break }
            let place = random.below(text.count)
            switch random.below(5) {
            case 0: text[place] = marks[random.below(marks.count)]
            case 1: text.insert(marks[random.below(marks.count)], at: place)
            case 2: text.removeSubrange(place..<min(text.count, place + 1 + random.below(12)))
            case 3: text[place] = UInt8(truncatingIfNeeded: random.next())
            default:
                let piece = text[place..<min(text.count, place + 1 + random.below(40))]
                text.insert(contentsOf: piece, at: random.below(text.count))
            }
        }
        return text
    }

    // MARK: questions

    private mutating func ask(_ inspected: InspectedImage) {
        let image = inspected.image
        let ranges = image.physicalRanges
        for (range, next) in zip(ranges, ranges.dropFirst()) {
            check(range.last < next.first, "memory that is not sorted or overlaps")
        }
        for _ in 0..<4 {
            guard let range = ranges.randomElement(using: &random) else { break }
            let place = random.chance(1, in: 2) ? range.first.rawValue : range.last.rawValue &- UInt64(random.below(64))
            let count = random.below(8192)
            check(image.bytes(at: PhysicalAddress(place), count: count).count <= count, "more bytes than asked for")
        }
        var buffer = ReportBuffer()
        InfoReport().appendText(inspected, to: &buffer)
        InfoReport().appendJSON(inspected, to: &buffer)

        var roots: [Root] = []
        if let root = inspected.roots.randomElement(using: &random) { roots.append(root) }
        if let root = try? inspected.rootOfOverrides() { roots.append(root) }
        if roots.isEmpty || random.chance(1, in: 8) {
            let place = ranges.randomElement(using: &random)?.first.rawValue ?? 0
            let value = random.chance(1, in: 2) ? place &+ UInt64(random.below(0x3000)) : random.next()
            if let root = try? inspected.root(hexadecimal(value)) { roots.append(root) }
        }
        let available = ranges.reduce(0 as UInt64) { $0 &+ ($1.byteCount ?? .max) }
        for root in roots.prefix(2) where inspected.missingTopTable(of: root) == nil {
            for view in View.allCases { ask(root, view, image, available) }
        }
        check(image.warnings.count <= 40, "\(image.warnings.count) warnings")
    }

    private mutating func ask(_ root: Root, _ view: View, _ image: MemoryImage, _ available: UInt64) {
        let space = root.space
        let part =
            random.chance(3, in: 4)
            ? VirtualRange.all : randomRange(VirtualAddress(random.next()), VirtualAddress(random.next()))
        let survey = space.survey(part, view: view, in: image.contents, limits: Self.limits, holes: true)
        check(
            // A top table that is not there is no table of the survey, but the survey says so.
            part != .all || space.trees.isEmpty || !survey.tables.isEmpty || !survey.oddities.isEmpty,
            "a survey of nothing, \(space.paging.rawValue), \(view)")
        bound(survey, space, available)
        consistency(of: survey, part, space, view, image)

        let levels = space.levelCount
        for _ in 0..<8 {
            var address = random.next() >> UInt64(random.below(64))
            if let range = survey.ranges.randomElement(using: &random), random.chance(1, in: 2) {
                address = range.first.rawValue &+ UInt64(random.below(3)) &- 1
            }
            let answer = space.translate(VirtualAddress(address), view: view, in: image.contents, steps: true)
            check(answer.steps.count <= levels, "\(answer.steps.count) steps through \(levels) levels")
            check((answer.page == nil) != (answer.reason == nil), "neither mapped nor a reason")
        }
        completeness(of: survey, part, space, view, image)
        report(survey, root, view)
    }

    /// What a translation finds is in the survey, unless the survey says that it left something out.
    private mutating func completeness(
        of survey: Survey, _ part: VirtualRange, _ space: AnyAddressSpace, _ view: View, _ image: MemoryImage
    ) {
        let isWhole =
            survey.furtherOddities == 0
            && survey.oddities.allSatisfy {
                switch $0.kind {
                case .loop, .repeatLeftOut: false
                case .absent, .malformed: true
                }
            }
        let geometry = space.paging.geometry.levels
        guard isWhole, !survey.tables.isEmpty else { return }
        for _ in 0..<8 {
            let table = survey.tables[random.below(survey.tables.count)]
            guard let level = geometry.first(where: { $0.level == table.level }) else { continue }
            let index = table.indexes.first + random.below(table.indexes.last - table.indexes.first + 1)
            let address = VirtualAddress(table.base.rawValue &+ UInt64(index) << UInt64(level.log2Bytes))
            guard part.contains(address) else { continue }
            guard let page = space.translate(address, view: view, in: image.contents).page else { continue }
            check(
                survey.range(mapping: address) != nil,
                "\(address) is at \(page.physical), and not in the survey, \(space.paging.rawValue), \(view)")
        }
    }

    private func randomRange(_ one: VirtualAddress, _ other: VirtualAddress) -> VirtualRange {
        VirtualRange(first: min(one, other), last: max(one, other))
    }

    /// Work and memory follow from what is in the file, not from what it claims.
    private mutating func bound(_ survey: Survey, _ space: AnyAddressSpace, _ available: UInt64) {
        let entryBytes = UInt64(space.paging.entryBytes)
        let levels = UInt64(space.levelCount)
        // Each word of memory leads to one table at most for each level that it may be read at.
        let words = available / entryBytes + 1
        check(
            UInt64(survey.tables.count) <= 2 + words &* levels,
            "\(survey.tables.count) tables from \(words) words")
        let entries = survey.tables.reduce(0) { $0 + $1.indexes.last - $1.indexes.first + 1 }
        let leaves = survey.tables.reduce(0) { $0 + $1.leaves }
        check(leaves <= entries, "\(leaves) leaves in \(entries) entries")
        // A table is read once for each set of rights above it, of which there are 64.
        check(
            survey.ranges.count <= 64 * max(1, min(entries, Int(clamping: words))) + Self.limits.repeatedRanges,
            "\(survey.ranges.count) ranges")
        check(survey.oddities.count <= Self.limits.oddities, "\(survey.oddities.count) oddities")
    }

    /// What a survey lists is what a translation finds.
    private mutating func consistency(
        of survey: Survey, _ part: VirtualRange, _ space: AnyAddressSpace, _ view: View, _ image: MemoryImage
    ) {
        for (range, next) in zip(survey.ranges, survey.ranges.dropFirst()) where range.last >= next.first {
            check(false, "\(range.virtual) and then \(next.virtual), \(space.paging.rawValue), \(view)")
        }
        for _ in 0..<8 {
            guard let range = survey.ranges.randomElement(using: &random) else { break }
            check(part.contains(range.first) && part.contains(range.last), "\(range.virtual) is outside \(part)")
            for offset in [0, range.lastOffset, random.next() & range.lastOffset >> 1] {
                let address = VirtualAddress(range.first.rawValue &+ offset)
                let page = space.translate(address, view: view, in: image.contents).page
                check(
                    page?.physical.rawValue == range.physical.rawValue &+ offset,
                    "\(address) is at \(page.map { "\($0.physical)" } ?? "nothing"), and in the survey at "
                        + "\(hexadecimal(range.physical.rawValue &+ offset)), \(space.paging.rawValue), \(view)")
                check(
                    page.map { $0.rights == range.attributes.rights } ?? true,
                    "\(address) has other rights in the survey")
            }
            check(survey.range(mapping: range.last) == range, "\(range.last) is not found in its survey")
            check(
                survey.mappings(of: PhysicalRange(first: range.physical, last: range.physical))
                    .contains { $0.first == range.first }, "\(range.physical) is not found backwards")
        }
        for (hole, next) in zip(survey.holes, survey.holes.dropFirst()) {
            check(hole.virtual.last < next.virtual.first, "\(next.virtual) is not behind \(hole.virtual)")
        }
        for hole in survey.holes.prefix(64) {
            let page = space.translate(hole.virtual.first, view: view, in: image.contents).page
            check(page == nil, "\(hole.virtual) is no hole")
        }
        let holes = survey.holes(in: part)
        check(holes.count <= survey.ranges.count + 1, "\(holes.count) holes")
    }

    private mutating func report(_ survey: Survey, _ root: Root, _ view: View) {
        var buffer = ReportBuffer()
        let dump = DumpReport(of: root.space, view: view)
        for range in survey.ranges.prefix(16) + survey.ranges.suffix(16) {
            dump.appendText(range, to: &buffer)
            dump.appendJSON(range, to: &buffer)
        }
        let statistics = root.space.statistics(of: survey)
        check(statistics.rangeCount == survey.ranges.count, "statistics of other ranges")
        StatisticsReport(of: root).appendText(statistics, to: &buffer)
        StatisticsReport(of: root).appendJSON(statistics, to: &buffer)
        let findings = root.space.audit(survey)
        check(
            findings.count <= 4 * survey.ranges.count + survey.oddities.count, "\(findings.count) findings")
        let audit = AuditReport(of: root, view: view)
        for finding in findings.prefix(16) + findings.suffix(16) {
            audit.appendText(finding, to: &buffer)
            audit.appendJSON(finding, to: &buffer)
        }
        RootReport().appendText([root], to: &buffer)
    }
}
