import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

/// A live space of entries in halves, and a walker that knows what it may see.
final class HalfEntryMachine {
    /// Memory that is no frame, by its first address. The low halves of pages of both are the same.
    enum Device: UInt64 {
        case first = 0x2000_0000
        case second = 0x4000_0000
    }

    private let execution: Execution
    private let machine: ExploredMachine
    private let layout: PhysicalLayout
    private let references: FrameReferences
    private let space: Space<HalfEntryFormat>
    /// Frames that are in use by somebody, whatever is mapped.
    private var held: [Frame] = []

    /// - Parameter fromFrame: Whether addresses in entries count from a frame that is in use, so that half an address is one.
    init(_ execution: Execution, _ variation: Variation, frames: UInt32 = 4, fromFrame: Bool = false) throws {
        self.execution = execution
        machine = ExploredMachine(execution, processors: 2, lifting: variation.rule)
        var format = HalfEntryFormat()
        layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, frameCount: frames)
        references = layout.makeReferences()
        try machine.processor(0).beginLife(of: layout.bookkeeping, as: .bookkeeping)
        // The distances of the frames below have all the bits that the distance of address 0 has, wherever frames are: an
        // address is added to a leaf of address 0 (`LeafEncoding`).
        while fromFrame, format.origin.rawValue == 0 || format.origin.rawValue & 0x7f != 0,
            let frame = try references.allocator.allocate(in: machine.processor(0))
        {
            held.append(frame)
            format.origin = layout.map.address(of: frame)
        }
        space = try Space.make(format, references, words: layout.spaceWords(), in: machine.processor(0))
    }

    private func pages(_ first: Int, _ last: Int) -> VirtualRange {
        VirtualRange(first: VirtualAddress(UInt64(first) * 32), last: VirtualAddress(UInt64(last) * 32 + 31))
    }

    var smallLeaf: PageSize { PageSize(log2Bytes: Int(space.format.log2FrameBytes)) }
    private var writable: EntryAttributes { space.format.attributes([.read, .write]) }

    func map(_ device: Device, _ first: Int, _ last: Int) throws {
        let physical = PhysicalAddress(device.rawValue + UInt64(first) * smallLeaf.bytes)
        try space.map(pages(first, last), to: physical, writable, in: machine.processor(0))
    }

    /// A frame that stays in use.
    func newFrame() throws -> Frame {
        guard let frame = try references.allocator.allocate(in: machine.processor(0)) else {
            try machine.violate("there are too few frames for the scenario")
        }
        held.append(frame)
        return frame
    }

    func map(_ frame: Frame, _ page: Int) throws {
        try space.map(pages(page, page), to: layout.map.address(of: frame), writable, in: machine.processor(0))
    }

    func remap(_ frame: Frame, _ page: Int) throws {
        try unmap(page, page)
        try map(frame, page)
    }

    func addRegion(of device: Device, _ first: Int, _ last: Int) throws {
        let region = Region(
            pages(first, last), .device(start: PhysicalAddress(device.rawValue)), writable,
            largestLeaf: PageSize(log2Bytes: 63))
        try space.add(region, in: machine.processor(0))
    }

    func unmap(_ first: Int, _ last: Int) throws { try space.unmap(pages(first, last), in: machine.processor(0)) }

    func protect(_ first: Int, _ last: Int) throws {
        let rights = space.format.attributes(.read).rights
        try space.protect(pages(first, last), rights, in: machine.processor(0))
    }

    /// Unmaps pages and maps others there, in one section of the lock.
    func remap(_ device: Device, _ first: Int, _ last: Int) throws {
        let refusal = try space.edit(in: machine.processor(0)) { (editor) throws(Abandoned) -> Refusal? in
            if let refusal = try editor.unmap(pages(first, last)) { return refusal }
            return try editor.map(pages(first, last), to: PhysicalAddress(device.rawValue), writable)
        }
        if let refusal { try machine.violate("the pages are not mapped again: \(refusal)") }
    }

    /// A thread that translates the address of a page once. It may be mapped to one of the devices, or not.
    func walk(page: Int, expecting devices: [Device], isAlwaysMapped: Bool = false) {
        execution.spawn(named: "walker") { [self] in
            let memory = machine.processor(1)
            let translation = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                try space.view(in: section).translate(pages(page, page).first, in: section)
            }
            switch translation {
            case .mapped(let mapping):
                if !devices.contains(where: { $0.rawValue + UInt64(page) * 32 == mapping.physical.rawValue }) {
                    try machine.violate("page \(page) is at \(mapping.physical), where it never was")
                }
            case .unmapped(let fault):
                if fault.reason != .notPresent { try machine.violate("page \(page) has a malformed entry") }
                if isAlwaysMapped { try machine.violate("page \(page) is mapped all the time, and is not found") }
            }
        }
    }

    /// A thread that walks over a range of pages once. Each may be mapped to one of the devices, or not.
    func walkRange(_ first: Int, _ last: Int, expecting devices: [Device]) {
        execution.spawn(named: "walker") { [self] in
            var visitor = LeafPlaces()
            try machine.processor(1).withInterruptsBlocked { (section) throws(Abandoned) in
                _ = try space.view(in: section).walk(pages(first, last), in: section, visitor: &visitor)
            }
            for (address, place) in visitor.places {
                if !devices.contains(where: { $0.rawValue + address.rawValue == place.rawValue }) {
                    try machine.violate("\(address) is at \(place), where it never was")
                }
            }
        }
    }

    /// A fault for reading, which nothing may refuse.
    func fault(_ page: Int, atMost largestLeaf: PageSize = PageSize(log2Bytes: 63), on processor: Int) throws {
        try machine.processor(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            do throws(SpaceError<Abandoned>) {
                try space.fault(pages(page, page).first, for: .read, atMost: largestLeaf, lock: lock)
            } catch {
                switch error {
                case .memory(let abandoned): throw abandoned
                case .refused(let refusal): try machine.violate("page \(page) is mapped all the time: \(refusal)")
                }
            }
        }
    }

    func fault(page: Int, atMost largestLeaf: PageSize = PageSize(log2Bytes: 63)) {
        execution.spawn(named: "fault") { [self] in try fault(page, atMost: largestLeaf, on: 0) }
    }

    /// A thread that walks over pages with the lock held for reading, and splits what is large.
    func splitByWalk(_ first: Int, _ last: Int) {
        execution.spawn(named: "walker") { [self] in
            try machine.processor(1).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
                var visitor = SplittingVisitor<HalfEntryFormat>(pageBytes: smallLeaf.bytes)
                do throws(SpaceError<Abandoned>) {
                    try space.walk(pages(first, last), lock: lock, visitor: &visitor)
                } catch {
                    if case .memory(let abandoned) = error { throw abandoned }
                    try machine.violate("a walk has no memory for a table")
                }
            }
        }
    }

    /// A thread that pins a page for a moment without a lock. It is one of the frames, if it is pinned.
    func pin(page: Int, expecting frames: [Frame]) {
        execution.spawn(named: "pinner") { [self] in
            let memory = machine.processor(1)
            let pin = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                try space.pinFast(pages(page, page).first, for: .read, in: section)
            }
            guard let pin else { return }
            if !frames.contains(where: { layout.map.address(of: $0) == pin.range.first }) {
                try machine.violate("\(pin.range) is pinned, which was never mapped")
            }
            try space.unpin(pin, in: memory)
        }
    }

    func requireAllFree() throws {
        let memory = machine.processor(0)
        try space.tearDown(in: memory)
        for frame in held { try references.drop(on: frame, in: memory) }
        let lost = try UInt64(layout.map.frameCount) - references.allocator.freeFrameCount(in: memory)
        if lost != 0 { try machine.violate("\(lost) frames are never freed") }
    }
}

/// Where the leaves are that a walk comes by.
private struct LeafPlaces: PageWalkVisitor {
    var places: [(VirtualAddress, PhysicalAddress)] = []

    mutating func leaf(
        _ entry: Entry, _ format: HalfEntryFormat, at index: Int, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        places.append((first, format.physical(of: entry, at: visit.level, for: first)))
        return .proceed
    }
}
