import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Files: regions that show them, writes through mappings and pins, and changes of the files themselves.

extension StressWorker {
    private func anyAreaOfFiles() -> StressArea {
        while true {
            let area = anyArea()
            if area.file != nil { return area }
        }
    }

    /// What an area of a file shows at an address: an address shows one page, whoever adds the region.
    func fileContent(_ area: StressArea, _ first: UInt64) -> Region.Content {
        guard let file = area.file else { return .anonymous }
        return .file(FileView(shared.files[file.index].cache, offset: first - area.first, file.sharing))
    }

    func addFileRegion() {
        let area = anyAreaOfFiles()
        var (first, last) = anyPages(of: area)
        if random.once(in: 2) { (first, last) = (area.first, wholeRange(area).last.rawValue) }
        addFileRegion(area, first, last)
    }

    private func addFileRegion(_ area: StressArea, _ first: UInt64, _ last: UInt64) {
        let content = RegionContent(kind: .file, isWritable: random.below(4) > 0)
        let region = Region(
            range(first, last), fileContent(area, first), attributes(isWritable: content.isWritable))
        let refusal = space.edit(in: memory) { editor in
            let refusal = editor.add(region)
            if let wrong = model.add(first, last, content, refusal) { violation("\(region.range): \(wrong)") }
            if refusal == nil { remember(first, last) }
            return refusal
        }
        note(refusal)
    }

    /// Reads or writes a page of a file, which is shown there first if it is not.
    func touchFile(_ address: UInt64) {
        guard fault(address), let area = shared.areas.area(address) else { return }
        addFileRegion(area, address & ~(shared.pageBytes - 1), wholeRange(area).last.rawValue)
        fault(address)
    }

    // MARK: pages

    /// Whether a page was rightly refused because the file has ended, or may have been: its size may be changing.
    func isBeyondEnd(_ address: UInt64, _ result: Refusal?) -> Bool {
        guard let (file, half) = place(address) else { return false }
        let moment = file.model.moment(half)
        guard result == .beyondEnd(VirtualAddress(address)) else {
            if result == nil, moment.isStill, !moment.isInside {
                violation("\(hexadecimal(address)) is mapped, and its file has ended before")
            }
            return false
        }
        return !moment.isStill || !moment.isInside
    }

    /// The file that an address shows, and the lower half of the page.
    private func place(_ address: UInt64) -> (file: StressFile<Format>, half: UInt64)? {
        guard let index = shared.areas.area(address)?.file?.index, let page = shared.areas.page(address) else {
            return nil
        }
        let file = shared.files[index]
        return (file, 2 * (page - file.firstPage))
    }

    /// Reads or writes a page of a file as a program would, which has been faulted for that.
    func touchFile(_ address: UInt64, _ access: PageAccess, _ lock: borrowing ReadLockHeld<Memory>) {
        guard case .mapped(let mapping) = shared.translation(of: address, lock) else { return }
        let offset = address & (shared.pageBytes - 1)
        guard let file = shared.areas.area(address)?.file, access == .write || file.sharing == .shared else { return }
        _ = inspectPageOfFile(mapping.physical.rawValue - offset, address - offset, access, file, epoch: nil)
    }

    /// Looks at a page of a file, and writes to it where that is asked for.
    ///
    /// - Parameter epoch: The epoch before the page was pinned; `nil` if it is mapped all the while.
    /// - Returns: A word of the page, and what it holds.
    func inspectPageOfFile(
        _ physical: UInt64, _ address: UInt64, _ access: PageAccess, _ shown: (index: Int, sharing: FileSharing),
        epoch: UInt64?
    ) -> (Word<UInt64>, UInt64)? {
        guard let page = shared.areas.page(address) else { return nil }
        let file = shared.files[shown.index]
        let isUpper = random.once(in: 2)
        let half = 2 * (page - file.firstPage) + (isUpper ? 1 : 0)
        let begin = epoch ?? file.model.epoch
        let isPrivate = shown.sharing == .private
        let own = word(physical, file.ownWord(of: thread, isUpper: isUpper))
        let other = Int(random.below(UInt64(threadCount)))
        for (thread, place) in [
            (thread, own), (other, word(physical, file.ownWord(of: other, isUpper: isUpper))),
            (nil, word(physical, file.originalWord(isUpper: isUpper, &random))),
        ] {
            let value = memory.load(place, .relaxed)
            guard file.isPossible(value, in: page, of: thread, inPrivate: isPrivate) else {
                violation(
                    "page of \(hexadecimal(address)) at \(hexadecimal(physical)): \(place.address) holds "
                        + "\(shared.tags.description(value)), not of page \(page)")
                return nil
            }
            let moment = file.model.moment(half)
            let isExact = !isPrivate && moment.isStill && moment.epoch == begin && moment.isInside
            guard isExact, thread == nil || thread == self.thread else { continue }
            let expected = FileWrite.expected(
                thread == nil ? nil : writes[file.index][half], moment, original: original(page))
            if !expected.contains(value) {
                violation(
                    "page of \(hexadecimal(address)): \(place.address) holds \(shared.tags.description(value)), "
                        + "expected \(expected.map(shared.tags.description).joined(separator: " or "))")
            }
        }
        if access == .write { write(to: own, page, half, file, isPrivate: isPrivate, since: begin) }
        return (own, memory.load(own, .relaxed))
    }

    private func original(_ page: UInt64) -> UInt64 { shared.tags.tag(page, PageTags<Format>.faulted) }

    private func word(_ physical: UInt64, _ index: UInt64) -> Word<UInt64> {
        Word(PhysicalAddress(physical + index * 8))
    }

    /// Writes to a word of this thread's own, and notes it.
    private func write(
        to place: Word<UInt64>, _ page: UInt64, _ half: UInt64, _ file: StressFile<Format>, isPrivate: Bool,
        since begin: UInt64
    ) {
        writeNumber += 1
        let value = file.value(page, of: thread, number: writeNumber, isPrivate: isPrivate)
        memory.store(value, to: place, .relaxed)
        counts.fileWrites += 1
        if isPrivate { return }
        let moment = file.model.moment(half)
        // What is written behind the end is no part of the file.
        if moment.isStill, moment.epoch == begin, !moment.isInside { return }
        writes[file.index][half] = FileWrite(value: value, begin: begin, end: moment.epoch)
    }

    /// Writes once more through a pin, unless the page may be the file's no more.
    func writeThrough(_ held: HeldPin) {
        guard let (file, half) = place(held.address), file.model.epoch == held.epoch,
            let shown = shared.areas.area(held.address)?.file, let page = shared.areas.page(held.address)
        else { return }
        let isUpper = random.once(in: 2)
        let place = word(held.pin.range.first.rawValue, file.ownWord(of: thread, isUpper: isUpper))
        write(
            to: place, page, half + (isUpper ? 1 : 0), file, isPrivate: shown.sharing == .private, since: held.epoch)
    }

    // MARK: files

    private func anyFile() -> StressFile<Format> { shared.files[random.below(shared.files.count)] }

    func writeBack() {
        let file = anyFile()
        do throws(FileError<Never, StressStore.Failure>) { try file.cache.writeBack(in: memory) } catch {
            counts.storeFailures += 1
        }
    }

    func reclaimPages() { counts.pagesReclaimed += UInt64(anyFile().cache.reclaim(in: memory)) }

    /// Makes a file shorter or longer, most often by a little.
    func resize() {
        let file = anyFile()
        let change = 1 + random.small(file.model.halfCount / 2)
        let now = file.model.halves
        let isShorter = random.once(in: 2)
        let halves = isShorter ? now - min(now, change) : min(now + change, file.model.halfCount)
        let byteCount = file.byteCount(halves, &random)
        guard let before = file.model.beginResize(to: halves) else { return }
        var hasChanged = false
        do throws(FileError<Never, StressStore.Failure>) {
            try file.cache.resize(to: byteCount, in: memory)
            hasChanged = true
        } catch { counts.storeFailures += 1 }
        file.model.endResize(hasChanged: hasChanged)
        guard hasChanged else { return }
        if halves < before { counts.truncations += 1 } else if halves > before { counts.extensions += 1 }
    }
}
