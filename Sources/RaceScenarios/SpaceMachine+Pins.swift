import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension SpaceMachine {
    /// Maps pages one by one, page `n` with the tag `100 + n`. Behind the frame of one is not that of the next.
    func mapTagged(_ first: Int, _ last: Int) throws {
        for page in (first...last).reversed() {
            let frame = try mapNew(pages(page), tag: Self.tag(page))
            try require(frame != nil, "there are too few frames for the scenario")
        }
    }

    static func tag(_ page: Int) -> UInt64 { 100 + UInt64(page) }

    /// Pins pages `first ... last` without a lock, as far as that goes.
    ///
    /// - Returns: The tags of what was pinned, in order. The pins are given up again.
    func tagsOfFastPins(_ first: Int, _ last: Int, on processor: Int) throws -> [UInt64] {
        let memory = memory(processor)
        var pins: [Pin] = []
        let rest = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
            try space.pinFast(pages(first, last), for: .read, in: section, into: &pins)
        }
        // The pins alone keep the pages: the section is over.
        var tags: [UInt64] = []
        for pin in pins {
            for number in 0..<UInt64(pin.pages) {
                let page = PhysicalAddress(pin.range.first.rawValue + number * pageBytes)
                tags.append(try memory.load(Word<UInt64>(page), .relaxed))
            }
        }
        for pin in pins { try space.unpin(pin, in: memory) }
        let reached = rest.map { Int($0.rawValue / pageBytes) } ?? last + 1
        try require(
            reached == first + tags.count, "\(tags.count) pages are pinned from \(first) on, but not \(reached)")
        return tags
    }

    /// Pins pages that `mapTagged` has mapped.
    ///
    /// - Parameter isWhole: Whether nothing may keep any of them from being pinned.
    func requireTaggedPins(_ first: Int, _ last: Int, isWhole: Bool, on processor: Int) throws {
        let tags = try tagsOfFastPins(first, last, on: processor)
        let expected = (first...last).map(Self.tag)
        try require(
            tags.elementsEqual(expected.prefix(tags.count)), "pages from \(first) on are pinned and hold \(tags)")
        if isWhole { try require(tags.count == expected.count, "page \(first + tags.count) is mapped and not pinned") }
    }

    /// Uses freed frames again for something else, for a moment.
    func reuseFrame(order: Int = 0, on processor: Int = 0) throws {
        guard let other = try newBlock(order, tag: 1, on: processor) else { return }
        try references.drop(on: other, in: memory(processor))
    }
}
