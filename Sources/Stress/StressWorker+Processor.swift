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
        let epoch = shared.areas.area(address)?.file.map { shared.files[$0.index].model.epoch }
        processor?.execute { processor, section in
            let wanted: ProcessorAccess = access == .write ? .write : .read
            guard let physical = processor.physical(of: VirtualAddress(address), for: wanted, in: section) else {
                return
            }
            counts.accesses += 1
            if let wrong = shared.wrong(physical, at: address, size: shared.pageBytes) { return violation(wrong) }
            if space.map.frame(of: physical) == nil { return }
            _ = inspectPage(physical.rawValue, address, access, epoch: epoch)
        }
    }
}
