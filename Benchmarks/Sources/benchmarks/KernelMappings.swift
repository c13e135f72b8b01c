import CReference
import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Regions of anonymous memory that come, are accessed and go, in a live x86-64 space and in the address space of this process.
//
// Each thread has 128 regions of four pages, none of which joins its neighbour. They are few, so that a turn is short: on a
// machine that does other things as well, both threads shall run from its beginning to its end in some turns.
//
// With little contention each thread's regions are in a GiB of their own; with much, those of two threads alternate, so that both
// are in the same leaf table nearly all the time.

private let pageBytes: UInt64 = 4096
private let pagesOfRegion: UInt64 = 4
private let regionCount: UInt64 = 128
private let stride: UInt64 = 5 * pageBytes
/// Where neither the kernel nor a library maps anything by itself.
private let base: UInt64 = 0x1000_0000_0000
private let areaBytes: UInt64 = 4 << 30

private enum Contention: String {
    case none = "1 thread"
    case low = "2 threads, apart"
    case high = "2 threads, side by side"

    var threads: Int { self == .none ? 1 : 2 }

    func regions(_ thread: Int) -> kernel_regions {
        let thread = UInt64(thread)
        return self == .high
            ? kernel_regions(
                first: base + thread * stride, stride: 2 * stride, count: regionCount, pages: pagesOfRegion)
            : kernel_regions(first: base + thread << 30, stride: stride, count: regionCount, pages: pagesOfRegion)
    }
}

private func range(_ address: UInt64, _ bytes: UInt64) -> VirtualRange {
    VirtualRange(first: VirtualAddress(address), last: VirtualAddress(address + bytes - 1))
}

private func succeeds(_ body: () throws(SpaceError<Never>) -> Void) -> Bool {
    do throws(SpaceError<Never>) { try body() } catch { return false }
    return true
}

/// A space in which faults find frames for all threads.
private struct Subject: Sendable {
    let space: LiveX86
    let processors: HostProcessors

    init() throws {
        processors = HostProcessors(arena: try HostArena(byteCount: 64 << 20))
        guard let layout = PhysicalLayout(log2FrameBytes: 12, byteCount: 64 << 20) else { fatalError("no frames") }
        space = try processors.withProcessor { memory throws in
            try LiveX86.make(X86_64(), layout.makeReferences(), words: layout.spaceWords(), in: memory)
        }
    }

    func clear(_ memory: HostMemory) { _ = space.edit(in: memory) { $0.unmap(range(base, areaBytes)) } }

    private func addresses(_ regions: kernel_regions) -> StrideTo<UInt64> {
        Swift.stride(from: regions.first, to: regions.first + regions.count * regions.stride, by: Int(regions.stride))
    }

    private func mapRegion(_ address: UInt64, _ memory: HostMemory) -> Bool {
        let attributes = space.format.attributes([.read, .write])
        return succeeds { () throws(SpaceError<Never>) in
            try space.add(Region(range(address, pagesOfRegion * pageBytes), .anonymous, attributes), in: memory)
        }
    }

    /// As an access of a program: each fault takes the space's lock for reading.
    private func touchRegion(_ address: UInt64, _ memory: HostMemory) -> UInt64 {
        var touched: UInt64 = 0
        for page in 0..<pagesOfRegion {
            let address = VirtualAddress(address + page * pageBytes)
            let isMapped = memory.withReadLock(space.words.lock) { lock in
                succeeds { () throws(SpaceError<Never>) in try space.fault(address, for: .write, lock: lock) }
            }
            if isMapped { touched += 1 }
        }
        return touched
    }

    func map(_ regions: kernel_regions, _ memory: HostMemory) -> UInt64 {
        addresses(regions).reduce(0) { $0 + (mapRegion($1, memory) ? 1 : 0) }
    }

    func touch(_ regions: kernel_regions, _ memory: HostMemory) -> UInt64 {
        addresses(regions).reduce(0) { $0 + touchRegion($1, memory) }
    }

    func mapAndTouch(_ regions: kernel_regions, _ memory: HostMemory) -> UInt64 {
        addresses(regions).reduce(0) { $0 + (mapRegion($1, memory) ? touchRegion($1, memory) : 0) }
    }

    func unmap(_ regions: kernel_regions, _ memory: HostMemory) -> UInt64 {
        addresses(regions).reduce(0) { unmapped, address in
            let isUnmapped = succeeds { () throws(SpaceError<Never>) in
                try space.unmap(range(address, pagesOfRegion * pageBytes), in: memory)
            }
            return unmapped + (isUnmapped ? 1 : 0)
        }
    }
}

/// What is done to the regions before a turn.
private enum Before { case nothing, mapped, touched }

/// The five things that a program does with anonymous memory, beside the kernel that this runs on.
func measureKernelMappings(_ options: Options) throws {
    let subject = try Subject()
    let output = Output(json: options.json)
    var hasTitle = false

    func show(
        _ what: String, _ unit: String, perRegion: UInt64, after before: Before, _ contention: Contention,
        _ ours: @escaping @Sendable (Subject, kernel_regions, HostMemory) -> UInt64,
        _ kernel: @escaping @Sendable (UnsafePointer<kernel_regions>) -> UInt64
    ) throws {
        let name = "\(what), \(contention.rawValue)"
        guard options.wants(name) else { return }
        if !hasTitle { output.title(ours: "Swift ns", other: "kernel ns") }
        hasTitle = true
        let threads = contention.threads
        let count = regionCount * perRegion * UInt64(threads)
        let contest = Contest(
            name: name, unit: unit, count: Int(count), threads: threads, answer: count,
            prepare: { isOurs in
                if !isOurs { return prepare(before, contention) }
                subject.processors.withProcessor { prepare(subject, before, contention, $0) }
            },
            ours: { thread, memory in ours(subject, contention.regions(thread), memory) },
            other: { thread, _ in
                var regions = contention.regions(thread)
                return kernel(&regions)
            })
        output.show(try contest.run(on: subject.processors, repetitions: options.repetitions))
    }

    for contention in [Contention.none, .low, .high] {
        try show("map", "region", perRegion: 1, after: .nothing, contention, { $0.map($1, $2) }, { kernel_map($0) })
        try show(
            "map and touch", "page", perRegion: pagesOfRegion, after: .nothing, contention,
            { $0.mapAndTouch($1, $2) }, { kernel_map_and_touch($0) })
        try show(
            "touch", "page", perRegion: pagesOfRegion, after: .mapped, contention, { $0.touch($1, $2) },
            { kernel_touch($0) })
        try show(
            "unmap, untouched", "region", perRegion: 1, after: .mapped, contention, { $0.unmap($1, $2) },
            { kernel_unmap($0) })
        try show(
            "unmap", "region", perRegion: 1, after: .touched, contention, { $0.unmap($1, $2) }, { kernel_unmap($0) })
    }
    subject.processors.withProcessor { subject.clear($0) }
    kernel_clear(base, areaBytes)
}

private func prepare(_ before: Before, _ contention: Contention) {
    kernel_clear(base, areaBytes)
    for thread in 0..<contention.threads {
        var regions = contention.regions(thread)
        if before != .nothing { _ = kernel_map(&regions) }
        if before == .touched { _ = kernel_touch(&regions) }
    }
}

private func prepare(_ subject: Subject, _ before: Before, _ contention: Contention, _ memory: HostMemory) {
    subject.clear(memory)
    for thread in 0..<contention.threads {
        let regions = contention.regions(thread)
        if before != .nothing { _ = subject.map(regions, memory) }
        if before == .touched { _ = subject.touch(regions, memory) }
    }
}
