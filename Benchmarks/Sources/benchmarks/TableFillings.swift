import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Tables that are smaller than a frame, made one by one and a frame at a time. What is mapped is a device's, so that no frame is
// filled for a page and the tables are all that is measured.

private typealias Live = VirtualMemory.Space
/// Behind the arena.
private let device: UInt64 = 1 << 40

/// Pages that are accessed.
private struct Pages {
    let name: String
    /// From the first byte of one to that of the next.
    let stride: UInt64
    let count: Int
}

/// Two spaces that differ in nothing else.
private struct Spaces<Format: WritableFormat>: Sendable {
    let single: Live<Format>
    let wholeFrame: Live<Format>
    let processors: HostProcessors
    let frames: FrameReferences

    init(_ format: Format, byteCount: UInt64) throws {
        processors = HostProcessors(arena: try HostArena(byteCount: Int(byteCount)))
        guard
            let layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, byteCount: byteCount, spaceCount: 2)
        else { fatalError("no frames") }
        let references = layout.makeReferences()
        frames = references
        (single, wholeFrame) = try processors.withProcessor { memory throws in
            (
                try .make(format, references, words: layout.spaceWords(0), filling: .single, in: memory),
                try .make(format, references, words: layout.spaceWords(1), filling: .wholeFrame, in: memory)
            )
        }
    }

    /// Unmaps everything, and says what a fault maps: small leaves.
    func clear(_ space: Live<Format>, _ pages: Pages, isFaulted: Bool, _ memory: HostMemory) throws {
        let bytes = UInt64(pages.count) * pages.stride
        let range = VirtualRange(first: VirtualAddress(0), last: VirtualAddress(bytes - 1))
        try space.unmap(everything(space.format), in: memory)
        guard isFaulted else { return }
        let size = PageSize(log2Bytes: Int(space.format.log2FrameBytes))
        let attributes = space.format.attributes([.read, .write])
        try space.add(
            Region(range, .device(start: PhysicalAddress(device)), attributes, largestLeaf: size), in: memory)
    }

    private func everything(_ format: Format) -> VirtualRange {
        VirtualRange(first: VirtualAddress(0), last: VirtualAddress(1 << 42 - 1))
    }

    func usedBytes(_ memory: HostMemory) -> UInt64 {
        let used = UInt64(frames.map.frameCount) - frames.allocator.freeFrameCount(in: memory)
        return used << UInt64(frames.map.log2FrameBytes)
    }
}

@inline(never)
private func fault<Format: WritableFormat>(_ space: Live<Format>, _ pages: Pages, _ memory: HostMemory) -> UInt64 {
    var mapped: UInt64 = 0
    for page in 0..<UInt64(pages.count) {
        memory.withReadLock(space.words.lock) { lock in
            do throws(SpaceError<Never>) {
                try space.fault(VirtualAddress(page &* pages.stride), for: .write, lock: lock)
                mapped &+= 1
            } catch {}
        }
    }
    return mapped
}

@inline(never)
private func map<Format: WritableFormat>(_ space: Live<Format>, _ pages: Pages, _ memory: HostMemory) -> UInt64 {
    let attributes = space.format.attributes([.read, .write])
    let pageBytes: UInt64 = 1 << UInt64(space.format.log2FrameBytes)
    var mapped: UInt64 = 0
    space.edit(in: memory) { editor in
        for page in 0..<UInt64(pages.count) {
            let first = page &* pages.stride
            let range = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first &+ pageBytes &- 1))
            if editor.map(range, to: PhysicalAddress(device &+ first), attributes) == nil { mapped &+= 1 }
        }
    }
    return mapped
}

private func measure<Format: WritableFormat>(
    _ formatName: String, _ format: Format, _ patterns: [Pages], _ options: Options
) throws {
    let spaces = try Spaces(format, byteCount: 96 << 20)
    let output = Output(json: options.json)
    var hasTitle = false
    func title() {
        if !hasTitle { output.title(ours: "whole frame", other: "single") }
        hasTitle = true
    }
    for pages in patterns {
        for isFaulted in [true, false] {
            let name = "\(isFaulted ? "fault" : "map"), \(formatName), \(pages.name)"
            guard options.wants(name) else { continue }
            title()
            let contest = Contest(
                name: name, unit: "ns a page", count: pages.count, answer: UInt64(pages.count),
                prepare: { isOurs in
                    let space = isOurs ? spaces.wholeFrame : spaces.single
                    try spaces.processors.withProcessor { memory throws in
                        try spaces.clear(space, pages, isFaulted: isFaulted, memory)
                    }
                },
                ours: { _, memory in
                    isFaulted ? fault(spaces.wholeFrame, pages, memory) : map(spaces.wholeFrame, pages, memory)
                },
                other: { _, memory in
                    isFaulted ? fault(spaces.single, pages, memory) : map(spaces.single, pages, memory)
                })
            output.show(try contest.run(on: spaces.processors, repetitions: options.repetitions))
        }
        let name = "memory, \(formatName), \(pages.name)"
        guard options.wants(name) else { continue }
        title()
        output.show(
            try spaces.processors.withProcessor { memory throws in try memoryOfTables(name, spaces, pages, memory) })
    }
    spaces.processors.withProcessor { memory in
        for space in [spaces.single, spaces.wholeFrame] { space.tearDown(in: memory) }
    }
}

/// What the tables take that lead to the pages, beyond those of an empty space.
private func memoryOfTables<Format: WritableFormat>(
    _ name: String, _ spaces: Spaces<Format>, _ pages: Pages, _ memory: HostMemory
) throws -> ContestResult {
    func kibibytes(_ space: Live<Format>) throws -> Double {
        try spaces.clear(space, pages, isFaulted: false, memory)
        let before = spaces.usedBytes(memory)
        guard map(space, pages, memory) == UInt64(pages.count) else { throw Disagreement(name: name) }
        return Double(spaces.usedBytes(memory) - before) / 1024
    }
    let ours = try kibibytes(spaces.wholeFrame)
    let other = try kibibytes(spaces.single)
    for space in [spaces.single, spaces.wholeFrame] {
        try spaces.clear(space, pages, isFaulted: false, memory)
    }
    return ContestResult(name: name, unit: "KiB of tables", ours: ours, other: other, repetitions: 1)
}

/// Cost and gain of making tables a frame at a time.
func measureTableFillings(_ options: Options) throws {
    // A leaf table maps 2 MiB, a frame of them 512 MiB.
    try measure(
        "ppc64", PPC64Radix64K(),
        [
            Pages(name: "every page", stride: 64 << 10, count: 16_384),
            Pages(name: "a page in each table", stride: 2 << 20, count: 1024),
            Pages(name: "a page in each frame of tables", stride: 512 << 20, count: 256),
        ], options)
    // 1 MiB, and 2 MiB.
    try measure(
        "s390x", S390x(),
        [
            Pages(name: "every page", stride: 4 << 10, count: 131_072),
            Pages(name: "a page in each table", stride: 1 << 20, count: 1024),
            Pages(name: "a page in each frame of tables", stride: 2 << 20, count: 512),
        ], options)
}
