import CReference
import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// A live x86-64 space of one thread, with all its safety, against the least that C can do on the same kind of tree.

typealias LiveX86 = VirtualMemory.Space<X86_64>
private let pageBytes: UInt64 = 4096
/// 1 GiB of pages, at addresses of which one entry of level 2 covers all.
private let pageCount: UInt64 = 1 << 18
let liveBase: UInt64 = 0x40_0000_0000
/// Behind the arena: memory of a device, which is not counted.
private let device = PhysicalAddress(1 << 40)
private let smallest = PageSize(log2Bytes: 12)

private func range(_ page: UInt64, _ count: UInt64) -> VirtualRange {
    VirtualRange(
        first: VirtualAddress(liveBase &+ page &* pageBytes),
        last: VirtualAddress(liveBase &+ (page &+ count) &* pageBytes &- 1))
}

/// A space, its memory, and the same in C.
final class LiveMachine {
    let memory: HostMemory
    let space: LiveX86
    let references: FrameReferences
    let writable: EntryAttributes
    private let processors: HostProcessors
    private let arena: UnsafeMutableRawPointer
    private let counters: UnsafeMutablePointer<UInt64>
    let reference: UnsafeMutablePointer<space_reference>

    init() throws {
        processors = HostProcessors(arena: try HostArena(byteCount: 64 << 20))
        memory = processors.attach()
        guard let layout = PhysicalLayout(log2FrameBytes: 12, byteCount: 64 << 20) else { fatalError("no frames") }
        references = layout.makeReferences()
        space = try LiveX86.make(X86_64(), references, words: layout.spaceWords(), in: memory)
        writable = space.format.attributes([.read, .write])
        let tables = 1100
        arena = .allocate(byteCount: tables * 4096, alignment: 4096)
        arena.initializeMemory(as: UInt8.self, repeating: 0, count: tables * 4096)
        counters = .allocate(capacity: 16_384 * 8)
        counters.initialize(repeating: 0, count: 16_384 * 8)
        reference = .allocate(capacity: 1)
        reference.initialize(to: space_reference())
        reference.pointee.arena = arena.assumingMemoryBound(to: UInt8.self)
        reference.pointee.counters = counters
        reference.pointee.root = 4096
        for table in 2..<UInt64(tables) {
            arena.storeBytes(of: reference.pointee.freeTables, toByteOffset: Int(table) * 4096, as: UInt64.self)
            reference.pointee.freeTables = table * 4096
        }
    }

    deinit {
        memory.detach()
        arena.deallocate()
        counters.deallocate()
        reference.deallocate()
    }

    func clear() {
        space.edit(in: memory) { _ = $0.unmap(range(0, pageCount)) }
        if arena.load(fromByteOffset: 4096 + Int(liveBase >> 39 & 511) * 8, as: UInt64.self) & 1 != 0 {
            let entry = Int(liveBase >> 30 & 511) * 8
            let upper = arena.load(fromByteOffset: 4096 + Int(liveBase >> 39 & 511) * 8, as: UInt64.self) & ~4095
            if arena.load(fromByteOffset: Int(upper) + entry, as: UInt64.self) & 1 != 0 {
                _ = space_unmap_subtree(reference, liveBase)
            }
        }
    }

    func fill() {
        clear()
        space.edit(in: memory) { _ = $0.map(range(0, pageCount), to: device, writable, largestLeaf: smallest) }
        _ = space_map_range(reference, liveBase, device.rawValue, pageCount)
    }

    /// Maps frames one by one, each of which a C counter stands for.
    func fillFrames(_ count: UInt64) throws {
        clear()
        var first: Frame?
        for page in 0..<count {
            guard let frame = references.allocator.allocate(in: memory) else { fatalError("too few frames") }
            if first == nil { first = frame }
            let physical = references.map.address(of: frame)
            try space.map(range(page, 1), to: physical, writable, in: memory)
            references.drop(on: frame, in: memory)
            _ = space_map_range(reference, liveBase + page * pageBytes, physical.rawValue, 1)
        }
        reference.pointee.firstFrame = UInt64(references.map.first.number)
    }

    /// Maps one large leaf of frames.
    func fillLarge() throws {
        clear()
        guard let head = references.allocator.allocate(FrameOrder(9), in: memory) else { fatalError("too few frames") }
        try space.map(range(0, 512), to: references.map.address(of: head), writable, in: memory)
        references.drop(on: head, in: memory)
        _ = space_map_range(reference, liveBase, references.map.address(of: head).rawValue, 512)
        reference.pointee.firstFrame = UInt64(references.map.first.number)
    }
}

@inline(never)
private func mapPages(_ machine: LiveMachine) -> UInt64 {
    let (memory, space, writable) = (machine.memory, machine.space, machine.writable)
    var mapped: UInt64 = 0
    space.edit(in: memory) { editor in
        for page in 0..<pageCount {
            let physical = PhysicalAddress(device.rawValue &+ page &* pageBytes)
            if editor.map(range(page, 1), to: physical, writable) == nil { mapped &+= 1 }
        }
    }
    return mapped
}

@inline(never)
private func mapRange(_ machine: LiveMachine) -> UInt64 {
    machine.space.edit(in: machine.memory) { editor in
        let refusal = editor.map(range(0, pageCount), to: device, machine.writable, largestLeaf: smallest)
        return refusal == nil ? pageCount : 0
    }
}

@inline(never)
private func unmapPages(_ machine: LiveMachine) -> UInt64 {
    var unmapped: UInt64 = 0
    machine.space.edit(in: machine.memory) { editor in
        for page in 0..<pageCount where editor.unmap(range(page, 1)) == nil { unmapped &+= 1 }
    }
    return unmapped
}

/// All but one page of each table, so that no table goes.
@inline(never)
private func unmapRanges(_ machine: LiveMachine) -> UInt64 {
    var unmapped: UInt64 = 0
    machine.space.edit(in: machine.memory) { editor in
        for table in 0..<(pageCount / 512) where editor.unmap(range(table * 512, 511)) == nil { unmapped &+= 511 }
    }
    return unmapped
}

private func unmapRangesInC(_ machine: LiveMachine) -> UInt64 {
    var unmapped: UInt64 = 0
    for table in 0..<(pageCount / 512) {
        unmapped &+= space_unmap_range(machine.reference, liveBase + table * 512 * pageBytes, 511)
    }
    return unmapped
}

@inline(never)
private func unmapSubtree(_ machine: LiveMachine) -> UInt64 {
    machine.space.edit(in: machine.memory) { $0.unmap(range(0, pageCount)) } == nil ? 513 : 0
}

@inline(never)
private func protectRange(_ machine: LiveMachine) -> UInt64 {
    let rights = machine.space.format.attributes(.read).rights
    let refusal = machine.space.edit(in: machine.memory) { $0.protect(range(0, pageCount), rights) }
    return refusal == nil ? pageCount : 0
}

@inline(never)
private func translateOne(
    _ address: VirtualAddress, _ view: AddressSpace<X86_64>, _ section: borrowing InterruptsBlocked<HostMemory>
) -> UInt64 {
    guard case .mapped(let mapping) = view.translate(address, in: section) else { return 0 }
    return mapping.physical.rawValue
}

@inline(never)
private func translateAll(_ machine: LiveMachine) -> UInt64 {
    let space = machine.space
    return machine.memory.withInterruptsBlocked { section in
        let view = space.view(in: section)
        var sum: UInt64 = 0
        for page in 0..<pageCount {
            sum &+= translateOne(VirtualAddress(liveBase &+ page &* pageBytes), view, section)
        }
        return sum
    }
}

@inline(never)
private func pinOne(_ address: VirtualAddress, _ space: LiveX86, _ memory: HostMemory) -> Pin? {
    memory.withInterruptsBlocked { space.pinFast(address, for: .write, in: $0) }
}

@inline(never)
private func pinPages(_ machine: LiveMachine, _ count: UInt64) -> UInt64 {
    let (space, memory) = (machine.space, machine.memory)
    var sum: UInt64 = 0
    for page in 0..<count {
        guard let pin = pinOne(VirtualAddress(liveBase &+ page &* pageBytes), space, memory) else { return 0 }
        sum &+= pin.range.first.rawValue
    }
    return sum
}

/// Gives back what `pinPages` has pinned: each page once.
private func unpinPages(_ machine: LiveMachine, _ count: UInt64) {
    let (space, memory) = (machine.space, machine.memory)
    for page in 0..<count {
        guard let pin = pinOne(VirtualAddress(liveBase &+ page &* pageBytes), space, memory) else { return }
        space.unpin(pin, in: memory)
        if space.references.mayBePinned(pin.head, in: memory) { space.unpin(pin, in: memory) }
    }
}

@inline(never)
private func pinRuns(_ machine: LiveMachine, _ count: UInt64, _ run: UInt64) -> UInt64 {
    let (space, memory) = (machine.space, machine.memory)
    var sum: UInt64 = 0
    var pins: [Pin] = []
    pins.reserveCapacity(512)
    var page: UInt64 = 0
    while page < count {
        let pages = range(page, run)
        let rest = memory.withInterruptsBlocked { space.pinFast(pages, for: .write, in: $0, into: &pins) }
        guard rest == nil else { return 0 }
        for pin in pins {
            var address = pin.range.first.rawValue
            for _ in 0..<pin.pages {
                sum &+= address
                address &+= pageBytes
            }
            space.unpin(pin, in: memory)
        }
        pins.removeAll(keepingCapacity: true)
        page &+= run
    }
    return sum
}

func measureLiveSpaces(_ options: Options) throws {
    let machine = try LiveMachine()
    let reference = machine.reference
    func show(
        _ name: String, _ unit: String, _ count: UInt64, before prepare: @escaping () throws -> Void,
        _ swift: @escaping () -> UInt64, _ c: @escaping () -> UInt64
    ) throws {
        guard options.wants(name) else { return }
        let pair = Pair(name: name, unit: unit, count: Int(count), prepare: prepare, swift: swift, c: c)
        Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
    }
    let (clear, fill) = ({ machine.clear() }, { machine.fill() })
    try show("map, page by page", "page", pageCount, before: clear, { mapPages(machine) }) {
        space_map_pages(reference, liveBase, device.rawValue, pageCount)
    }
    try show("map, one range", "page", pageCount, before: clear, { mapRange(machine) }) {
        space_map_range(reference, liveBase, device.rawValue, pageCount)
    }
    try show("unmap, page by page", "page", pageCount, before: fill, { unmapPages(machine) }) {
        space_unmap_pages(reference, liveBase, pageCount)
    }
    try show("unmap, ranges of 511", "page", pageCount, before: fill, { unmapRanges(machine) }) {
        unmapRangesInC(machine)
    }
    try show("unmap 1 GiB of pages at once", "page", pageCount, before: fill, { unmapSubtree(machine) }) {
        space_unmap_subtree(reference, liveBase)
    }
    try show("protect, one range", "page", pageCount, before: fill, { protectRange(machine) }) {
        space_protect_range(reference, liveBase, pageCount, 2)
    }
    machine.fill()
    try show("translate in order, live", "page", pageCount, before: {}, { translateAll(machine) }) {
        space_translate(reference, liveBase, pageCount)
    }
    let pinned: UInt64 = 4096
    try machine.fillFrames(pinned)
    let unpin = { unpinPages(machine, pinned) }
    try show("pin, page by page", "page", pinned, before: unpin, { pinPages(machine, pinned) }) {
        space_pin_pages(reference, liveBase, pinned)
    }
    try show("pin and unpin, ranges of 512", "page", pinned, before: {}, { pinRuns(machine, pinned, 512) }) {
        space_pin_runs(reference, liveBase, pinned, 512)
    }
    try machine.fillLarge()
    try show("pin and unpin, a large page", "page", 512, before: {}, { pinRuns(machine, 512, 512) }) {
        space_pin_runs(reference, liveBase, 512, 512)
    }
    machine.clear()
}
