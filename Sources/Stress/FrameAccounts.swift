import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// The reckoning when no thread runs: what a walk finds is what the model says, and what the descriptors of all frames count is
// what the walk has found.

struct FrameAccounts<Format: StressFormat> {
    let shared: StressSpace<Format>
    let memory: HostMemory
    private var found = FoundVisitor<Format>()
    /// Tables that are no part of the space's own tree.
    private var guestTables: [(table: PhysicalAddress, log2Bytes: Int)] = []

    init(_ shared: StressSpace<Format>, _ memory: HostMemory) {
        self.shared = shared
        self.memory = memory
        var (visitor, guestVisitor) = (found, found)
        memory.withInterruptsBlocked { section in
            _ = shared.space.view(in: section).walk(in: section, visitor: &visitor)
            if let guest = shared.guest {
                _ = guest.space.view(in: section).walk(in: section, visitor: &guestVisitor)
            }
        }
        found = visitor
        guestTables = guestVisitor.tables
    }

    private func violation(_ message: @autoclosure () -> String) {
        shared.log.add("at the end of a round: \(message())")
    }

    private var map: FrameMap { shared.space.map }

    /// Every leaf is what the model says, and nothing of the model is missing.
    func compareWithModel() {
        for problem in found.malformed { violation("\(problem) is malformed") }
        var explicitBytes: UInt64 = 0
        for leaf in found.leaves {
            for piece in shared.model.mappings.pieces(leaf.first, leaf.last) {
                explicitBytes += piece.last - piece.first + 1
                let physical = leaf.physical + (piece.first - leaf.first)
                if physical != piece.value.physical || leaf.isWritable != piece.value.isWritable {
                    violation(
                        "\(hexadecimal(piece.first)) is mapped to \(hexadecimal(physical)), not as \(piece.value)")
                }
            }
            for gap in shared.model.mappings.gaps(leaf.first, leaf.last) { compareRegion(leaf, gap.first, gap.last) }
        }
        let modelled = shared.model.mappings.pieces.reduce(0) { $0 &+ ($1.last - $1.first + 1) }
        if modelled != explicitBytes {
            violation("\(explicitBytes) bytes of the \(modelled) that were mapped are there")
        }
    }

    private func compareRegion(_ leaf: FoundVisitor<Format>.Leaf, _ first: UInt64, _ last: UInt64) {
        let pieces = shared.model.regions.pieces(first, last)
        var next = first
        for piece in pieces {
            if piece.first != next { break }
            let physical = leaf.physical + (piece.first - leaf.first)
            let mayWait = piece.value.kind == .file && !leaf.isWritable
            let isRight =
                piece.value.isDevice
                ? physical == shared.areas.device(piece.first)
                : map.frame(of: PhysicalAddress(physical)) != nil
            if !isRight || leaf.isWritable != piece.value.isWritable && !mayWait {
                violation("\(hexadecimal(piece.first)) is mapped to \(hexadecimal(physical)), not as \(piece.value)")
            }
            next = piece.last &+ 1
        }
        if next != last &+ 1 { violation("\(hexadecimal(next)) is mapped, and nobody mapped it") }
    }

    /// The counts of every frame are those of its mappings, of its being a table of the space or a guest, and of its being in the memory of a file.
    func compareWithFrames() {
        var pages = [UInt32](repeating: 0, count: Int(map.frameCount))
        var references = pages
        for leaf in found.leaves {
            guard let frame = map.frame(of: PhysicalAddress(leaf.physical)) else { continue }
            let count = UInt32((leaf.last - leaf.first) >> UInt64(map.log2FrameBytes)) + 1
            let head = head(of: frame)
            pages[head] += count
            references[head] += count
        }
        for (table, log2Bytes) in found.tables + guestTables {
            guard let frame = map.frame(of: table) else {
                violation("a table at \(table) is no frame")
                continue
            }
            // Tables that share a frame share its one reference.
            if log2Bytes >= Int(map.log2FrameBytes) {
                references[head(of: frame)] += 1
            } else {
                references[head(of: frame)] = 1
            }
        }
        for file in shared.files {
            let cached = frames(of: file)
            for head in cached { references[head] += 1 }
            let count = file.cache.cachedPageCount(in: memory)
            if cached.count != count { violation("\(cached.count) frames belong to a file that has \(count)") }
        }
        var used: UInt64 = 0
        for index in references.indices {
            let frame = Frame(map.first.number + UInt32(index))
            let descriptor = map.descriptor(of: frame)
            let counts = (memory.load(descriptor.references, .relaxed), memory.load(descriptor.mapCount, .relaxed))
            let pins = memory.load(descriptor.pins, .relaxed)
            if references[index] > 0 {
                used += UInt64(FrameBlock(rawValue: memory.load(descriptor.block, .relaxed)).order.frameCount)
            }
            if counts.0 != references[index] || counts.1 != pages[index] || pins != 0 {
                violation(
                    "frame \(map.address(of: frame)) has \(counts.0) references, \(counts.1) mappings, \(pins) pins; "
                        + "expected \(references[index]), \(pages[index]), 0")
            }
        }
        let free = shared.space.references.allocator.freeFrameCount(in: memory)
        if free + used != UInt64(map.frameCount) {
            violation("\(used) frames are used and \(free) free, of \(map.frameCount)")
        }
    }

    /// The frames that say that they are a file's.
    private func frames(of file: StressFile<Format>) -> [Int] {
        (0..<Int(map.frameCount)).filter { index in
            let descriptor = map.descriptor(of: Frame(map.first.number + UInt32(index)))
            return memory.load(descriptor.references, .relaxed) > 0
                && FrameOwner(rawValue: memory.load(descriptor.mapping, .relaxed)).number == file.cache.number
        }
    }

    private func head(of frame: Frame) -> Int {
        let block = FrameBlock(rawValue: memory.load(map.descriptor(of: frame).block, .relaxed))
        return Int(block.head(of: frame).number - map.first.number)
    }

    /// The space was taken down: all memory is free, and all words are as in the beginning.
    func requireNothingLeft() {
        for index in 0..<map.frameCount {
            let frame = Frame(map.first.number + index)
            let descriptor = map.descriptor(of: frame)
            let words = [descriptor.references, descriptor.mapCount, descriptor.pins, descriptor.block].map {
                memory.load($0, .relaxed)
            }
            if words != [0, 0, 0, 0] {
                violation("frame \(map.address(of: frame)) is left with references, mappings, pins, block \(words)")
            }
        }
        let free = shared.space.references.allocator.freeFrameCount(in: memory)
        if free != UInt64(map.frameCount) {
            violation("\(free) of \(map.frameCount) frames are free after the tear-down")
        }
        for log2Count in 1...8 {
            let head = memory.load(shared.space.words.fragmentList(log2Count), .relaxed)
            if head != 0 { violation("a frame of fragments is still listed: \(head)") }
        }
    }
}

/// Keeps all leaves and tables.
struct FoundVisitor<Format: StressFormat>: PageWalkVisitor {
    struct Leaf {
        let first: UInt64
        let last: UInt64
        let physical: UInt64
        let isWritable: Bool
    }

    private(set) var leaves: [Leaf] = []
    private(set) var tables: [(table: PhysicalAddress, log2Bytes: Int)] = []
    private(set) var malformed: [String] = []
    private var top: PhysicalAddress?

    /// The top table of a space of two halves is entered twice.
    mutating func enter(_ visit: TableVisit) -> WalkAction {
        if visit.table == top { return .proceed }
        if top == nil { top = visit.table }
        let bytes = (visit.limits.last + 1) * Format.entryBytes
        tables.append((visit.table, bytes.trailingZeroBitCount))
        return .proceed
    }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let rights = visit.rights.intersection(format.rights(of: entry, at: visit.level))
        leaves.append(
            Leaf(
                first: first.rawValue, last: last.rawValue,
                physical: format.physical(of: entry, at: visit.level, for: first).rawValue,
                isWritable: format.effectiveRights(rights).canWrite))
        return .proceed
    }

    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        malformed.append("\(first): \(entry) at level \(visit.level)")
        return .proceed
    }
}
