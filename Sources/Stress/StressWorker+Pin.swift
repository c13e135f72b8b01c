import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Pinned pages: whoever has one reads and writes it, and finds its own tag until it lets go.

extension StressWorker {
    func pinFastOnePage() {
        let address = likelyPage()
        let want = anyWant(address)
        let pin = memory.withInterruptsBlocked { section in
            space.pinFast(VirtualAddress(address), for: want.access, longTerm: want.isLong, in: section)
        }
        if let pin { take([pin], range(address, address | (shared.pageBytes - 1)), want) }
    }

    func pinFastRange() {
        let (first, last) = likelyPages()
        let want = anyWant(first)
        var pins: [Pin] = []
        let rest = memory.withInterruptsBlocked { section in
            space.pinFast(range(first, last), for: want.access, longTerm: want.isLong, in: section, into: &pins)
        }
        if let rest, rest.rawValue == first {
            if !pins.isEmpty { violation("\(pins.count) pins, and none of \(range(first, last)) is pinned") }
            return
        }
        take(pins, range(first, rest.map { $0.rawValue - 1 } ?? last), want)
    }

    func pinRange() {
        let (first, last) = likelyPages(atMost: min(1 << UInt64(shared.areas.largeOrder + 1), 1024))
        let want = anyWant(first)
        var pins: [Pin] = []
        do throws(SpaceError<Never>) {
            try space.pin(range(first, last), for: want.access, longTerm: want.isLong, in: memory, into: &pins)
            take(pins, range(first, last), want)
        } catch {
            switch error {
            case .refused(.notLongTermPinnable(let address)):
                if !want.isLong || want.access == .read || !isOfSharedFile(address.rawValue) {
                    violation("\(address) is not to be pinned for long")
                }
            case .refused(let refusal): judge(refusal, range(first, last))
            }
            if !pins.isEmpty { violation("a pin that failed left \(pins.count) pins") }
        }
    }

    /// How a page is to be pinned.
    struct Want {
        let access: PageAccess
        let isLong: Bool
        /// Of a page of a file: the epoch of the file before the page is pinned.
        let epoch: UInt64
    }

    private func anyWant(_ address: UInt64) -> Want {
        let epoch = shared.fileEpoch(at: address) ?? 0
        return Want(access: anyAccess(), isLong: random.once(in: 4), epoch: epoch)
    }

    /// Whether an address shows a file that has to know when it is written.
    private func isOfSharedFile(_ address: UInt64) -> Bool {
        guard let file = shared.areas.area(address)?.file else { return false }
        return file.sharing == .shared && shared.files[file.index].hasStore
    }

    func unpinHeld() {
        guard !held.isEmpty else { return }
        let index = random.below(held.count)
        held.swapAt(index, held.count - 1)
        unpin(held.removeLast())
    }

    func unpin(_ held: HeldPin) {
        let file = shared.areas.area(held.address)?.file
        for word in held.words {
            let now = memory.load(word.place, .relaxed)
            if now != word.value, !mayHaveChanged(to: now, from: word.value, held, word.place, isFile: file != nil) {
                violation(
                    "page of \(hexadecimal(held.address)) at \(word.place.address) held \(shared.tags.description(word.value)) "
                        + "when it was pinned, and \(shared.tags.description(now)) now")
            }
        }
        if file != nil, held.access == .write, random.once(in: 2) { writeThrough(held) }
        if !space.references.mayBePinned(held.pin.head, in: memory) {
            violation("the frame of a pinned page, \(hexadecimal(held.address)), is said not to be pinned")
        }
        list(held.pin, isTaken: false)
        space.unpin(held.pin, dirty: file != nil && held.access == .write, in: memory)
    }

    /// A page of zeros may get its tag from somebody else meanwhile; a page of a file, what is written to it, and zeros where it
    /// is cut off.
    private func mayHaveChanged(
        to now: UInt64, from before: UInt64, _ held: HeldPin, _ place: Word<UInt64>, isFile: Bool
    ) -> Bool {
        if isFile {
            let offset = place.address.rawValue - held.pin.range.first.rawValue
            return shared.areas.page(held.address + offset).map { now == 0 || shared.tags.page(of: now) == $0 } ?? false
        }
        return before == 0 && isFaultedTag(now, held, place)
    }

    /// Lists the frames of a pin, or crosses them out.
    private func list(_ pin: Pin, isTaken: Bool) {
        for page in 0..<pin.pages {
            let physical = PhysicalAddress(pin.range.first.rawValue + UInt64(page) * shared.pageBytes)
            guard let frame = space.map.frame(of: physical) else { continue }
            if isTaken { shared.pins.add(frame.number) } else { shared.pins.remove(frame.number) }
        }
    }

    /// A page of zeros may get its tag from somebody else meanwhile.
    private func isFaultedTag(_ word: UInt64, _ held: HeldPin, _ place: Word<UInt64>) -> Bool {
        let offset = place.address.rawValue - held.pin.range.first.rawValue
        guard let page = shared.areas.page(held.address + offset) else { return false }
        return word == shared.tags.tag(page, PageTags<Format>.faulted)
    }

    /// Looks at pages that are pinned, and keeps the pins for a while or gives them up.
    private func take(_ pins: [Pin], _ range: VirtualRange, _ want: Want) {
        var address = range.first.rawValue
        let keeps = want.isLong || random.once(in: 2)
        for (number, pin) in pins.enumerated() {
            let bytes = pin.range.last.rawValue - pin.range.first.rawValue + 1
            if UInt64(pin.pages) * shared.pageBytes != bytes || range.last.rawValue &- address < bytes - 1 {
                violation("pin \(number) of \(range) has \(pin.pages) pages and \(bytes) bytes")
            }
            list(pin, isTaken: true)
            counts.pinned += UInt64(pin.pages)
            if want.isLong {
                counts.longTermPins += UInt64(pin.pages)
                judgeLongTermPin(pin, address, want.access)
            }
            let words = inspect(pin, address, want)
            let held = HeldPin(address: address, pin: pin, words: words, access: want.access, epoch: want.epoch)
            if keeps, self.held.count < Self.heldLimit { self.held.append(held) } else { unpin(held) }
            address &+= bytes
        }
        if address != range.last.rawValue &+ 1 { violation("pins of \(range) end at \(hexadecimal(address))") }
    }

    /// A page of a file that has to know is not pinned for long for writing; of a private region only a copy is pinned for long.
    private func judgeLongTermPin(_ pin: Pin, _ address: UInt64, _ access: PageAccess) {
        guard let file = shared.areas.area(address)?.file else { return }
        if access == .write && isOfSharedFile(address) {
            violation("\(hexadecimal(address)) of a file is pinned for writing, for long")
        }
        guard file.sharing == .private else { return }
        let owner = FrameOwner(rawValue: memory.load(space.map.descriptor(of: pin.head).mapping, .acquire))
        if owner.kind != .anonymous {
            violation("\(hexadecimal(address)) is pinned for long, and is a page of the file that somebody may copy")
        }
    }

    /// Checks tags of the pages of a pin: of all of them if they are few. Writes some where writing is allowed.
    private func inspect(_ pin: Pin, _ address: UInt64, _ want: Want) -> [(Word<UInt64>, UInt64)] {
        var words: [(Word<UInt64>, UInt64)] = []
        let pages = UInt64(pin.pages)
        let step = max(pages / 8, 1)
        var page: UInt64 = 0
        while page < pages {
            let offset = page << UInt64(format.log2FrameBytes)
            let physical = pin.range.first.rawValue + offset
            if let word = inspectPage(physical, address &+ offset, want.access, epoch: want.epoch) {
                words.append(word)
            }
            page += step
        }
        return words
    }

    /// - Parameter epoch: Of a page of a file, the epoch before it was pinned; `nil` if it is mapped all the while.
    /// - Returns: A word of the page, and what it holds.
    func inspectPage(
        _ physical: UInt64, _ address: UInt64, _ access: PageAccess, epoch: UInt64?
    ) -> (Word<UInt64>, UInt64)? {
        if let file = shared.areas.area(address)?.file {
            return inspectPageOfFile(physical, address, access, file, epoch: epoch)
        }
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
