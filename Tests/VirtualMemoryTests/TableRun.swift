import HostMemory
import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

/// What a page is mapped to.
private struct PlainPage: Equatable {
    /// Of memory that is no frame: a page of frames may be copied elsewhere.
    var device: UInt64?
    /// The first word of a page of frames.
    var tag: UInt64?
    var isWritable: Bool
    var pin: Pin?
}

struct TableRunFailure: Error, CustomStringConvertible {
    let description: String
}

/// A live space in host memory beside a dictionary of its pages, and random operations on whole tables and parts of them.
final class TableRun<F: WritableFormat> {
    private let format: F
    private let name: String
    private let memory: HostMemory
    private let references: FrameReferences
    private let frameCount: UInt64
    private let space: Space<F>
    private var random: SeededRandom
    private var pages: [UInt64: PlainPage] = [:]
    /// Where a device is that a fault maps; by page.
    private var regions: [UInt64: UInt64] = [:]
    /// Pins of pages that are not mapped any more.
    private var pins: [Pin] = []
    private var nextTag: UInt64 = 1
    private var step = ""
    private(set) var done: [String: Int] = [:]

    init(_ format: F, _ name: String, filling: TableFilling, failures: Bool) throws {
        self.format = format
        self.name = name
        random = SeededRandom(for: name)
        let bytes = 64 << 20
        let policy = FailurePolicy(failures ? .random(seed: SeededRandom.seed, oneIn: 30) : .never)
        memory = HostProcessors(arena: try HostArena(byteCount: bytes), failures: policy).attach()
        let layout = try #require(PhysicalLayout(log2FrameBytes: format.log2FrameBytes, byteCount: UInt64(bytes)))
        references = layout.makeReferences()
        frameCount = UInt64(layout.map.frameCount)
        var made: Space<F>?
        // Also if the first attempts are refused the memory.
        for _ in 0..<10 where made == nil {
            made = try? Space.make(format, references, words: layout.spaceWords(), filling: filling, in: memory)
        }
        space = try #require(made)
    }

    deinit { memory.detach() }

    /// Does at least so many steps, and more until everything has happened that shall happen.
    func run(steps: Int, until wanted: Set<String>) throws {
        for number in 0..<20 * steps {
            if number >= steps, wanted.isSubset(of: done.keys) { break }
            switch UInt.random(in: 0..<16, using: &random) {
            case 0..<2: try mapDevice()
            case 2..<4: try mapFrames()
            case 4: try unmap()
            case 5: try protect()
            case 6..<10: try move()
            case 10..<12: try collapse()
            case 12: try retract()
            case 13: try addRegion()
            case 14: try fault()
            default: pin()
            }
            if number % 8 == 0 { try compare() }
        }
        try compare()
        for pin in pins + pages.values.compactMap(\.pin) { space.unpin(pin, in: memory) }
        space.tearDown(in: memory)
        step = "tear down"
        let free = references.allocator.freeFrameCount(in: memory)
        try verify(free == frameCount, "\(free) of \(frameCount) frames are free; left: \(leftFrames())")
    }

    /// The frames that still have references, and what else is known of them.
    private func leftFrames() -> String {
        let map = references.map
        let frames = (0..<map.frameCount).map { Frame(map.first.number + $0) }
        return frames.compactMap { frame in
            let descriptor = map.descriptor(of: frame)
            let count = memory.load(descriptor.references, .relaxed)
            let taken = memory.load(descriptor.taken(0), .relaxed)
            let pending = memory.load(descriptor.pending(0), .relaxed)
            let mapCount = memory.load(descriptor.mapCount, .relaxed)
            return count == 0 ? nil : "\(frame.number): \(count), \(mapCount) mappings, \(taken), \(pending)"
        }.joined(separator: "; ")
    }

    private func failure(_ what: String) -> TableRunFailure {
        TableRunFailure(description: "\(name): \(step): \(what); \(SeededRandom.replay("TableRunTests"))")
    }

    private func verify(_ holds: Bool, _ what: @autoclosure () -> String) throws {
        if !holds { throw failure(what()) }
    }

    // MARK: Ranges

    private var log2Page: UInt64 { UInt64(format.log2FrameBytes) }
    private var tablePages: UInt64 { 1 << format.indexBits(.leafTable) }
    /// Pages that the entries of a table of level 1 cover.
    private var upperPages: UInt64 { tablePages << format.indexBits(Level(1)) }

    /// Pages around which ranges begin: the start, a boundary of upper tables, and the start of another upper table.
    private var places: [UInt64] { [0, upperPages - 2 * tablePages, 3 * upperPages] }

    private func randomRange() -> Range<UInt64> {
        let place = places.randomElement(using: &random) ?? 0
        switch UInt.random(in: 0..<8, using: &random) {
        case 0:
            let start = place / upperPages * upperPages
            return start..<start + upperPages
        case 1..<5:
            let start = place + tablePages * UInt64.random(in: 0...3, using: &random)
            return start..<start + tablePages * UInt64.random(in: 1...2, using: &random)
        default:
            let start = place + UInt64.random(in: 0..<4 * tablePages, using: &random)
            return start..<start + UInt64.random(in: 1...tablePages + 3, using: &random)
        }
    }

    private func smallRange() -> Range<UInt64> {
        let range = randomRange()
        return range.lowerBound..<min(range.upperBound, range.lowerBound + 3 * tablePages)
    }

    private func addresses(_ range: Range<UInt64>) -> VirtualRange {
        VirtualRange(
            first: VirtualAddress(range.lowerBound << log2Page), last: VirtualAddress(range.upperBound << log2Page - 1))
    }

    private func address(_ page: UInt64) -> VirtualAddress { VirtualAddress(page << log2Page) }

    private func keys<Value>(_ dictionary: [UInt64: Value], _ range: Range<UInt64>) -> [UInt64] {
        dictionary.keys.filter(range.contains).sorted()
    }

    // MARK: Operations

    /// - Returns: Whether it happened.
    private func perform(
        _ label: String, expecting expected: Refusal?, _ body: () throws(SpaceError<Never>) -> Void
    ) throws -> Bool {
        step = label
        do throws(SpaceError<Never>) { try body() } catch {
            guard case .refused(let refusal) = error else { return false }
            if refusal == .outOfMemory { return false }
            try verify(refusal == expected, "\(refusal), expected \(String(describing: expected))")
            return false
        }
        try verify(expected == nil, "it happened, expected \(String(describing: expected))")
        done[String(label.prefix { $0 != " " }), default: 0] += 1
        return true
    }

    private func refusalToMap(_ range: Range<UInt64>) -> Refusal? {
        keys(pages, range).first.map { .alreadyMapped(address($0)) }
    }

    private func mapDevice() throws {
        let range = smallRange()
        // As aligned as the addresses, or not.
        let offset = Bool.random(using: &random) ? 0 : UInt64.random(in: 1..<tablePages, using: &random)
        let start = (1 << 34) + (range.lowerBound % upperPages + offset) << log2Page
        let isMapped = try perform("map \(range) device", expecting: refusalToMap(range)) {
            () throws(SpaceError<Never>) in
            try space.map(addresses(range), to: PhysicalAddress(start), format.attributes([.read, .write]), in: memory)
        }
        guard isMapped else { return }
        for page in range {
            let place = start + (page - range.lowerBound) << log2Page
            pages[page] = PlainPage(device: place, tag: nil, isWritable: true)
        }
    }

    /// Maps single frames in any order, or a block.
    private func mapFrames() throws {
        let order = Bool.random(using: &random) ? Int(format.indexBits(.leafTable)) : 0
        var start = smallRange().lowerBound
        if Bool.random(using: &random) { start = start / tablePages * tablePages }
        for number in 0..<(order > 0 ? 1 : tablePages) {
            guard let head = references.allocator.allocate(FrameOrder(order), in: memory) else { return }
            defer { references.drop(on: head, in: memory) }
            let range = start + number..<start + number + 1 << UInt64(order)
            for index in 0..<UInt64(range.count) {
                let place = references.map.address(of: head).rawValue + index << log2Page
                memory.store(nextTag + index, to: Word<UInt64>(PhysicalAddress(place)), .relaxed)
            }
            let isMapped = try perform("map \(range) frames", expecting: refusalToMap(range)) {
                () throws(SpaceError<Never>) in
                try space.map(
                    addresses(range), to: references.map.address(of: head), format.attributes([.read, .write]),
                    in: memory)
            }
            guard isMapped else { return }
            for page in range {
                pages[page] = PlainPage(tag: nextTag, isWritable: true)
                nextTag += 1
            }
        }
    }

    private func unmap() throws {
        // Page by page, empty tables stay.
        let isSingle = Bool.random(using: &random)
        let range = isSingle ? smallRange() : randomRange()
        if isSingle {
            for page in range { try unmap(page..<page + 1) }
        } else {
            try unmap(range)
        }
    }

    private func unmap(_ range: Range<UInt64>) throws {
        let isUnmapped = try perform("unmap \(range)", expecting: nil) { () throws(SpaceError<Never>) in
            try space.unmap(addresses(range), in: memory)
        }
        guard isUnmapped else { return }
        for page in keys(pages, range) { if let pin = pages.removeValue(forKey: page)?.pin { pins.append(pin) } }
        for page in keys(regions, range) { regions[page] = nil }
    }

    private func protect() throws {
        let range = randomRange()
        let isProtected = try perform("protect \(range)", expecting: nil) { () throws(SpaceError<Never>) in
            try space.protect(addresses(range), format.attributes(.read).rights, in: memory)
        }
        // Regions are for reading only anyway.
        if isProtected { for page in keys(pages, range) { pages[page]?.isWritable = false } }
    }

    private func move() throws {
        let range = randomRange()
        var target = randomRange().lowerBound
        if Bool.random(using: &random) {
            // As aligned as the range, so that tables can move as a whole.
            target = target / tablePages * tablePages + range.lowerBound % tablePages
        }
        let targets = target..<target + UInt64(range.count)
        let mapped = refusalToMap(targets)
        var expected = keys(regions, targets).first.map { Refusal.alreadyMapped(address($0)) } ?? mapped
        if range.overlaps(targets) { expected = .invalidRange(addresses(targets)) }
        let isMoved = try perform("move \(range) to \(target)", expecting: expected) { () throws(SpaceError<Never>) in
            try space.move(addresses(range), to: address(target), in: memory)
        }
        guard isMoved else { return }
        for page in keys(pages, range) { pages[page - range.lowerBound + target] = pages.removeValue(forKey: page) }
        for page in keys(regions, range) {
            regions[page - range.lowerBound + target] = regions.removeValue(forKey: page)
        }
    }

    private func collapse() throws {
        let page = pages.keys.sorted().randomElement(using: &random) ?? 0
        let block = page / tablePages * tablePages..<(page / tablePages + 1) * tablePages
        step = "collapse \(block)"
        do throws(SpaceError<Never>) { try space.collapse(address(page), in: memory) } catch {
            guard case .refused(let refusal) = error else { return }
            switch refusal {
            case .outOfMemory: break
            case .notMapped: try verify(pages[page] == nil, "page \(page) is mapped")
            case .notCollapsible(let place):
                try verify(block.contains(place.rawValue >> log2Page), "\(place) is no page of it")
                try verify(!isDeviceBlock(block), "it is a block of a device")
            default: throw failure("\(refusal)")
            }
            return
        }
        done["collapse", default: 0] += 1
        try verify(pages[page] != nil, "nothing was mapped")
        let level = try summary(addresses(block))
        try verify(level.first { $0.key > 0 } != nil, "there is no large leaf")
    }

    private func isDeviceBlock(_ block: Range<UInt64>) -> Bool {
        guard let first = pages[block.lowerBound], let start = first.device, start >> log2Page % tablePages == 0 else {
            return false
        }
        return block.allSatisfy {
            pages[$0]?.device == start + ($0 - block.lowerBound) << log2Page
                && pages[$0]?.isWritable == first.isWritable
        }
    }

    private func retract() throws {
        let range = randomRange()
        let block = range.lowerBound / tablePages
        if keys(pages, block * tablePages..<(block + 1) * tablePages).isEmpty {
            // What is mapped and unmapped alone leaves a table.
            let page = block * tablePages
            let place = PhysicalAddress(1 << 34)
            let isMapped = try perform("map \(page)", expecting: nil) { () throws(SpaceError<Never>) in
                try space.map(addresses(page..<page + 1), to: place, format.attributes(.read), in: memory)
            }
            if isMapped { try unmap(page..<page + 1) }
        }
        step = "retract \(range)"
        let count = memory.withReadLock(space.words.lock) { lock in
            space.reclaimEmptyTables(in: addresses(range), lock: lock)
        }
        if count > 0 { done["retract", default: 0] += 1 }
        let again = memory.withReadLock(space.words.lock) { lock in
            space.reclaimEmptyTables(in: addresses(range), lock: lock)
        }
        try verify(again == 0, "\(again) empty tables were left")
    }

    private func addRegion() throws {
        let range = smallRange()
        let start: UInt64 = 1 << 35 + (range.lowerBound % upperPages) << log2Page
        let region = Region(
            addresses(range), .device(start: PhysicalAddress(start)), format.attributes(.read),
            largestLeaf: PageSize(log2Bytes: Int(log2Page)))
        let expected = keys(regions, range).first.map { Refusal.alreadyMapped(address($0)) }
        let isAdded = try perform("add \(range)", expecting: expected) { () throws(SpaceError<Never>) in
            try space.add(region, in: memory)
        }
        if isAdded { for page in range { regions[page] = start + (page - range.lowerBound) << log2Page } }
    }

    private func fault() throws {
        guard let page = regions.keys.sorted().randomElement(using: &random) else { return }
        let address = address(page)
        step = "fault \(page)"
        let refusal = memory.withReadLock(space.words.lock) { lock -> Refusal? in
            do throws(SpaceError<Never>) { try space.fault(address, for: .read, lock: lock) } catch {
                if case .refused(let refusal) = error { return refusal }
            }
            return nil
        }
        if refusal == .outOfMemory { return }
        try verify(refusal == nil, "\(String(describing: refusal))")
        done["fault", default: 0] += 1
        if pages[page] == nil { pages[page] = PlainPage(device: regions[page], tag: nil, isWritable: false) }
    }

    private func pin() {
        let free = pages.filter { $0.value.tag != nil && $0.value.pin == nil }.keys.sorted()
        guard let page = free.randomElement(using: &random) else { return }
        let pin = memory.withInterruptsBlocked { section in space.pinFast(address(page), for: .read, in: section) }
        pages[page]?.pin = pin
    }

    // MARK: Comparison

    private func summary(_ range: VirtualRange) throws -> [Int: UInt64] {
        let summary = memory.withRCUReader { section in space.summary(of: range, in: section) }
        return Dictionary(
            uniqueKeysWithValues: summary.bytesByLevel.enumerated().filter { $0.1 > 0 }.map { ($0.0, $0.1) })
    }

    private func compare() throws {
        var listing = Listing<F>(log2Page: log2Page)
        memory.withRCUReader { section in
            _ = space.view(in: section).walk(VirtualRange.all, in: section, visitor: &listing)
        }
        try verify(!listing.isMalformed, "an entry is malformed")
        for (page, wanted) in pages {
            guard let found = listing.pages[page] else { throw failure("page \(page) is not mapped") }
            try verify(found.isWritable == wanted.isWritable, "page \(page) has other rights")
            if let device = wanted.device {
                try verify(found.physical == device, "page \(page) is at \(hexadecimal(found.physical))")
            } else {
                let tag = memory.load(Word<UInt64>(PhysicalAddress(found.physical)), .relaxed)
                try verify(tag == wanted.tag, "page \(page) holds \(tag), not \(wanted.tag ?? 0)")
            }
            if let pin = wanted.pin {
                try verify(pin.range.first.rawValue == found.physical, "page \(page) is not where it is pinned")
            }
        }
        let extra = Set(listing.pages.keys).subtracting(pages.keys)
        try verify(extra.isEmpty, "pages \(extra.sorted().prefix(4)) are mapped")
    }
}

/// All pages that a space maps.
private struct Listing<Format: PageTableFormat>: PageWalkVisitor {
    let log2Page: UInt64
    var pages: [UInt64: (physical: UInt64, isWritable: Bool)] = [:]
    var isMalformed = false

    init(log2Page: UInt64) { self.log2Page = log2Page }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let isWritable = format.effectiveRights(visit.rights.intersection(format.rights(of: entry, at: visit.level)))
            .canWrite
        for page in first.rawValue >> log2Page...last.rawValue >> log2Page {
            let physical = format.physical(of: entry, at: visit.level, for: VirtualAddress(page << log2Page))
            pages[page] = (physical.rawValue, isWritable)
        }
        return .proceed
    }

    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        isMalformed = true
        return .proceed
    }
}
