import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Operations with the space's lock held for writing, or for reading where they add something. The model learns of each change
// in the same section of the lock.

extension StressWorker {
    /// Frames of one block, or of several single frames, with tags.
    func mapFrames() {
        let order = anyOrder()
        let count: UInt64 = 1 << UInt64(order)
        let (area, anywhere) = anyFramePage()
        var page = anywhere
        // A large leaf needs an address that is as aligned as its frames are.
        if order > 0, random.below(4) > 0 { page &= ~(count - 1) }
        page = min(page, area.pageCount - count)
        guard let head = space.references.allocator.allocate(FrameOrder(order), in: memory) else {
            counts.outOfMemory += 1
            return
        }
        let start = random.once(in: 4) ? random.below(count) : 0
        let pages = start == 0 && random.below(4) > 0 ? count : 1 + random.below(count - start)
        let physical = space.map.address(of: head).rawValue + start << UInt64(format.log2FrameBytes)
        fill(address(page, of: area), physical, pages)
        let refusal = space.edit(in: memory) { editor in
            map(address(page, of: area), physical, pages, isWritable: random.below(4) > 0, &editor)
        }
        space.references.drop(on: head, in: memory)
        note(refusal)
    }

    /// Unmaps some pages and maps other frames there in the same section.
    func replaceFrames() {
        let area = anyFrameArea()
        let (first, last) = anyPages(of: area, atMost: 8)
        let pages = (last &- first) >> UInt64(format.log2FrameBytes) + 1
        var frames: [Frame] = []
        for _ in 0..<pages {
            guard let frame = space.references.allocator.allocate(in: memory) else { break }
            fill(
                first + UInt64(frames.count) << UInt64(format.log2FrameBytes), space.map.address(of: frame).rawValue, 1)
            frames.append(frame)
        }
        let refusal: Refusal? = space.edit(in: memory) { editor in
            let refusal = editor.unmap(range(first, last))
            if let wrong = model.unmap(first, last, refusal) { violation(wrong) }
            if refusal != nil { return refusal }
            for (index, frame) in frames.enumerated() {
                let address = first + UInt64(index) << UInt64(format.log2FrameBytes)
                let physical = space.map.address(of: frame).rawValue
                if let refusal = map(address, physical, 1, isWritable: true, &editor) { return refusal }
            }
            return nil
        }
        for frame in frames { space.references.drop(on: frame, in: memory) }
        note(refusal)
    }

    private func anyOrder() -> Int {
        switch random.below(16) {
        case 0: shared.areas.largeOrder
        case 1: shared.areas.largeOrder - 1
        case 2...5: 1 + random.below(4)
        default: 0
        }
    }

    /// Tags for frames that nobody else sees.
    func fill(_ address: UInt64, _ physical: UInt64, _ pages: UInt64) {
        guard let first = shared.areas.page(address) else { return violation("\(hexadecimal(address)) is in no area") }
        let generation = nextGeneration()
        for page in 0..<pages {
            let frame = PhysicalAddress(physical + page << UInt64(format.log2FrameBytes))
            shared.tags.fill(frame, first + page, generation, in: memory)
        }
    }

    private func map(
        _ first: UInt64, _ physical: UInt64, _ pages: UInt64, isWritable: Bool,
        _ editor: inout SpaceEditor<Format, SoundStructure, Memory>
    ) -> Refusal? {
        let last = first &+ (pages << UInt64(format.log2FrameBytes) - 1)
        let large = random.once(in: 8) ? PageSize(log2Bytes: Int(format.log2FrameBytes)) : PageSize(log2Bytes: 63)
        let refusal = editor.map(
            range(first, last), to: PhysicalAddress(physical), attributes(isWritable: isWritable), largestLeaf: large)
        let mapping = ExplicitMapping(physical: physical, isWritable: isWritable)
        if let wrong = model.map(first, last, mapping, refusal) {
            violation("\(range(first, last)) to \(hexadecimal(physical)): \(wrong)")
        }
        if refusal == nil {
            remember(first, last)
            if physical < StressArea.deviceBase { counts.mapped += pages }
        }
        return refusal
    }

    private func anyAreaOfDevices() -> StressArea {
        while true {
            let area = anyArea()
            if area.file == nil { return area }
        }
    }

    func mapDevice() {
        let area = anyAreaOfDevices()
        var (first, last) = anyPages(of: area)
        if random.once(in: 4) {
            // What large leaves can map.
            (first, last) = (wholeRange(area).first.rawValue, wholeRange(area).last.rawValue)
        }
        guard let device = shared.areas.device(first) else { return violation("\(hexadecimal(first)) is in no area") }
        // A device is mapped with large leaves where it can be; the very wide area in pages would fill all memory.
        let pages = (last &- first) >> UInt64(format.log2FrameBytes) + 1
        let refusal: Refusal? = space.edit(in: memory) { editor in
            // A device that is in a region may be unmapped by whoever splits it: the model could not say.
            if model.hasDeviceRegion(first, last) { return nil }
            return map(first, device, pages, isWritable: random.once(in: 2), &editor)
        }
        note(refusal)
    }

    func unmap() {
        let area = anyArea()
        var (first, last) = anyPages(of: area)
        switch random.below(16) {
        case 0: (first, last) = (wholeRange(area).first.rawValue, wholeRange(area).last.rawValue)
        case 1...2:
            if random.once(in: 2) { (first, last) = likelyPages() }
            // All that one entry two or three levels above the pages covers: whole tables go.
            let mask: UInt64 = (1 << format.shift(Level(1 + random.below(2)))) - 1
            first &= ~mask
            last = first | mask
        case 3...5: last = first | (shared.pageBytes - 1)
        case 6...9: (first, last) = likelyPages()
        default: break
        }
        unmap(first, last)
    }

    func unmap(_ first: UInt64, _ last: UInt64) {
        let refusal = space.edit(in: memory) { editor in
            let refusal = editor.unmap(range(first, last))
            if let wrong = model.unmap(first, last, refusal) { violation("\(range(first, last)): \(wrong)") }
            return refusal
        }
        note(refusal)
    }

    func protect() {
        let (first, last) = likelyPages()
        let isWritable = random.once(in: 2)
        let refusal = space.edit(in: memory) { editor in
            let refusal = editor.protect(range(first, last), attributes(isWritable: isWritable).rights)
            if let wrong = model.protect(first, last, isWritable: isWritable, refusal) {
                violation("\(range(first, last)): \(wrong)")
            }
            return refusal
        }
        note(refusal)
    }

    func addRegion() {
        let area = anyAreaOfDevices()
        let (first, last) = anyPages(of: area)
        let isDevice = area.firstPage == nil || random.once(in: 3)
        let content = RegionContent(kind: isDevice ? .device : .anonymous, isWritable: random.below(4) > 0)
        let start = PhysicalAddress(shared.areas.device(first) ?? 0)
        let region = Region(
            range(first, last), content.isDevice ? .device(start: start) : .anonymous,
            attributes(isWritable: content.isWritable))
        let refusal: Refusal? = space.edit(in: memory) { editor in
            if content.isDevice, model.hasDeviceMapping(first, last) { return nil }
            let refusal = editor.add(region)
            if let wrong = model.add(first, last, content, refusal) { violation("\(region.range): \(wrong)") }
            if refusal == nil { remember(first, last) }
            return refusal
        }
        note(refusal)
    }

    /// - Returns: Whether nothing is to be there.
    @discardableResult
    func fault(_ page: UInt64) -> Bool {
        let address = page + random.below(shared.pageBytes)
        let access = anyAccess()
        let largest = random.once(in: 4) ? PageSize(log2Bytes: Int(format.shift(Level(1)))) : PageSize(log2Bytes: 63)
        return memory.withReadLock(space.words.lock) { lock in
            let result: Refusal?
            do throws(SpaceError<Never>) {
                try space.fault(VirtualAddress(address), for: access, atMost: largest, lock: lock)
                result = nil
            } catch {
                switch error {
                case .refused(let refusal): result = refusal
                }
            }
            note(result)
            judgeFault(address, access, result, lock)
            return result == .notMapped(VirtualAddress(address))
        }
    }

    func judgeFault(
        _ address: UInt64, _ access: PageAccess, _ result: Refusal?, _ lock: borrowing ReadLockHeld<Memory>
    ) {
        let region = model.regions.piece(at: address)?.value
        let isDenied: Bool
        let isMapped: Bool
        switch model.expectation(address) {
        case .mapped(_, let isWritable): (isMapped, isDenied) = (true, access == .write && !isWritable)
        default: (isMapped, isDenied) = (false, false)
        }
        let expected: Refusal? =
            switch region {
            case nil where !isMapped: .notMapped(VirtualAddress(address))
            case let region? where access == .write && !region.isWritable: .accessDenied(VirtualAddress(address))
            default: isDenied ? .accessDenied(VirtualAddress(address)) : nil
            }
        if result == .outOfMemory && region != nil { return }
        if region?.kind == .file, expected == nil {
            if result == .unreadable(VirtualAddress(address)) {
                counts.unreadable += 1
                return
            }
            if isBeyondEnd(address, result) { return }
        }
        if result != expected {
            return violation(
                "\(hexadecimal(address)): \(result.map { "\($0)" } ?? "mapped"), not \(expected.map { "\($0)" } ?? "mapped")"
            )
        }
        guard result == nil else { return }
        compare(address, mustBeMapped: region?.isDevice == false, writable: access == .write, lock)
        if region?.kind == .file { touchFile(address, access, lock) }
    }

    func grow(to area: StressArea) {
        let (first, last) = anyPages(of: area)
        memory.withReadLock(space.words.lock) { lock in
            do throws(SpaceError<Never>) { try space.grow(toCover: range(first, last), lock: lock) } catch {
                switch error {
                case .refused(.outOfMemory): counts.outOfMemory += 1
                case .refused(let refusal): violation("\(range(first, last)): \(refusal)")
                }
            }
        }
    }

    /// A refusal without the lock is of an address in the range; which ones can be, depends on moments that nobody knows.
    func judge(_ refusal: Refusal, _ range: VirtualRange) {
        note(refusal)
        switch refusal {
        case .outOfMemory: break
        case .notMapped(let address), .accessDenied(let address), .notPinnable(let address):
            if !range.contains(address) { violation("\(range) is refused for \(address)") }
        case .beyondEnd(let address), .unreadable(let address):
            if shared.areas.area(address.rawValue)?.file == nil {
                violation("\(range) is refused for \(address), which is no file's")
            }
        default: violation("\(range): \(refusal)")
        }
    }

    func note(_ refusal: Refusal?) {
        if refusal == .outOfMemory { counts.outOfMemory += 1 }
    }
}
