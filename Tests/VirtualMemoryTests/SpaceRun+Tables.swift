import PageTableWalk
import PageTables
import TableMemory

@testable import VirtualMemory

// What is done to whole tables.

extension SpaceRun {
    /// Moves what a range has to other addresses: near ones, or those of something that is mapped.
    func move() throws {
        let range = randomRange()
        let bytes = range.last.rawValue - range.first.rawValue
        var start = randomRange().first.rawValue
        // A large leaf that moves by less than its size becomes all its pages: only where those are few.
        let mask = places.bytes(places.leafLevels.last ?? .leafTable) - 1
        if bytes >= 64 * model.pageBytes && mask >= 1 << 12 || chance(2) {
            start = start & ~mask | range.first.rawValue & mask
        }
        if chance(40) { start += 1 }
        let expected = refusalToMove(range, to: start)
        let isLookedAt = expected.map { if case .alreadyMapped = $0 { true } else { false } } ?? true
        var topLevel: Level?
        if isLookedAt, let level = model.topLevel(for: range),
            let other = model.topLevel(
                for: VirtualRange(first: VirtualAddress(start), last: VirtualAddress(start + bytes)))
        {
            topLevel = max(level, other)
        }
        try perform("move \(range) to \(hexadecimal(start))", expecting: expected, topLevel: topLevel) {
            () throws(SpaceError<MemoryMisuse>) in
            try space.move(range, to: VirtualAddress(start), in: memory)
        } apply: {
            let (first, last) = (range.first.rawValue, range.last.rawValue)
            let pages = model.mappings.parts(first, last)
            let regions = model.regions.parts(first, last)
            model.mappings.remove(first, last)
            model.regions.remove(first, last)
            for part in pages {
                model.mappings.insert(part.first - first + start, part.last - first + start, part.value)
            }
            for part in regions {
                model.regions.insert(part.first - first + start, part.last - first + start, part.value)
            }
        }
    }

    private func refusalToMove(_ range: VirtualRange, to start: UInt64) -> Refusal? {
        let (last, overflow) = start.addingReportingOverflow(range.last.rawValue - range.first.rawValue)
        guard model.isOfWholePages(range), start % model.pageBytes == 0, !overflow else { return .invalidRange(range) }
        let target = VirtualRange(first: VirtualAddress(start), last: VirtualAddress(last))
        if range.intersection(target) != nil { return .invalidRange(target) }
        if let refusal = model.refusal(of: range) ?? model.refusal(of: target) { return refusal }
        let region = model.regions.parts(start, last).first?.first
        let page = model.mappings.parts(start, last).first?.first
        return (region ?? page).map { .alreadyMapped(VirtualAddress($0)) }
    }

    /// Collapses the leaf table of an address, if it can be done.
    func collapse() throws {
        let address = interestingAddress()
        step = "collapse at \(hexadecimal(address))"
        let refusal = try refusal { () throws(SpaceError<MemoryMisuse>) in
            try space.collapse(VirtualAddress(address), in: memory)
        }
        switch refusal {
        case nil: try learnCollapse(address)
        case .outOfMemory: break
        case .notMapped: try verify(model.mappings.value(at: address) == nil, "it is mapped")
        case .notCollapsible(let page):
            let mask = places.bytes(Level(1)) - 1
            try verify(page.rawValue & ~mask == address & ~mask, "\(page) is not in the table")
        case .notExpressible: try verify(!places.leafLevels.contains(Level(1)), "a large leaf cannot be expressed")
        case let other?: throw failure("\(other)")
        }
    }

    /// Takes over what a collapse has made: pages may be copies elsewhere, and uses of one are uses of all.
    private func learnCollapse(_ address: UInt64) throws {
        let mask = places.bytes(Level(1)) - 1
        let (first, last) = (address & ~mask, address | mask)
        guard case .mapped(let mapping) = try translate(first), mapping.level > .leafTable else {
            throw failure("there is no large leaf")
        }
        let found = format.attributes(of: mapping.leaf, at: mapping.level)
        let start = mapping.physical.rawValue
        var next = first
        for part in model.mappings.parts(first, last) {
            try verify(part.first == next, "\(hexadecimal(next)) was not mapped")
            next = part.last &+ 1
            var attributes = part.value.attributes
            try verify(attributes.flags.isSubset(of: found.flags), "a use was forgotten")
            attributes.flags = found.flags
            try verify(attributes == found, "\(found), not \(attributes)")
        }
        try verify(next == last &+ 1, "\(hexadecimal(next)) was not mapped")
        if model.mappings.value(at: first)?.physical != start { try learnCopies(first, last, start) }
        model.mappings.remove(first, last)
        model.mappings.insert(first, last, ModelPage(physical: start, attributes: found))
        model.dropUnused()
    }

    private func learnCopies(_ first: UInt64, _ last: UInt64, _ start: UInt64) throws {
        let order = FrameOrder(Int(format.indexBits(.leafTable)))
        guard let head = layout.map.frame(of: PhysicalAddress(start)), model.block(of: start) == nil else {
            throw failure("\(hexadecimal(start)) is no new block")
        }
        var block = ModelBlock(physical: layout.map.range(of: head, order), order: order, isHeld: false)
        for address in stride(from: first, through: last, by: Int(model.pageBytes)) {
            guard let old = model.mappings.value(at: address)?.physical, let frame = model.block(of: old) else {
                throw failure("\(hexadecimal(address)) was copied and is no frame")
            }
            let isElsewhere = model.blocks[frame].map { $0.isHeld || $0.pinnedPages > 0 } ?? true
            try verify(!isElsewhere, "\(hexadecimal(address)) was copied although somebody refers to it")
            block.tags[start + (address - first)] = model.blocks[frame]?.tags[old]
        }
        model.blocks[head] = block
    }

    /// Takes back the empty leaf tables of a range.
    func retract() throws {
        let range = chance(2) ? everything() : randomRange()
        step = "retract \(range)"
        for isAgain in [false, true] {
            let count = try memory.withReadLock(space.words.lock) { (lock) throws(MemoryMisuse) in
                try space.reclaimEmptyTables(in: range, lock: lock)
            }
            try verify(!isAgain || count == 0, "\(count) empty tables were left")
        }
    }
}
