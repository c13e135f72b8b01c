import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Accesses by what a processor keeps: a page that it finds is the right one for as long as its section lasts, however long ago
// it was found.

extension StressWorker {
    /// Reads and writes some pages by a processor, which comes and goes: spaces without one take other ways.
    func useProcessor() {
        if Format.isAccessedInHalves { return }
        if processor == nil {
            if random.below(8) > 0 { return }
            processor = VirtualProcessor(space, log2Pages: 4, log2Tables: 2, in: memory)
        } else if random.once(in: 64) {
            return dismissProcessor()
        }
        for _ in 0..<4 { access(likelyPage(), anyAccess()) }
    }

    func dismissProcessor() {
        guard let processor = processor.take() else { return }
        processor.leave()
    }

    func access(_ address: UInt64, _ access: PageAccess) {
        let epoch = shared.fileEpoch(at: address)
        processor?.execute { processor, section in
            let wanted: ProcessorAccess = access == .write ? .write : .read
            guard let physical = processor.physical(of: VirtualAddress(address), for: wanted, in: section) else {
                return
            }
            counts.accesses += 1
            inspectKept(physical, at: address, access, epoch)
        }
    }

    /// Looks at a page that somebody has found by what he keeps, and writes to it where that is what it was found for.
    ///
    /// - Parameter epoch: Of a page of a file, the epoch before it was found.
    func inspectKept(_ physical: PhysicalAddress, at page: UInt64, _ access: PageAccess, _ epoch: UInt64?) {
        if let wrong = shared.wrong(physical, at: page, size: shared.pageBytes) { return violation(wrong) }
        if space.map.frame(of: physical) == nil { return }
        _ = inspectPage(physical.rawValue, page, access, epoch: epoch)
    }
}
