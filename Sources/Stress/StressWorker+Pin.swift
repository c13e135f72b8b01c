import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Pinned pages: whoever has one reads and writes it, and finds its own tag until it lets go.

extension StressWorker {
    func pinFastOnePage() {
        let address = likelyPage()
        let access = anyAccess()
        let pin = memory.withInterruptsBlocked { section in
            space.pinFast(VirtualAddress(address), for: access, in: section)
        }
        if let pin { take([pin], range(address, address | (shared.pageBytes - 1)), access) }
    }

    func pinFastRange() {
        let (first, last) = likelyPages()
        let access = anyAccess()
        var pins: [Pin] = []
        let rest = memory.withInterruptsBlocked { section in
            space.pinFast(range(first, last), for: access, in: section, into: &pins)
        }
        if let rest, rest.rawValue == first {
            if !pins.isEmpty { violation("\(pins.count) pins, and none of \(range(first, last)) is pinned") }
            return
        }
        take(pins, range(first, rest.map { $0.rawValue - 1 } ?? last), access)
    }

    func pinRange() {
        let (first, last) = likelyPages(atMost: 1 << UInt64(shared.areas.largeOrder + 1))
        let access = anyAccess()
        var pins: [Pin] = []
        do throws(SpaceError<Never>) {
            try space.pin(range(first, last), for: access, in: memory, into: &pins)
            take(pins, range(first, last), access)
        } catch {
            switch error {
            case .refused(.outOfMemory): counts.outOfMemory += 1
            case .refused(.notMapped(let address)), .refused(.accessDenied(let address)),
                .refused(.notPinnable(let address)):
                if address.rawValue < first || address.rawValue > last {
                    violation("\(range(first, last)) is refused for \(address)")
                }
            case .refused(let refusal): violation("\(range(first, last)): \(refusal)")
            }
            if !pins.isEmpty { violation("a pin that failed left \(pins.count) pins") }
        }
    }

    func unpinHeld() {
        guard !held.isEmpty else { return }
        let index = random.below(held.count)
        held.swapAt(index, held.count - 1)
        unpin(held.removeLast())
    }

    func unpin(_ held: HeldPin) {
        for word in held.words {
            let now = memory.load(word.place, .relaxed)
            if now != word.value, word.value != 0 || !isFaultedTag(now, held, word.place) {
                violation(
                    "page of \(hexadecimal(held.address)) at \(word.place.address) held \(shared.tags.description(word.value)) "
                        + "when it was pinned, and \(shared.tags.description(now)) now")
            }
        }
        if !space.references.mayBePinned(held.pin.head, in: memory) {
            violation("the frame of a pinned page, \(hexadecimal(held.address)), is said not to be pinned")
        }
        space.unpin(held.pin, in: memory)
    }

    /// A page of zeros may get its tag from somebody else meanwhile.
    private func isFaultedTag(_ word: UInt64, _ held: HeldPin, _ place: Word<UInt64>) -> Bool {
        let offset = place.address.rawValue - held.pin.range.first.rawValue
        guard let page = shared.areas.page(held.address + offset) else { return false }
        return word == shared.tags.tag(page, PageTags<Format>.faulted)
    }

    /// Looks at pages that are pinned, and keeps the pins for a while or gives them up.
    private func take(_ pins: [Pin], _ range: VirtualRange, _ access: PageAccess) {
        var address = range.first.rawValue
        let keeps = random.once(in: 2)
        for (number, pin) in pins.enumerated() {
            let bytes = pin.range.last.rawValue - pin.range.first.rawValue + 1
            if UInt64(pin.pages) * shared.pageBytes != bytes || range.last.rawValue &- address < bytes - 1 {
                violation("pin \(number) of \(range) has \(pin.pages) pages and \(bytes) bytes")
            }
            counts.pinned += UInt64(pin.pages)
            let words = inspect(pin, address, access)
            let held = HeldPin(address: address, pin: pin, words: words)
            if keeps, self.held.count < Self.heldLimit { self.held.append(held) } else { unpin(held) }
            address &+= bytes
        }
        if address != range.last.rawValue &+ 1 { violation("pins of \(range) end at \(hexadecimal(address))") }
    }

    /// Checks tags of the pages of a pin: of all of them if they are few. Writes some where writing is allowed.
    private func inspect(_ pin: Pin, _ address: UInt64, _ access: PageAccess) -> [(Word<UInt64>, UInt64)] {
        var words: [(Word<UInt64>, UInt64)] = []
        let pages = UInt64(pin.pages)
        let step = max(pages / 8, 1)
        var page: UInt64 = 0
        while page < pages {
            let offset = page << UInt64(format.log2FrameBytes)
            let physical = pin.range.first.rawValue + offset
            if let word = inspectPage(physical, address &+ offset, access) { words.append(word) }
            page += step
        }
        return words
    }

    /// - Returns: A word of the page, and what it holds.
    func inspectPage(_ physical: UInt64, _ address: UInt64, _ access: PageAccess) -> (Word<UInt64>, UInt64)? {
        guard let page = shared.areas.page(address) else {
            violation("\(hexadecimal(address)) has a frame, \(hexadecimal(physical))")
            return nil
        }
        let faulted = shared.tags.tag(page, PageTags<Format>.faulted)
        let count = shared.pageBytes / 8
        let chosen = Word<UInt64>(PhysicalAddress(physical + random.below(count) * 8))
        let first = Word<UInt64>(PhysicalAddress(physical))
        let last = Word<UInt64>(PhysicalAddress(physical + (count - 1) * 8))
        var known: UInt64 = 0
        for word in [first, chosen, last] {
            let value = memory.load(word, .relaxed)
            let isRight = value == 0 || value == faulted || value != shared.tags.poison && isTag(value, of: page)
            if !isRight || (value != 0 && known != 0 && value != known) {
                violation(
                    "page of \(hexadecimal(address)) at \(hexadecimal(physical)): \(word.address) holds "
                        + "\(shared.tags.description(value)), not of page \(page)")
                return nil
            }
            if value != 0 { known = value }
        }
        if access == .write {
            // Frames that were mapped with tags keep them; those of faults get theirs now.
            let value = known == 0 ? faulted : known
            memory.store(value, to: chosen, .relaxed)
            return (chosen, value)
        }
        return (chosen, memory.load(chosen, .relaxed))
    }

    private func isTag(_ word: UInt64, of page: UInt64) -> Bool { shared.tags.page(of: word) == page }
}
