import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// Operations after which something is elsewhere, or in another leaf: move, collapse, and taking back empty tables.

extension StressWorker {
    /// Moves pages, or all that an entry two levels above pages covers, to another window of the group.
    func move() {
        // Those of frames are the first.
        let groups = shared.areas.movable
        let group = groups[random.once(in: 2) ? 0 : random.below(groups.count)]
        let source = group[random.below(group.count)]
        var target = group[random.below(group.count)]
        while target.first == source.first { target = group[random.below(group.count)] }
        var (first, last) = anyPages(of: source)
        if random.once(in: 4) {
            (first, last) = (wholeRange(source).first.rawValue, wholeRange(source).last.rawValue)
        }
        var start = target.first + (first - source.first)
        let mask: UInt64 = (1 << format.shift(Level(2))) - 1
        if random.once(in: 2), isAlone(source, mask), isAlone(target, mask), (source.first ^ target.first) & mask == 0 {
            // Whole subtrees.
            (first, last, start) = (source.first & ~mask, source.first | mask, target.first & ~mask)
        }
        let makesRoom = random.below(4) > 0
        let end = start + (last - first)
        let refusal: Refusal? = space.edit(in: memory) { editor in
            if makesRoom {
                let refusal = editor.unmap(range(start, end))
                if let wrong = model.unmap(start, end, refusal) { violation("\(range(start, end)): \(wrong)") }
                if refusal != nil { return refusal }
            }
            let hasSomething =
                model.mappings.firstOverlap(first, last) != nil || model.regions.firstOverlap(first, last) != nil
            let refusal = editor.move(range(first, last), to: VirtualAddress(start))
            if let wrong = model.move(first, last, to: start, refusal) {
                violation("\(range(first, last)) to \(hexadecimal(start)): \(wrong)")
            }
            if refusal == nil, hasSomething {
                counts.moves += 1
                remember(max(start, target.first), min(end, wholeRange(target).last.rawValue))
            }
            return refusal
        }
        note(refusal)
    }

    /// Whether nothing else is in what an entry covers that leads to an area.
    private func isAlone(_ area: StressArea, _ mask: UInt64) -> Bool {
        shared.areas.all.filter { wholeRange($0).last.rawValue >= area.first & ~mask && $0.first <= area.first | mask }
            .count == 1
    }

    // MARK: collapse

    func collapse() {
        var address = likelyPage()
        if random.once(in: 2), let prepared = preparePages() { address = prepared }
        let mask: UInt64 = (1 << format.shift(Level(1))) - 1
        let (first, last) = (address & ~mask, address | mask)
        let refusal: Refusal? = space.edit(in: memory) { editor in
            let before = leaves(first, last)
            let refusal = editor.collapse(VirtualAddress(address))
            judgeCollapse(first, last, refusal, before)
            return refusal
        }
        note(refusal)
    }

    /// All that is mapped; to be used with the lock held for writing.
    private func leaves(_ first: UInt64, _ last: UInt64) -> [FoundVisitor<Format>.Leaf] {
        var visitor = FoundVisitor<Format>()
        memory.withInterruptsBlocked { section in
            _ = space.view(in: section).walk(range(first, last), in: section, visitor: &visitor)
        }
        return visitor.leaves
    }

    private func judgeCollapse(
        _ first: UInt64, _ last: UInt64, _ refusal: Refusal?, _ before: [FoundVisitor<Format>.Leaf]
    ) {
        let what = range(first, last)
        switch refusal {
        case .outOfMemory?: return
        case .notMapped(let address)?, .notCollapsible(let address)?:
            if address.rawValue < first || address.rawValue > last { violation("\(what) is refused for \(address)") }
            return
        case let other?: return violation("\(what): \(other)")
        case nil: break
        }
        let after = leaves(first, last)
        guard after.count == 1, let leaf = after.first, leaf.first == first, leaf.last == last else {
            return violation("\(what) was collapsed, and is mapped by \(after.count) leaves")
        }
        if before.count == 1 { return }
        counts.collapses += 1
        let isInMemory = space.map.frame(of: PhysicalAddress(leaf.physical)) != nil
        if let wrong = model.collapse(first, last, to: leaf.physical, isInMemory: isInMemory) {
            violation("\(what): \(wrong)")
        }
        for page in before where page.physical != leaf.physical + (page.first - first) {
            guard let frame = space.map.frame(of: PhysicalAddress(page.physical)) else {
                return violation("\(hexadecimal(page.first)) of a device was copied")
            }
            if shared.pins.isListed(frame.number) {
                return violation("\(hexadecimal(page.first)) was copied while somebody had it pinned")
            }
        }
    }

    /// Maps all that a large leaf would map, page by page.
    ///
    /// - Returns: An address of it; `nil` if something is in the way.
    private func preparePages() -> UInt64? {
        let area = anyArea()
        let mask: UInt64 = (1 << format.shift(Level(1))) - 1
        let end = wholeRange(area).last.rawValue
        let first = (area.first &+ mask) & ~mask
        let pages = mask >> UInt64(format.log2FrameBytes) + 1
        guard area.content != .devices, first >= area.first, first | mask <= end, area.hasFrames || pages <= 1024 else {
            return nil
        }
        let last = first | mask
        // Very many pages are those of a device, which need no memory.
        let isTooMuch = pages > 4096 || pages > 1024 && random.below(4) > 0
        switch isTooMuch ? 1 : random.below(area.hasFrames ? 3 : 1) {
        case 0: prepareRegion(area, first, last)
        case 1: return prepareDevice(first, last)
        default: return prepareBlock(first, last)
        }
        for address in stride(from: first, through: last, by: Int(shared.pageBytes)) {
            let isThere = memory.withReadLock(space.words.lock) { lock in
                do throws(SpaceError<Never>) {
                    try space.fault(VirtualAddress(address), for: .write, lock: lock)
                    return true
                } catch { return false }
            }
            if !isThere { return nil }
        }
        return first
    }

    private func prepareRegion(_ area: StressArea, _ first: UInt64, _ last: UInt64) {
        let content = RegionContent(kind: area.hasFrames ? .anonymous : .file, isWritable: true)
        let what = area.hasFrames ? Region.Content.anonymous : fileContent(area, first)
        let region = Region(range(first, last), what, attributes(isWritable: true))
        let refusal: Refusal? = space.edit(in: memory) { editor in
            let refusal = editor.unmap(region.range)
            if let wrong = model.unmap(first, last, refusal) { violation("\(region.range): \(wrong)") }
            if refusal != nil { return refusal }
            let added = editor.add(region)
            if let wrong = model.add(first, last, content, added) { violation("\(region.range): \(wrong)") }
            return added
        }
        note(refusal)
    }

    private func prepareDevice(_ first: UInt64, _ last: UInt64) -> UInt64? {
        guard let device = shared.areas.device(first) else { return nil }
        return mapPages(first, last, device) ? first : nil
    }

    /// One block, which can become a large leaf where it is.
    private func prepareBlock(_ first: UInt64, _ last: UInt64) -> UInt64? {
        let order = Int(format.indexBits(.leafTable))
        guard order == shared.areas.largeOrder,
            let head = space.references.allocator.allocate(FrameOrder(order), in: memory)
        else { return nil }
        let physical = space.map.address(of: head).rawValue
        fill(first, physical, 1 << UInt64(order))
        let isMapped = mapPages(first, last, physical)
        space.references.drop(on: head, in: memory)
        return isMapped ? first : nil
    }

    /// Maps a range anew, page by page.
    private func mapPages(_ first: UInt64, _ last: UInt64, _ physical: UInt64) -> Bool {
        let refusal: Refusal? = space.edit(in: memory) { editor in
            let refusal = editor.unmap(range(first, last))
            if let wrong = model.unmap(first, last, refusal) { violation("\(range(first, last)): \(wrong)") }
            if refusal != nil { return refusal }
            let mapped = editor.map(
                range(first, last), to: PhysicalAddress(physical), attributes(isWritable: true),
                largestLeaf: PageSize(log2Bytes: Int(format.log2FrameBytes)))
            let mapping = ExplicitMapping(physical: physical, isWritable: true)
            if let wrong = model.map(first, last, mapping, mapped) { violation("\(range(first, last)): \(wrong)") }
            return mapped
        }
        note(refusal)
        return refusal == nil
    }

    // MARK: empty tables

    func retract() {
        var whole = wholeRange(anyArea())
        if random.once(in: 2) {
            // Unmapped in two parts, so that the table stays.
            let page = likelyPage()
            let mask: UInt64 = (1 << format.shift(Level(1))) - 1
            let middle = (page & ~mask) + mask / 2 + 1
            unmap(page & ~mask, middle - 1)
            unmap(middle, page | mask)
            whole = range(page & ~mask, page | mask)
        }
        memory.withReadLock(space.words.lock) { lock in
            counts.retractions += UInt64(space.reclaimEmptyTables(in: whole, lock: lock))
        }
    }
}
