import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// Looking at what is mapped: without a lock, where only what must hold at any moment can be demanded; and with the lock held for
// reading, where the model is exact.

extension StressWorker {
    /// Translates in a section: whatever is found was right at some moment.
    func translate() {
        let address = likelyPage() + random.below(shared.pageBytes)
        if policy == .rcu && random.once(in: 2) {
            memory.withRCUReader { section in translate(address, in: section) }
        } else {
            memory.withInterruptsBlocked { section in translate(address, in: section) }
        }
    }

    private func translate<Section: ReadWitness & ~Copyable>(_ address: UInt64, in section: borrowing Section)
    where Section.Failure == Never {
        switch space.view(in: section).translate(VirtualAddress(address), in: section) {
        case .mapped(let mapping):
            if let wrong = shared.wrong(mapping.physical, at: address, size: 1) { violation(wrong) }
        case .unmapped(let fault):
            if fault.reason == .malformed { violation("\(hexadecimal(address)): \(fault.entry) is malformed") }
        }
    }

    func summarise() {
        let area = anyArea()
        let whole = wholeRange(area)
        let counts = random.once(in: 2)
        let summary =
            if policy == .rcu && random.once(in: 2) {
                memory.withRCUReader { section in space.summary(of: whole, countingFrames: counts, in: section) }
            } else {
                memory.withInterruptsBlocked { section in
                    space.summary(of: whole, countingFrames: counts, in: section)
                }
            }
        let bytes = area.pageCount << UInt64(format.log2FrameBytes)
        if summary.mappedBytes > bytes { violation("\(summary.mappedBytes) bytes of \(bytes) are mapped") }
        if summary.writableBytes > summary.mappedBytes { violation("more is writable than mapped: \(summary)") }
        guard let frames = summary.frames else { return }
        if frames.residentBytes > summary.mappedBytes || frames.share > frames.residentBytes << SpaceSummary.log2Share {
            violation("no part of what is mapped: \(summary)")
        }
    }

    /// Surveys an area in a section: ranges and holes are all of it, and each range was there.
    private func survey() {
        let whole = wholeRange(anyArea())
        let survey =
            if policy == .rcu && random.once(in: 2) {
                memory.withRCUReader { section in space.survey(whole, in: section, holes: true) }
            } else {
                memory.withInterruptsBlocked { section in space.survey(whole, in: section, holes: true) }
            }
        for range in survey.ranges {
            let wrong = shared.wrong(range.physical, at: range.first.rawValue, size: range.byteCount)
            if let wrong { return violation(wrong) }
        }
        if let oddity = survey.oddities.first { violation("\(oddity.address): \(oddity.kind)") }
        let holes = survey.holes.reduce(UInt64(0)) { $0 + ($1.virtual.byteCount ?? 0) }
        let found = survey.ranges.reduce(holes) { $0 + $1.byteCount }
        // The upper part of a space that has not grown yet is in no tree.
        if found > whole.byteCount ?? .max { violation("a survey has \(found) bytes of \(whole)") }
    }

    /// Reads the records of some pages, each with the lock held that it takes.
    private func readRecords() {
        let pages = likelyPages(atMost: 2048)
        var records: [PageRecord] = []
        space.readPageRecords(of: range(pages.first, pages.last), in: memory, into: &records)
        for (number, record) in records.enumerated() where record.isPresent {
            let address = pages.first + UInt64(number) * shared.pageBytes
            let physical = PhysicalAddress(record.frameNumber << UInt64(format.log2FrameBytes))
            if let wrong = shared.wrong(physical, at: address, size: shared.pageBytes) { return violation(wrong) }
        }
    }

    /// Walks an area in a section.
    ///
    /// - Parameter pausing: Whether other threads get time to free the tables that it is in.
    func walk(pausing: Bool = false) {
        if !pausing, random.once(in: 2) { return survey() }
        let area = anyArea()
        let range = wholeRange(area)
        var visitor = LeafVisitor(shared, pausingIn: pausing ? Int(random.small(4)) : nil)
        if policy == .rcu && random.once(in: 2) {
            memory.withRCUReader { section in _ = space.view(in: section).walk(range, in: section, visitor: &visitor) }
        } else {
            memory.withInterruptsBlocked { section in
                _ = space.view(in: section).walk(range, in: section, visitor: &visitor)
            }
        }
        if let wrong = visitor.wrong { violation(wrong) }
    }

    /// Walks an area with the lock held for reading, and splits large leaves.
    func walkSplitting() {
        let pages = likelyPages()
        var visitor = SplittingVisitor(shared, random)
        memory.withReadLock(space.words.lock) { lock in
            do throws(SpaceError<Never>) {
                _ = try space.walk(range(pages.first, pages.last), lock: lock, visitor: &visitor)
            } catch {
                switch error {
                case .refused(let refusal):
                    note(refusal)
                    if refusal != .outOfMemory { violation("\(range(pages.first, pages.last)): \(refusal)") }
                }
            }
        }
        random = visitor.random
        if let wrong = visitor.leaves.wrong { violation(wrong) }
    }

    func translateLocked() {
        if random.once(in: 4) { return readRecords() }
        let address = likelyPage() + random.below(shared.pageBytes)
        memory.withReadLock(space.words.lock) { lock in compare(address, mustBeMapped: false, lock) }
    }

    /// Compares an address with the model.
    ///
    /// - Parameters:
    ///   - mustBeMapped: Whether a fault has just been there.
    ///   - writable: Whether that fault was for writing.
    func compare(
        _ address: UInt64, mustBeMapped: Bool, writable: Bool = false, _ lock: borrowing ReadLockHeld<Memory>
    ) {
        let found = shared.translation(of: address, lock)
        if let wrong = shared.wrong(found, at: address, mustBeMapped: mustBeMapped, writable: writable) {
            return violation(wrong)
        }
        guard case .mapped(let mapping) = found, space.map.frame(of: mapping.physical) != nil else { return }
        // A copy may take the place of a private page, whose frame is somebody else's then.
        if shared.areas.area(address)?.file?.sharing == .private { return }
        let offset = address & (shared.pageBytes - 1)
        _ = inspectPage(mapping.physical.rawValue - offset, address - offset, .read, epoch: nil)
    }
}

extension StressSpace {
    /// Where an address is, with the lock held for reading. Empty tables are taken back meanwhile, so it needs a section.
    func translation<Memory: SharedMemory>(
        of address: UInt64, _ lock: borrowing ReadLockHeld<Memory>
    ) -> Translation where Memory.Failure == Never {
        lock.memory.withRCUReader { section in
            space.view(in: section).translate(VirtualAddress(address), in: section)
        }
    }

    /// What is wrong with memory that an address is mapped to, whatever should be there just now.
    func wrong(_ physical: PhysicalAddress, at address: UInt64, size: UInt64) -> String? {
        guard let device = areas.device(address) else { return "\(hexadecimal(address)) is mapped, and in no area" }
        if physical.rawValue == device { return nil }
        let last = PhysicalAddress(physical.rawValue &+ size &- 1)
        if space.map.frame(of: physical) != nil, space.map.frame(of: last) != nil { return nil }
        return "\(hexadecimal(address)) is mapped to \(physical), which is neither a frame nor its device"
    }

    /// Compares a translation with the model.
    func wrong(
        _ found: Translation, at address: UInt64, mustBeMapped: Bool, writable: Bool = false
    ) -> String? {
        let expected = model.expectation(address)
        switch found {
        case .mapped(let mapping):
            let isWritable = mapping.rights.canWrite
            switch expected {
            case .mapped(let physical, let shouldBeWritable):
                if mapping.physical.rawValue == physical && isWritable == shouldBeWritable { return nil }
            case .region(let region):
                let isRight =
                    region.isDevice
                    ? mapping.physical.rawValue == areas.device(address) : space.map.frame(of: mapping.physical) != nil
                // Who writes to a page of a file is to be heard of first; if it is shared, again whenever somebody wants that.
                let isShared = areas.area(address)?.file?.sharing == .shared
                let mayWait = region.kind == .file && (!writable || isShared) && !isWritable
                if isRight && (isWritable == region.isWritable || mayWait) { return nil }
            case .nothing: break
            }
            return
                "\(hexadecimal(address)) is mapped to \(mapping.physical), \(isWritable ? "writable" : "read-only"); "
                + "expected \(expected)"
        case .unmapped(let fault):
            if fault.reason != .malformed {
                switch expected {
                case .nothing: return nil
                case .region where !mustBeMapped: return nil
                default: break
                }
            }
            return
                "\(hexadecimal(address)) is not mapped (\(fault.reason) at level \(fault.level)); expected \(expected)"
        }
    }
}
