import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// A space that is kept is a file that two programs can be compared by: this one, which knows what it mapped, and whoever reads the
// tables. Whether a page of a region is mapped depends on faults that nobody noted, so all that is missing is faulted in first.
// The second word of every page that has a frame is its virtual address then.

extension StressRun {
    /// Maps all that regions say, and tells what is mapped.
    func keep(_ shared: StressSpace<Format>, _ memory: HostMemory) -> [StressMapping] {
        var mappings = shared.model.mappings.pieces.map { piece in
            StressMapping(
                first: piece.first, last: piece.last, physical: piece.value.physical, isWritable: piece.value.isWritable
            )
        }
        for piece in shared.model.regions.pieces {
            for gap in shared.model.mappings.gaps(piece.first, piece.last) {
                guard let last = populate(shared, gap.first, gap.last, memory) else { continue }
                let device = piece.value.isDevice ? areas.device(gap.first) : nil
                mappings.append(
                    StressMapping(first: gap.first, last: last, physical: device, isWritable: piece.value.isWritable))
            }
        }
        for piece in shared.model.mappings.pieces { stamp(shared, piece.first, piece.last, memory) }
        return mappings.sorted { $0.first < $1.first }
    }

    /// Faults pages in until memory runs out; what cannot be mapped is taken out of the regions.
    ///
    /// - Returns: The last address that is mapped; `nil` if none is.
    private func populate(
        _ shared: StressSpace<Format>, _ first: UInt64, _ last: UInt64, _ memory: HostMemory
    ) -> UInt64? {
        var address = first
        while true {
            guard let end = faultIn(shared, address, memory) else {
                while unmap(shared, address, last, memory) == .outOfMemory {}
                return address > first ? address - 1 : nil
            }
            stamp(shared, address, min(end, last), memory)
            if end >= last { return last }
            address = end + 1
        }
    }

    private func unmap(
        _ shared: StressSpace<Format>, _ first: UInt64, _ last: UInt64, _ memory: HostMemory
    ) -> Refusal? {
        shared.space.edit(in: memory) { editor in
            let refusal = editor.unmap(VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last)))
            if let wrong = shared.model.unmap(first, last, refusal) { shared.log.add("while keeping: \(wrong)") }
            return refusal
        }
    }

    /// - Returns: The last address that the leaf maps; `nil` if there is no memory for it.
    private func faultIn(_ shared: StressSpace<Format>, _ address: UInt64, _ memory: HostMemory) -> UInt64? {
        memory.withReadLock(shared.space.words.lock) { lock in
            // A failure that is injected is not the next one's.
            for _ in 0..<8 {
                do throws(SpaceError<Never>) {
                    try shared.space.fault(VirtualAddress(address), for: .read, lock: lock)
                } catch {
                    switch error {
                    case .refused(.outOfMemory): continue
                    case .refused(let refusal):
                        shared.log.add("while keeping: \(hexadecimal(address)) is refused: \(refusal)")
                        return nil
                    }
                }
                let found = shared.space.view(in: lock).translate(VirtualAddress(address), in: lock)
                if let wrong = shared.wrong(found, at: address, mustBeMapped: true) {
                    shared.log.add("while keeping: \(wrong)")
                }
                guard case .mapped(let mapping) = found else { return nil }
                return address | (1 << format.shift(mapping.level) - 1)
            }
            return nil
        }
    }

    /// Writes their addresses into pages that have frames.
    private func stamp(_ shared: StressSpace<Format>, _ first: UInt64, _ last: UInt64, _ memory: HostMemory) {
        guard areas.page(first) != nil else { return }
        memory.withInterruptsBlocked { section in
            let view = shared.space.view(in: section)
            for address in stride(from: first, through: last, by: Int(shared.pageBytes)) {
                guard case .mapped(let mapping) = view.translate(VirtualAddress(address), in: section),
                    shared.space.map.frame(of: mapping.physical) != nil
                else { continue }
                memory.store(address, to: Word<UInt64>(PhysicalAddress(mapping.physical.rawValue + 8)), .relaxed)
            }
        }
    }
}
