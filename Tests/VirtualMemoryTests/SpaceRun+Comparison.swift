import PageTableWalk
import PageTables
import TableMemory

@testable import VirtualMemory

extension SpaceRun {
    /// Compares all that can be seen of the space with the model.
    func compare() throws {
        let tables = try compareMappings()
        try compareCounts(tables)
        for (page, tag) in model.blocks.values.flatMap(\.tags) {
            let word = try memory.load(Word<UInt64>(PhysicalAddress(page)), .relaxed)
            try verify(word == tag, "the page \(hexadecimal(page)) holds \(hexadecimal(word))")
        }
    }

    /// - Returns: The tables that the space has.
    private func compareMappings() throws -> Set<PhysicalAddress> {
        var collector = MappingCollector<F>()
        try memory.withRCUReader { (section) throws(MemoryMisuse) in
            let view = try space.view(in: section)
            _ = try view.walk(in: section, visitor: &collector)
        }
        try verify(collector.malformed == 0, "entries are malformed")
        let expected = model.mappings.joined.intervals
        for (found, wanted) in zip(collector.mappings.intervals, expected) {
            try verify(found == wanted, "\(found) instead of \(wanted)")
        }
        try verify(
            collector.mappings.intervals.count == expected.count,
            "\(collector.mappings.intervals.count) intervals, not \(expected.count)")
        try verify(try topLevel() == model.topLevel, "the space has not level \(model.topLevel)")
        return collector.tables
    }

    /// Every frame is free, in a block of the model, or has a table; the counts are those of the model.
    private func compareCounts(_ tables: Set<PhysicalAddress>) throws {
        let tableFrames = Set(tables.compactMap { layout.map.frame(of: $0) })
        var used: UInt64 = 0
        for frame in tableFrames {
            let block = FrameBlock(rawValue: try memory.load(layout.map.descriptor(of: frame).block, .relaxed))
            used += UInt64(block.order.frameCount)
            let count = try memory.load(layout.map.descriptor(of: frame).references, .relaxed)
            try verify(count == 1, "a table's frame has \(count) references")
        }
        for (head, block) in model.blocks {
            used += UInt64(block.order.frameCount)
            let counts = layout.map.descriptor(of: head)
            let mapped = model.mappedPages(of: block)
            let isSingle = block.order == .single
            let pins = isSingle ? block.pinnedPages * UInt64(FrameReferences.bias) : block.pinnedPages
            let expected = (block.isHeld ? 1 : 0) + mapped + pins
            let found = UInt64(try memory.load(counts.references, .relaxed))
            try verify(found == expected, "\(head) has \(found) references, not \(expected)")
            let mapCount = UInt64(try memory.load(counts.mapCount, .relaxed))
            try verify(mapCount == mapped, "\(head) has \(mapCount) mappings, not \(mapped)")
            let pinned = UInt64(try memory.load(counts.pins, .relaxed))
            try verify(pinned == (isSingle ? 0 : block.pinnedPages), "\(head) has \(pinned) pins")
            let mayBePinned = try references.mayBePinned(head, in: memory)
            try verify(mayBePinned || block.pinnedPages == 0, "\(head) is pinned and does not look it")
        }
        let free = try references.allocator.freeFrameCount(in: memory)
        try verify(
            free + used == UInt64(layout.map.frameCount),
            "\(layout.map.frameCount) frames are \(free) free and \(used) in use")
    }

    /// Compares translations, at the edges of what is mapped and anywhere, and the sums of a range.
    func compareSamples(_ count: Int) throws {
        for _ in 0..<count {
            var address = places.address(&random)
            if let interval = model.mappings.intervals.randomElement(using: &random), random.next() & 3 > 0 {
                let inside = interval.first + random.next() % (interval.last - interval.first + 1)
                address =
                    [interval.first, interval.last, interval.first &- 1, interval.last &+ 1, inside]
                    .randomElement(using: &random) ?? inside
            }
            let page = model.mappings.value(at: address)
            guard case .mapped(let mapping) = try translate(address) else {
                try verify(page == nil, "\(hexadecimal(address)) is not mapped")
                continue
            }
            try verify(mapping.physical.rawValue == page?.physical, "\(hexadecimal(address)) is at \(mapping.physical)")
            try verify(mapping.rights == page?.attributes.rights, "\(hexadecimal(address)) has \(mapping.rights)")
        }
        let range = places.range(&random, near: model)
        let (first, last) = (range.first.rawValue, range.last.rawValue)
        let summary = try memory.withRCUReader { (section) throws(MemoryMisuse) in
            try space.summary(of: range, in: section)
        }
        let expected = model.summary(of: VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last)))
        try verify(summary.mappedBytes == expected.mapped, "\(summary.mappedBytes) bytes mapped in \(range)")
        try verify(summary.writableBytes == expected.writable, "\(summary.writableBytes) bytes writable in \(range)")
        try verify(summary.accessedBytes == expected.accessed, "\(summary.accessedBytes) bytes accessed in \(range)")
        try verify(summary.dirtyBytes == expected.dirty, "\(summary.dirtyBytes) bytes dirty in \(range)")
        try compareSurvey(range)
        try comparePages(range)
    }
}

/// Collects what a walk finds, whatever leaves it is mapped with.
struct MappingCollector<Format: WritableFormat>: PageWalkVisitor {
    private(set) var mappings = IntervalMap<ModelPage>()
    private(set) var tables: Set<PhysicalAddress> = []
    private(set) var malformed = 0

    static var joinsLeaves: Bool { true }

    mutating func enter(_ visit: TableVisit) -> WalkAction {
        tables.insert(visit.table)
        return .proceed
    }

    mutating func leaves(
        _ entry: Entry, _ format: Format, at indexes: IndexLimits, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        var attributes = format.attributes(of: entry, at: visit.level)
        attributes.rights.formIntersection(visit.rights)
        let page = ModelPage(
            physical: format.physical(of: entry, at: visit.level, for: first).rawValue, attributes: attributes)
        mappings.append(.init(first: first.rawValue, last: last.rawValue, value: page))
        return .proceed
    }

    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        malformed += 1
        return .proceed
    }
}
