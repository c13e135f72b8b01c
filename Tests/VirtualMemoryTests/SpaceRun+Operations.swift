import PageTableWalk
import PageTables
import SeededRandom
import TableMemory

@testable import VirtualMemory

/// What may be done with a space at random.
enum SpaceOperation: CaseIterable {
    case mapDevice, mapFrames, unmap, protect, replace, addRegion, fault, split, record, pinFast, pin, unpin, release,
        grow, pageByPage, move, collapse, retract
}

extension SpaceRun {
    func perform(_ operation: SpaceOperation) throws {
        switch operation {
        case .mapDevice: try mapDevice()
        case .mapFrames: try mapFrames()
        case .unmap: try unmap(chance(20) ? everything() : randomRange())
        case .protect: try protect(chance(20) ? everything() : randomRange())
        case .replace: try replace()
        case .addRegion: try addRegion()
        case .fault: try fault()
        case .split: try split()
        case .record: try record()
        case .pinFast: try pinFast()
        case .pin: try pin()
        case .unpin:
            guard let index = pins.indices.randomElement(using: &random) else { return }
            try unpin(pins.remove(at: index))
        case .release:
            let held = model.blocks.filter(\.value.isHeld).keys.sorted()
            guard let head = held.randomElement(using: &random) else { return }
            try release(head)
        case .grow: try grow()
        case .pageByPage: try pageByPage()
        case .move: try move()
        case .collapse: try collapse()
        case .retract: try retract()
        }
    }

    // MARK: Random choices

    func randomRange() -> VirtualRange { places.range(&random, near: model) }

    /// All that a tree of the deepest space translates.
    func everything() -> VirtualRange {
        let trees = format.addressSpace(root: PhysicalAddress(0), topLevel: format.topLevels.upperBound).trees
        return trees.randomElement(using: &random)?.range ?? .all
    }

    func chance(_ one: UInt64) -> Bool { random.next() % one == 0 }

    /// Attributes that a page and all larger leaves can have.
    func randomAttributes() -> EntryAttributes {
        while true {
            var attributes = format.attributes(randomProtection())
            attributes.memoryTypeIndex = UInt8(random.next() & 3)
            let isExpressible = places.leafLevels.allSatisfy { level in
                let size = PageSize(log2Bytes: Int(format.shift(level)))
                return (try? format.leaf(PhysicalAddress(0), size, attributes, at: level)) != nil
            }
            if isExpressible { return attributes }
        }
    }

    private func randomProtection() -> Protection {
        [.read, [.read, .write], [.read, .execute], [.read, .write, .execute]].randomElement(using: &random) ?? .read
    }

    private func randomAccess() -> PageAccess { chance(2) ? .read : .write }

    /// What a page says of its attributes when it was given these.
    func normalised(_ attributes: EntryAttributes) -> EntryAttributes {
        let size = PageSize(log2Bytes: Int(format.log2FrameBytes))
        let leaf = Entry(format.canonical(.leaf(PhysicalAddress(0), size), attributes, at: .leafTable))
        return format.attributes(of: leaf, at: .leafTable)
    }

    /// A device's address that allows large leaves in a range, and how large leaves may be.
    private func randomDevice(for range: VirtualRange) -> (UInt64, PageSize) {
        let bytes = range.last.rawValue - range.first.rawValue
        let fitting = places.leafLevels.filter { places.bytes($0) - 1 <= bytes }
        let highest = fitting.last ?? .leafTable
        let index = max(fitting.count - (chance(3) ? 2 : 1), 0)
        let congruent = fitting.isEmpty ? Level.leafTable : fitting[index]
        let top = places.bytes(places.leafLevels.last ?? .leafTable)
        var physical = places.devices + random.next() % 64 * top
        physical += range.first.rawValue & (places.bytes(congruent) - 1) & ~(places.pageBytes - 1)
        if highest == .leafTable { physical += random.next() % 4 * places.pageBytes }
        let largest = chance(3) ? fitting.dropLast().last ?? highest : highest
        return (physical, chance(2) ? PageSize(log2Bytes: 63) : PageSize(log2Bytes: Int(format.shift(largest))))
    }

    // MARK: Mapping

    private func mapDevice() throws {
        let range = randomRange()
        var (physical, largest) = randomDevice(for: range)
        if chance(40) { physical += 1 }
        try map(range, to: physical, largest)
    }

    private func mapFrames() throws {
        let order = blockOrders.randomElement(using: &random) ?? 0
        let held = model.blocks.filter(\.value.isHeld).keys.sorted()
        let known = held.count > 4 || chance(2) ? held.randomElement(using: &random) : nil
        guard let head = try known ?? newBlock(order), let block = model.blocks[head] else { return }
        let pages = UInt64(block.order.frameCount)
        let start = chance(2) ? 0 : random.next() % pages
        let count = chance(2) ? pages - start : 1 + random.next() % (pages - start)
        var first = randomRange().first.rawValue & ~(model.pageBytes - 1)
        if chance(2) { first = first & ~(block.physical.last.rawValue - block.physical.first.rawValue) }
        let (last, overflow) = first.addingReportingOverflow(count * model.pageBytes - 1)
        if overflow { return }
        let range = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
        try map(range, to: block.physical.first.rawValue + start * model.pageBytes, PageSize(log2Bytes: 63))
    }

    private func map(_ range: VirtualRange, to physical: UInt64, _ largest: PageSize) throws {
        let attributes = randomAttributes()
        let expected = model.refusalToMap(range, to: physical)
        let isLookedAt = expected.map { if case .alreadyMapped = $0 { true } else { false } } ?? true
        try perform(
            "map \(range) to \(hexadecimal(physical))", expecting: expected,
            topLevel: isLookedAt ? model.topLevel(for: range) : nil
        ) { () throws(SpaceError<MemoryMisuse>) in
            try space.map(range, to: PhysicalAddress(physical), attributes, largestLeaf: largest, in: memory)
        } apply: {
            let page = ModelPage(physical: physical, attributes: normalised(attributes))
            model.mappings.insert(range.first.rawValue, range.last.rawValue, page)
        }
    }

    /// Orders of blocks that a leaf maps as a whole, as far as that is cheap, and one frame and two leaves.
    private var blockOrders: [Int] {
        let orders = places.leafLevels.map { Int(format.shift($0)) - Int(format.log2FrameBytes) }.filter { $0 < 10 }
        return orders + [(orders.last ?? 0) + 1, 0]
    }

    /// Takes a block that the test holds, and writes into some of its pages.
    func newBlock(_ order: Int) throws -> Frame? {
        guard let head = try references.allocator.allocate(FrameOrder(order), in: memory) else { return nil }
        let range = layout.map.range(of: head, FrameOrder(order))
        try verify(model.block(of: range.first.rawValue) == nil, "\(head) is in use and handed out")
        model.blocks[head] = ModelBlock(physical: range, order: FrameOrder(order), isHeld: true)
        let last = range.last.rawValue & ~(model.pageBytes - 1)
        for page in Set([range.first.rawValue, range.first.rawValue + (last - range.first.rawValue) / 2, last]) {
            try write(random.next(), page & ~(model.pageBytes - 1), in: head)
        }
        return head
    }

    func write(_ tag: UInt64, _ page: UInt64, in head: Frame) throws {
        try memory.store(tag, to: Word<UInt64>(PhysicalAddress(page)), .relaxed)
        model.blocks[head]?.tags[page] = tag
    }

    func release(_ head: Frame) throws {
        step = "release \(head)"
        try references.drop(on: head, in: memory)
        model.blocks[head]?.isHeld = false
        model.dropUnused()
    }

    // MARK: Changing

    func unmap(_ range: VirtualRange) throws {
        try perform("unmap \(range)", expecting: model.refusal(of: range)) { () throws(SpaceError<MemoryMisuse>) in
            try space.unmap(range, in: memory)
        } apply: {
            model.mappings.remove(range.first.rawValue, range.last.rawValue)
            model.regions.remove(range.first.rawValue, range.last.rawValue)
        }
    }

    func protect(_ range: VirtualRange) throws {
        let rights = format.attributes(randomProtection()).rights
        try perform(
            "protect \(range) \(rights)", expecting: model.refusal(of: range)
        ) { () throws(SpaceError<MemoryMisuse>) in
            try space.protect(range, rights, in: memory)
        } apply: {
            model.mappings.change(range.first.rawValue, range.last.rawValue) { page in
                page.attributes.rights = rights
                page.attributes = normalised(page.attributes)
            }
            model.regions.change(range.first.rawValue, range.last.rawValue) { $0.attributes.rights = rights }
        }
    }

    /// Unmaps and maps in one section, so that tables are unlinked and made before any is freed.
    private func replace() throws {
        let range = randomRange()
        let (physical, largest) = randomDevice(for: range)
        guard model.refusal(of: range) == nil else { return }
        let attributes = randomAttributes()
        step = "replace \(range) by \(hexadecimal(physical))"
        memory.refuse(alwaysRefused)
        let refusals = try space.edit(in: memory) { (editor) throws(MemoryMisuse) in
            let refusal = try editor.unmap(range)
            return [refusal, try editor.map(range, to: PhysicalAddress(physical), attributes, largestLeaf: largest)]
        }
        try verify(refusals == [nil, nil], "\(refusals)")
        model.topLevel = model.topLevel(for: range) ?? model.topLevel
        model.mappings.remove(range.first.rawValue, range.last.rawValue)
        model.regions.remove(range.first.rawValue, range.last.rawValue)
        let page = ModelPage(physical: physical, attributes: normalised(attributes))
        model.mappings.insert(range.first.rawValue, range.last.rawValue, page)
        model.dropUnused()
    }

    /// Single pages in one section, as an emulator changes them: the editor stays in the table that it changed last.
    private func pageByPage() throws {
        let range = randomRange()
        let base = range.first.rawValue & ~(model.pageBytes - 1)
        let (device, _) = randomDevice(for: range)
        let attributes = [randomAttributes(), randomAttributes()]
        step = "page by page from \(hexadecimal(base))"
        memory.refuse(alwaysRefused)
        var wrong: String?
        try space.edit(in: memory) { (editor) throws(MemoryMisuse) in
            for _ in 0..<24 where wrong == nil {
                let offset = random.next() % 6 * model.pageBytes
                let pages = chance(3) ? 3 : 1 as UInt64
                let (last, overflow) = base.addingReportingOverflow(offset + pages * model.pageBytes - 1)
                if overflow { continue }
                var part = VirtualRange(first: VirtualAddress(base + offset), last: VirtualAddress(last))
                if chance(3) {
                    // Sometimes with all that the leaf table maps: then it goes, and must not be remembered.
                    let mask: UInt64 = (1 << format.shift(Level(1))) - 1
                    if chance(3) {
                        part = VirtualRange(
                            first: VirtualAddress(part.first.rawValue & ~mask),
                            last: VirtualAddress(part.last.rawValue | mask))
                    }
                    let expected = model.refusal(of: part)
                    let refusal = try editor.unmap(part)
                    if refusal != expected { wrong = "unmap \(part): \(String(describing: refusal))" }
                    if expected != nil { continue }
                    model.mappings.remove(part.first.rawValue, part.last.rawValue)
                    model.regions.remove(part.first.rawValue, part.last.rawValue)
                } else {
                    let physical = (device &+ offset) & ~(model.pageBytes - 1)
                    let expected = model.refusalToMap(part, to: physical)
                    let wanted = attributes[chance(4) ? 1 : 0]
                    let refusal = try editor.map(part, to: PhysicalAddress(physical), wanted)
                    if refusal != expected { wrong = "map \(part): \(String(describing: refusal))" }
                    // What is mapped already is found out when the space is deep enough.
                    if expected != .invalidRange(part) { model.topLevel = model.topLevel(for: part) ?? model.topLevel }
                    if expected != nil { continue }
                    let page = ModelPage(physical: physical, attributes: normalised(wanted))
                    model.mappings.insert(part.first.rawValue, part.last.rawValue, page)
                }
            }
        }
        try verify(wrong == nil, wrong ?? "")
        model.dropUnused()
    }

    private func grow() throws {
        let range = randomRange()
        let topLevel = model.topLevel(for: range)
        try perform(
            "grow to \(range)", expecting: topLevel == nil ? .invalidRange(range) : nil, topLevel: topLevel
        ) { () throws(SpaceError<MemoryMisuse>) in
            try underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                try space.grow(toCover: range, lock: lock)
            }
        }
    }

    /// What hardware does when a page is used.
    private func record() throws {
        guard let interval = model.mappings.intervals.randomElement(using: &random), F.notions.flags.contains(.dirty)
        else { return }
        let address = interval.first + random.next() % (interval.last - interval.first + 1)
        step = "use \(hexadecimal(address))"
        var path = TranslationPath()
        _ = try memory.withRCUReader { (section) throws(MemoryMisuse) in
            try space.view(in: section).translate(VirtualAddress(address), in: section, observer: &path)
        }
        guard let last = path.steps.last else { throw failure("nothing is loaded") }
        let position = last.position
        let flags: EntryFlags = chance(2) ? [.accessed] : [.accessed, .dirty]
        var decoded = format.decode(last.entry, at: position.level)
        decoded.attributes.flags.formUnion(flags)
        let place = space.place(position.index, of: position.table)
        try memory.store(format.encode(decoded, at: position.level), format, at: place, .relaxed)
        let first = address & ~(places.bytes(position.level) - 1)
        model.mappings.change(first, first + (places.bytes(position.level) - 1)) {
            $0.attributes.flags.formUnion(flags)
        }
    }

    // MARK: On demand

    private func addRegion() throws {
        let range = randomRange()
        var (physical, largest) = randomDevice(for: range)
        if chance(40) { physical += 1 }
        let isDevice = chance(2)
        let attributes = randomAttributes()
        let region = Region(
            range, isDevice ? .device(start: PhysicalAddress(physical)) : .anonymous, attributes, largestLeaf: largest)
        let end = physical.addingReportingOverflow(range.last.rawValue - range.first.rawValue)
        let isInvalid = isDevice && (physical % model.pageBytes != 0 || end.overflow)
        let expected = isInvalid ? .invalidRange(range) : model.refusalToAdd(region)
        try perform(
            "add region \(range)", expecting: expected, topLevel: expected == nil ? model.topLevel(for: range) : nil
        ) { () throws(SpaceError<MemoryMisuse>) in
            try space.add(region, in: memory)
        } apply: {
            model.regions.insert(
                range.first.rawValue, range.last.rawValue,
                ModelRegion(physical: isDevice ? physical : nil, attributes: attributes, largestLeaf: largest))
        }
    }

    /// An address that a region has, or something maps, or nothing.
    func interestingAddress() -> UInt64 {
        if chance(2), let region = model.regions.intervals.randomElement(using: &random) {
            return region.first + random.next() % min(region.last - region.first + 1, 64 * model.pageBytes)
        }
        guard !chance(4), let interval = model.mappings.intervals.randomElement(using: &random) else {
            return places.address(&random)
        }
        return interval.first + random.next() % (interval.last - interval.first + 1)
    }

    private func fault() throws {
        let address = VirtualAddress(interestingAddress())
        let access = randomAccess()
        let largest = PageSize(log2Bytes: chance(2) ? 63 : Int(format.shift(places.level(&random))))
        try perform(
            "fault at \(address) to \(access)", expecting: model.refusalOfFault(address, access)
        ) { () throws(SpaceError<MemoryMisuse>) in
            try underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                try space.fault(address, for: access, atMost: largest, lock: lock)
            }
        } apply: {
            try learn(address.rawValue, atMost: largest)
            try verify(model.mappings.value(at: address.rawValue) != nil, "nothing is mapped after the fault")
        }
    }

    /// Takes over what a fault has mapped, if it is something that a region allows.
    private func learn(_ address: UInt64, atMost largest: PageSize) throws {
        guard model.mappings.value(at: address) == nil, case .mapped(let mapping) = try translate(address) else {
            return
        }
        let offset = places.bytes(mapping.level) - 1
        let (first, last) = (address & ~offset, address | offset)
        guard let part = model.regions.joined.parts(first, last).first, part.first == first, part.last == last else {
            throw failure("a fault mapped \(hexadecimal(first)) up to \(hexadecimal(last)), which no region has")
        }
        let region = part.value
        try verify(offset < min(largest, region.largestLeaf).bytes, "a fault used a leaf of level \(mapping.level)")
        try verify(model.mappings.parts(first, last).isEmpty, "a fault mapped over something")
        guard let device = region.physical else {
            try verify(mapping.level == .leafTable, "anonymous memory is mapped by a large leaf")
            return try learnPage(mapping.physical.rawValue & ~offset, first, last, region)
        }
        model.mappings.insert(
            first, last, ModelPage(physical: device, attributes: normalised(region.attributes)))
    }

    private func learnPage(_ physical: UInt64, _ first: UInt64, _ last: UInt64, _ region: ModelRegion) throws {
        guard let frame = layout.map.frame(of: PhysicalAddress(physical)), model.block(of: physical) == nil else {
            throw failure("a fault mapped \(hexadecimal(physical)), which is no new frame")
        }
        for offset in stride(from: 0, to: model.pageBytes, by: 8) {
            let word = try memory.load(Word<UInt64>(PhysicalAddress(physical + offset)), .relaxed)
            if word != 0 { throw failure("a new page holds \(hexadecimal(word))") }
        }
        model.blocks[frame] = ModelBlock(
            physical: layout.map.range(of: frame, .single), order: .single, isHeld: false)
        model.mappings.insert(
            first, last, ModelPage(physical: physical, attributes: normalised(region.attributes)))
        try write(random.next(), physical, in: frame)
    }

    /// Splits large leaves down to a page, by a walk.
    private func split() throws {
        let page = interestingAddress() & ~(model.pageBytes - 1)
        let range = VirtualRange(
            first: VirtualAddress(page), last: VirtualAddress(page + (model.pageBytes - 1)))
        step = "split at \(range)"
        memory.refuse(alwaysRefused)
        var splitter = Splitter(space, memory)
        try memory.withReadLock(space.words.lock) { (lock) throws(MemoryMisuse) in
            let view = try space.view(in: lock)
            _ = try withUnsafePointer(to: lock) { (pointer) throws(MemoryMisuse) in
                splitter.lock = pointer
                try view.walk(range, in: lock, visitor: &splitter)
            }
        }
        if let misuse = splitter.misuse { throw failure(misuse.description) }
        for leaf in splitter.leaves {
            let offset = places.bytes(leaf.level) - 1
            if isDescribed(page & ~offset, page | offset) { model.mappings.remove(page & ~offset, page | offset) }
        }
        if let interval = model.mappings.value(at: page) {
            try verify(splitter.pages == 1, "\(interval) is not mapped by a page")
        }
    }

    /// Whether a device's region describes all of a range as it is mapped, so that a split only clears it. Entries in halves are
    /// not cleared, nor those that say that their pages were written.
    private func isDescribed(_ first: UInt64, _ last: UInt64) -> Bool {
        if F.isAccessedInHalves { return false }
        let regions = model.regions.joined.parts(first, last)
        guard regions.count == 1, let region = regions.first, region.first == first, region.last == last else {
            return false
        }
        var attributes = normalised(region.value.attributes)
        let own = attributes.flags
        return model.mappings.parts(first, last).allSatisfy { part in
            attributes.flags = part.value.attributes.flags
            if attributes.flags.subtracting(own).contains(.dirty) { return false }
            return part.value.physical == region.value.physical.map { $0 &+ (part.first - first) }
                && part.value.attributes == attributes
        }
    }

    // MARK: Pinning

    private func interestingPages() -> VirtualRange {
        let first = interestingAddress() & ~(model.pageBytes - 1)
        let count = 1 + random.next() % 12
        let last = first.addingReportingOverflow(count * model.pageBytes - 1)
        return VirtualRange(
            first: VirtualAddress(first),
            last: VirtualAddress(last.overflow ? first + (model.pageBytes - 1) : last.partialValue))
    }

    private func pages(_ range: VirtualRange) -> [VirtualAddress] {
        (0...(range.last.rawValue - range.first.rawValue) / model.pageBytes).map {
            VirtualAddress(range.first.rawValue + $0 * model.pageBytes)
        }
    }

    private func pinFast() throws {
        let range = interestingPages()
        let access = randomAccess()
        step = "pin \(range) fast to \(access)"
        let isCovered = model.isTranslated(range, topLevel: model.topLevel)
        let expected = isCovered ? pages(range).first { !model.canBePinned($0, access) } : range.first
        var taken: [Pin] = []
        let retreats = memory.events[.retreat] ?? 0
        let rest = try memory.withInterruptsBlocked { (section) throws(MemoryMisuse) in
            try space.pinFast(range, for: access, in: section, into: &taken)
        }
        try verify(rest == expected, "it stops at \(String(describing: rest)), not \(String(describing: expected))")
        try verify((memory.events[.retreat] ?? 0) - retreats == (rest == nil ? 0 : 1), "retreats are not counted")
        let end = rest.map { $0.rawValue &- 1 } ?? range.last.rawValue
        try keep(taken, of: range.first.rawValue, end)
        // The same of the first page alone.
        let page = VirtualRange(
            first: range.first, last: VirtualAddress(range.first.rawValue + (model.pageBytes - 1)))
        let pin = try memory.withInterruptsBlocked { (section) throws(MemoryMisuse) in
            try space.pinFast(page.first, for: access, in: section)
        }
        let canBePinned =
            model.isTranslated(page, topLevel: model.topLevel) && model.canBePinned(page.first, access)
        try verify((pin != nil) == canBePinned, "the first page alone: \(String(describing: pin))")
        if let pin { try keep([pin], of: page.first.rawValue, page.last.rawValue) }
    }

    /// Looks whether pins are just those of a range, which may be empty, and keeps them.
    private func keep(_ taken: [Pin], of first: UInt64, _ last: UInt64) throws {
        var next = first
        for pin in taken {
            guard let page = model.mappings.value(at: next), let head = model.block(of: page.physical) else {
                throw failure("\(hexadecimal(next)) is pinned")
            }
            let bytes = pin.range.last.rawValue - pin.range.first.rawValue + 1
            try verify(pin.range.first.rawValue == page.physical, "the pin is at \(pin.range)")
            try verify(pin.head == head && UInt64(pin.pages) * model.pageBytes == bytes, "\(pin)")
            model.blocks[head]?.pinnedPages += UInt64(pin.pages)
            next &+= bytes
        }
        try verify(next == last &+ 1, "pins end at \(hexadecimal(next))")
        pins += taken
    }

    private func pin() throws {
        let range = interestingPages()
        let access = randomAccess()
        var expected = model.refusal(of: range)
        var faults: [UInt64] = []
        if expected == nil {
            for page in pages(range) where expected == nil {
                let mapped = model.mappings.value(at: page.rawValue)
                var isDevice = mapped.map { model.block(of: $0.physical) == nil } ?? false
                if !(mapped.map { access.isAllowed(by: $0.attributes.rights) } ?? false) {
                    expected = model.refusalOfFault(page, access)
                    guard expected == nil else { break }
                    faults.append(page.rawValue)
                    isDevice = model.regions.value(at: page.rawValue)?.physical != nil
                }
                if isDevice { expected = .notPinnable(page) }
            }
        }
        var taken: [Pin] = []
        try perform(
            "pin \(range) to \(access)", expecting: expected,
            learn: {
                for page in faults { try learn(page, atMost: PageSize(log2Bytes: 63)) }
                if expected != nil { try verify(taken.isEmpty, "pins are left of a refused call") }
            }
        ) { () throws(SpaceError<MemoryMisuse>) in
            try space.pin(range, for: access, in: memory, into: &taken)
        } apply: {
            try keep(taken, of: range.first.rawValue, range.last.rawValue)
        }
    }

    // MARK: Locks

    func underReadLock(
        _ body: (borrowing ReadLockHeld<SingleProcessorMemory>) throws(SpaceError<MemoryMisuse>) -> Void
    ) throws(SpaceError<MemoryMisuse>) {
        var problem: SpaceError<MemoryMisuse>?
        do throws(MemoryMisuse) {
            try memory.withReadLock(space.words.lock) { (lock) throws(MemoryMisuse) in
                do throws(SpaceError<MemoryMisuse>) { try body(lock) } catch { problem = error }
            }
        } catch { throw .memory(error) }
        if let problem { throw problem }
    }
}

/// Asks for a split of every large leaf that it meets.
struct Splitter<F: WritableFormat>: PageWalkVisitor {
    typealias Format = F

    private let space: Space<F>
    private let memory: SingleProcessorMemory
    /// The lock that is held for as long as the walk takes.
    var lock: UnsafePointer<ReadLockHeld<SingleProcessorMemory>>?
    private(set) var leaves: [(address: VirtualAddress, level: Level)] = []
    /// Pages that were met.
    private(set) var pages = 0
    private(set) var misuse: MemoryMisuse?

    init(_ space: Space<F>, _ memory: SingleProcessorMemory) {
        self.space = space
        self.memory = memory
    }

    mutating func leaf(
        _ entry: Entry, _ format: F, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        guard visit.level > .leafTable, let lock else {
            pages += 1
            return .proceed
        }
        leaves.append((first, visit.level))
        do throws(MemoryMisuse) {
            let isSplit = try space.split(entry, at: visit.position(index), of: first, lock: lock.pointee)
            return isSplit ? .split : .stop
        } catch {
            misuse = error
            return .stop
        }
    }
}
