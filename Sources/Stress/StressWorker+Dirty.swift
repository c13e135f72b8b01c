import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Who wants to know what was written: takes records, or the right to write, while everybody goes on.

/// How often records of writes were taken from leaves in a round.
struct TakeCounts: Equatable {
    var begun: UInt64 = 0
    var ended: UInt64 = 0
}

extension StressWorker {
    func lookWhatWasWritten() {
        switch random.below(4) {
        case 0: takeFromSpace()
        case 1: takeFromFile()
        case 2: takeRecords()
        default: takeOwnWrites()
        }
    }

    /// By the addresses of one space.
    private func takeFromSpace() {
        let pages = likelyPages(atMost: 256)
        let log2Page = UInt64(format.log2FrameBytes)
        let protects = random.once(in: 2)
        memory.withReadLock(space.words.lock) { lock in
            var written = PageBitmap(pages.first >> log2Page...pages.last >> log2Page)
            let range = range(pages.first, pages.last)
            let changed =
                protects
                ? space.writeProtect(range, into: &written, lock: lock)
                : space.cleanAndRecord(range, into: &written, lock: lock)
            counts.recordsTaken += UInt64(written.count)
            if written.count > changed { violation("\(written.count) pages were written, \(changed) entries changed") }
            for page in written.pages where written.contains(page) {
                let address = page << log2Page
                let isOfFile =
                    shared.areas.area(address)?.file?.sharing == .shared
                    && model.regions.piece(at: address)?.value.kind == .file
                if !isOfFile { violation("\(hexadecimal(address)) is told as a written page of a file") }
            }
        }
    }

    /// By the pages of a file, wherever they are mapped.
    private func takeFromFile() {
        let file = shared.files[random.below(shared.files.count)]
        let first = random.below(shared.areas.filePages)
        let last = min(first + random.small(shared.areas.filePages), shared.areas.filePages - 1)
        var written = PageBitmap(first...last)
        if random.once(in: 2) {
            file.cache.writeProtect(first...last, into: &written, in: memory)
        } else {
            file.cache.cleanAndRecord(first...last, into: &written, in: memory)
        }
        counts.recordsTaken += UInt64(written.count)
    }

    private func takeRecords() {
        let pages = likelyPages(atMost: 4096)
        memory.withReadLock(space.words.lock) { lock in
            guard let taken = take(range(pages.first, pages.last), lock) else { return }
            for range in taken.dirty.ranges {
                for address in [range.first.rawValue, range.last.rawValue] {
                    if case .nothing = model.expectation(address) {
                        violation("\(hexadecimal(address)) is told as written, and is not mapped")
                    }
                }
            }
        }
    }

    private func take(_ range: VirtualRange, _ lock: borrowing ReadLockHeld<Memory>) -> TakenRecords? {
        shared.takes.withLock { $0.begun += 1 }
        let taken = Format.takeDirty(in: range, of: space, lock: lock)
        shared.takes.withLock { $0.ended += 1 }
        counts.recordsTaken += UInt64(taken?.dirty.ranges.count ?? 0)
        return taken
    }

    /// Writes to a page by what somebody keeps, and takes the record of that: it is there, unless others take records as well.
    private func takeOwnWrites() {
        let page = likelyPage()
        guard shared.areas.area(page)?.hasFrames == true else { return }
        memory.withReadLock(space.words.lock) { lock in
            // Who still keeps the page as written after the first time would leave no record the second time.
            for _ in 0..<2 {
                let before = shared.takes.withLock { $0 }
                guard let writer = write(to: page, lock),
                    let taken = take(range(page, page | (shared.pageBytes - 1)), lock)
                else { continue }
                let after = shared.takes.withLock { $0 }
                if before.begun != before.ended || after.begun != before.begun + 1 { continue }
                if !taken.dirty.contains(VirtualAddress(page)) {
                    violation("\(hexadecimal(page)) was written by a \(writer), and no leaf says so")
                }
            }
        }
    }

    /// - Returns: Who has written; `nil` if the one that was chosen has no such page.
    private func write(to page: UInt64, _ lock: borrowing ReadLockHeld<Memory>) -> StaticString? {
        let before = counts
        switch random.below(3) {
        case 0:
            access(page, .write)
            return counts.accesses > before.accesses ? "processor" : nil
        case 1:
            if let device = shared.mirror?.device { use(page, for: .write, device) }
            return counts.deviceAccesses > before.deviceAccesses ? "device" : nil
        default:
            guard let guest = shared.guest, let address = guest.address(of: page) else { return nil }
            if !access(address, of: page, .write, guest) {
                fault(address, of: page, .write, guest, lock)
                _ = access(address, of: page, .write, guest)
            }
            return counts.guestAccesses > before.guestAccesses ? "guest" : nil
        }
    }
}
