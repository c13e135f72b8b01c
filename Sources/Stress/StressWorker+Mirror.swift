import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// A device that mirrors part of the space: what it is programmed with is right for as long as it has it.

extension StressWorker {
    func useDevice() {
        guard let mirror = shared.mirror else { return }
        // What it was programmed with long ago is as right as the rest.
        for _ in 0..<8 { use(likelyPage(), for: anyAccess(), mirror.device) }
        guard let request = anyRequest(mirror.range) else { return }
        if random.once(in: 4) { return faultRange(request) }
        program(mirror, request)
        for _ in 0..<4 {
            let page = request.range.first.rawValue + random.below(UInt64(request.pageCount)) * shared.pageBytes
            use(page, for: anyAccess(), mirror.device)
        }
    }

    private func anyRequest(_ range: VirtualRange) -> RangeRequest? {
        let pages = likelyPages(atMost: 16)
        guard let wanted = self.range(pages.first, pages.last).intersection(range) else { return nil }
        var request = RangeRequest(wanted, log2PageBytes: UInt8(format.log2FrameBytes))
        switch random.below(4) {
        case 0: request.standard = .fault
        case 1: request.standard = [.fault, .write]
        case 2: request.demands = (0..<random.below(20)).map { _ in PageDemand(rawValue: UInt8(random.below(4))) }
        default: break
        }
        return request
    }

    private func program(_ mirror: DeviceMirror<StressDevice>, _ request: RangeRequest) {
        do throws(SpaceError<Never>) {
            try space.program(mirror, request, in: memory)
        } catch {
            switch error {
            case .refused(let refusal): judge(refusal, request.range)
            }
        }
    }

    func use(_ page: UInt64, for access: PageAccess, _ device: StressDevice) {
        let epoch = shared.fileEpoch(at: page)
        device.use(VirtualAddress(page)) { found in
            if access == .write, !found.isWritable { return }
            counts.deviceAccesses += 1
            if space.map.frame(of: found.physical) == nil {
                return violation("a device uses \(found.physical) at \(hexadecimal(page)), which is no frame")
            }
            _ = inspectPage(found.physical.rawValue, page, access, epoch: epoch)
        }
    }

    /// Asks without a device, with the lock held: the answers are the model's.
    private func faultRange(_ request: RangeRequest) {
        memory.withReadLock(space.words.lock) { lock in
            let answer = space.faultRange(request, lock: lock)
            switch answer.end {
            case .complete:
                if answer.pages.count != request.pageCount { violation("\(answer.pages.count) answers to \(request)") }
            case .stale: violation("an answer that nothing is to make void is stale")
            case .refused(let refusal):
                judge(refusal, request.range)
                if request.demand(answer.pages.count).isDisjoint(with: .fault) {
                    violation("page \(answer.pages.count) of \(request) is refused, and was not wanted")
                }
            }
            for (number, page) in answer.pages.enumerated() {
                let address = request.range.first.rawValue + UInt64(number) * shared.pageBytes
                if let wrong = wrong(page, at: address, request.demand(number)) {
                    return violation("\(hexadecimal(address)), demand \(request.demand(number).rawValue): \(wrong)")
                }
            }
        }
    }

    /// Compares an answer with the model.
    private func wrong(_ page: RangePage, at address: UInt64, _ demand: PageDemand) -> String? {
        let expected = model.expectation(address)
        switch (page, expected) {
        case (.impossible, .nothing): if !demand.contains(.fault) { return nil }
        case (.impossible, .mapped(let physical, _)):
            if physical >= StressArea.deviceBase, !demand.contains(.fault) { return nil }
        case (.impossible, .region(let region)): if region.isDevice, !demand.contains(.fault) { return nil }
        case (.unmapped, .region): if !demand.contains(.fault) { return nil }
        case (.mapped(let found), .mapped(let physical, let isWritable)):
            let isRight = found.physical.rawValue == physical && (isWritable || !found.isWritable)
            if isRight, found.isWritable || demand != [.fault, .write] { return nil }
        case (.mapped(let found), .region(let region)):
            let isRight = space.map.frame(of: found.physical) != nil && (region.isWritable || !found.isWritable)
            if isRight, found.isWritable || demand != [.fault, .write] { return nil }
        default: break
        }
        return "\(page), expected \(expected)"
    }
}
