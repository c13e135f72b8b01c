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
        tidyFiles(shared, memory)
        var mappings = shared.model.mappings.pieces.map { piece in
            StressMapping(
                first: piece.first, last: piece.last, physical: piece.value.physical, isWritable: piece.value.isWritable
            )
        }
        for piece in shared.model.regions.pieces {
            for gap in shared.model.mappings.gaps(piece.first, piece.last) {
                let access: PageAccess = piece.value.kind == .file && piece.value.isWritable ? .write : .read
                guard let last = populate(shared, gap.first, gap.last, access, memory) else { continue }
                let device = piece.value.isDevice ? areas.device(gap.first) : nil
                mappings.append(
                    StressMapping(first: gap.first, last: last, physical: device, isWritable: piece.value.isWritable))
            }
        }
        for piece in shared.model.mappings.pieces { stamp(shared, piece.first, piece.last, memory) }
        return mappings.sorted { $0.first < $1.first }
    }

    /// Leaves of each file's pages one mapping each: one shared window, and private ones with copies; and nothing behind its end.
    private func tidyFiles(_ shared: StressSpace<Format>, _ memory: HostMemory) {
        for file in shared.files {
            let windows = areas.all.filter { $0.file?.index == file.index }
            let pages = file.model.halves / 2 + file.model.halves % 2
            for (number, area) in windows.filter({ $0.file?.sharing == .shared }).enumerated() {
                let first = number == 0 ? area.first + pages * shared.pageBytes : area.first
                cutOff(shared, area, from: first, memory)
            }
            for area in windows.filter({ $0.file?.sharing == .private }) {
                cutOff(shared, area, from: area.first + pages * shared.pageBytes, memory)
                let last = area.first + (area.pageCount * shared.pageBytes - 1)
                protect(shared, area.first, last, memory)
            }
        }
    }

    private func cutOff(
        _ shared: StressSpace<Format>, _ area: StressArea, from first: UInt64, _ memory: HostMemory
    ) {
        let last = area.first + (area.pageCount * shared.pageBytes - 1)
        guard first <= last else { return }
        while unmap(shared, first, last, memory) == .outOfMemory {}
    }

    private func protect(
        _ shared: StressSpace<Format>, _ first: UInt64, _ last: UInt64, _ memory: HostMemory
    ) {
        let range = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
        let rights = format.attributes([.read, .write]).rights
        let refusal = shared.space.edit(in: memory) { editor in
            let refusal = editor.protect(range, rights)
            _ = shared.model.protect(first, last, isWritable: true, refusal)
            return refusal
        }
        if refusal == .outOfMemory { protect(shared, first, last, memory) }
    }

    /// Faults pages in until memory runs out; what cannot be mapped is taken out of the regions.
    ///
    /// - Returns: The last address that is mapped; `nil` if none is.
    private func populate(
        _ shared: StressSpace<Format>, _ first: UInt64, _ last: UInt64, _ access: PageAccess, _ memory: HostMemory
    ) -> UInt64? {
        var address = first
        while true {
            guard let end = faultIn(shared, address, access, memory) else {
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
    private func faultIn(
        _ shared: StressSpace<Format>, _ address: UInt64, _ access: PageAccess, _ memory: HostMemory
    ) -> UInt64? {
        memory.withReadLock(shared.space.words.lock) { lock in
            // A failure that is injected is not the next one's.
            for _ in 0..<8 {
                do throws(SpaceError<Never>) {
                    try shared.space.fault(VirtualAddress(address), for: access, lock: lock)
                } catch {
                    switch error {
                    case .refused(.outOfMemory): continue
                    case .refused(let refusal):
                        shared.log.add("while keeping: \(hexadecimal(address)) is refused: \(refusal)")
                        return nil
                    }
                }
                let found = shared.translation(of: address, lock)
                if let wrong = shared.wrong(found, at: address, mustBeMapped: true, writable: access == .write) {
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
