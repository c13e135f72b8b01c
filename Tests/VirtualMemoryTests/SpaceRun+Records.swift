import PageTableWalk
import PageTables
import TableMemory

@testable import VirtualMemory

// What is told of pages, compared with the model: by pages and intervals, without a thought of tables and blocks' words.

extension SpaceRun {
    /// What a survey has is what is mapped, and its holes are all else.
    func compareSurvey(_ range: VirtualRange) throws {
        let survey = try memory.withRCUReader { (section) throws(MemoryMisuse) in
            try space.survey(range, in: section, holes: true)
        }
        var found = IntervalMap<ModelPage>()
        for part in survey.ranges {
            let page = ModelPage(physical: part.physical.rawValue, attributes: part.attributes)
            found.append(.init(first: part.first.rawValue, last: part.last.rawValue, value: page))
        }
        var expected = IntervalMap<ModelPage>()
        for part in model.mappings.parts(range.first.rawValue, range.last.rawValue) { expected.append(part) }
        try verify(found == expected, "\(found.intervals) in a survey of \(range), not \(expected.intervals)")
        for hole in survey.holes {
            let (first, last) = (hole.virtual.first, hole.virtual.last)
            try verify(model.mappings.parts(first.rawValue, last.rawValue).isEmpty, "\(hole.virtual) is no hole")
            for address in [first, last] {
                guard case .unmapped(let fault) = try translate(address.rawValue) else {
                    throw failure("\(address) is in a hole")
                }
                try verify(fault.level == hole.level, "\(address) ends at \(fault.level), its hole at \(hole.level)")
            }
        }
        let holes = survey.holes.reduce(UInt64(0)) { $0 + ($1.virtual.byteCount ?? 0) }
        let mapped = survey.ranges.reduce(UInt64(0)) { $0 + $1.byteCount }
        let translated = space.format.addressSpace(root: PhysicalAddress(0), topLevel: model.topLevel).trees
            .compactMap { $0.range.intersection(range)?.byteCount }.reduce(0, +)
        try verify(holes + mapped == translated, "\(holes) bytes of holes in \(range)")
    }

    /// Records, categories, counts of frames: of the first pages of a range.
    func comparePages(_ range: VirtualRange) throws {
        let first = range.first.rawValue & ~(model.pageBytes - 1)
        let count = min((range.last.rawValue - first) / model.pageBytes + 1, 64)
        let pages = VirtualRange(
            first: VirtualAddress(first), last: VirtualAddress(first + (count * model.pageBytes - 1)))
        var records: [PageRecord] = [.hole]
        try space.readPageRecords(of: pages, in: memory, into: &records)
        try verify(records.count == Int(count) + 1, "\(records.count - 1) records of \(count) pages")
        var categories: [PageCategories] = []
        for (number, record) in records.dropFirst().enumerated() {
            categories.append(try compare(record, first + UInt64(number) * model.pageBytes))
        }
        try compareScan(pages, categories)
        try compareFrames(pages)
    }

    /// - Returns: The categories of the page.
    private func compare(_ record: PageRecord, _ address: UInt64) throws -> PageCategories {
        guard let page = model.mappings.value(at: address), case .mapped(let mapping) = try translate(address) else {
            try verify(record == .hole, "\(hexadecimal(address)) has the record \(hexadecimal(record.rawValue))")
            return []
        }
        var isExclusive = false
        if let head = model.block(of: page.physical), let block = model.blocks[head] {
            let leafPages = places.bytes(mapping.level) / model.pageBytes
            isExclusive = model.mappedPages(of: block) == leafPages
        }
        let wanted = 1 << 63 | page.physical / model.pageBytes | (isExclusive ? 1 << 56 : 0)
        try verify(
            record.rawValue == wanted, "\(hexadecimal(address)) has the record \(hexadecimal(record.rawValue))")
        var categories: PageCategories = .present
        if mapping.level > .leafTable { categories.insert(.huge) }
        if !format.leavesSayAllWrites || page.attributes.flags.contains(.dirty) { categories.insert(.written) }
        return categories
    }

    /// A random query, answered page by page.
    private func compareScan(_ pages: VirtualRange, _ categories: [PageCategories]) throws {
        func some() -> PageCategories { chance(2) ? [] : PageCategories(rawValue: random.next() & random.next()) }
        let possible: PageCategories = [.present, .huge, .written, .file]
        let query = PageQuery(
            all: some().intersection(possible), any: some().intersection(possible), inverted: some(),
            told: PageCategories(rawValue: chance(2) ? .max : random.next()))
        let mostPages = chance(2) ? UInt64.max : random.next() % 20
        let mostRanges = chance(2) ? Int.max : Int(random.next() % 4)
        let found = try space.scanPages(
            of: pages, for: query, mostPages: mostPages, mostRanges: mostRanges, in: memory)
        var expected = PageScan()
        for (number, categories) in categories.enumerated() where expected.walkEnd == nil {
            let first = pages.first.rawValue + UInt64(number) * model.pageBytes
            let asked = PageCategories(rawValue: categories.rawValue ^ query.inverted.rawValue)
            guard asked.intersection(query.all) == query.all else { continue }
            guard query.any.isEmpty || !asked.intersection(query.any).isEmpty else { continue }
            let told = categories.intersection(query.told)
            let last = VirtualAddress(first + (model.pageBytes - 1))
            if let range = expected.ranges.last, range.categories == told, range.virtual.last.rawValue + 1 == first {
                if expected.pageCount < mostPages {
                    let whole = VirtualRange(first: range.virtual.first, last: last)
                    expected.ranges[expected.ranges.count - 1] = PageScan.Found(whole, told)
                    expected.pageCount += 1
                } else {
                    expected.walkEnd = VirtualAddress(first)
                }
            } else if expected.pageCount < mostPages, expected.ranges.count < mostRanges {
                expected.ranges.append(
                    PageScan.Found(VirtualRange(first: VirtualAddress(first), last: last), told))
                expected.pageCount += 1
            } else {
                expected.walkEnd = VirtualAddress(first)
            }
        }
        try verify(found == expected, "\(query) of \(pages) finds \(found), not \(expected)")
    }

    private func compareFrames(_ pages: VirtualRange) throws {
        let found = try memory.withRCUReader { (section) throws(MemoryMisuse) in
            try space.summary(of: pages, countingFrames: true, in: section)
        }
        var wanted = FrameUse()
        for part in model.mappings.parts(pages.first.rawValue, pages.last.rawValue) {
            let memory = PhysicalRange(
                first: PhysicalAddress(part.value.physical),
                last: PhysicalAddress(part.value.physical + (part.last - part.first)))
            for block in model.blocks.values {
                guard let bytes = memory.intersection(block.physical)?.byteCount else { continue }
                let (mappings, framePages) = (model.mappedPages(of: block), UInt64(block.order.frameCount))
                let perPage = model.pageBytes * 4096 * framePages / max(mappings, framePages)
                let share = bytes / model.pageBytes * perPage
                wanted.residentBytes += bytes
                wanted.anonymousBytes += bytes
                wanted.share += share
                let flags = part.value.attributes.flags
                if flags.contains(.accessed) { wanted.referencedBytes += bytes }
                switch (flags.contains(.dirty), mappings > framePages) {
                case (true, true): wanted.sharedDirtyBytes += bytes
                case (true, false): wanted.privateDirtyBytes += bytes
                case (false, true): wanted.sharedCleanBytes += bytes
                case (false, false): wanted.privateCleanBytes += bytes
                }
                if flags.contains(.dirty) { wanted.dirtyShare += share }
            }
        }
        var frames = found.frames
        // By which leaves, the model does not know.
        frames?.largeAnonymousBytes = 0
        try verify(frames == wanted, "\(pages) has \(String(describing: frames)), not \(wanted)")
    }
}
