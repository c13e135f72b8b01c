import HostMemory
import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

/// A format in which a guest's tables are tried.
struct GuestCase: Sendable, CustomTestStringConvertible {
    let name: String
    let run: @Sendable () throws -> Void

    init<F: WritableFormat>(_ name: String, _ format: F, topLevel: Level? = nil) {
        self.name = name
        run = { try GuestRun(format, name, topLevel).run(steps: 300) }
    }

    var testDescription: String { name }

    static let all: [GuestCase] = [
        GuestCase("s390x", S390x(), topLevel: Level(2)), GuestCase("x86-64", X86_64()),
        GuestCase("ppc64 radix, 64 KiB", PPC64Radix64K()), GuestCase("x86 EPT", X86EPT()),
    ]
}

@Suite("A guest's tables")
struct GuestSpaceTests {
    @Test("show what the parent maps, and nothing that it does not", arguments: GuestCase.all)
    func followTheParent(format: GuestCase) throws { try format.run() }

    @Test("share frames with those of the parent, and are freed once")
    func shareFrames() throws {
        let run = try GuestRun(S390x(), "halves", Level(1))
        let free = { run.space.references.allocator.freeFrameCount(in: run.memory) }
        // Which the guest sees first.
        try run.map(page: 32)
        let before = free()
        #expect(try run.fault(0) == .mapped)
        #expect(free() == before, "the guest's page table is the other half of the parent's")
        try run.space.unmap(run.pages(0, 255), in: run.memory)
        #expect(free() == before, "the guest's half keeps the frame")
        run.guest.tearDown(in: run.memory)
        try run.space.unmap(run.pages(0, 255), in: run.memory)
        run.space.tearDown(in: run.memory)
        #expect(free() == UInt64(run.frameCount))
    }

    @Test("cannot show a page twice at one address, nor beyond their depth")
    func refusals() throws {
        let run = try GuestRun(S390x(), "refusals", Level(1))
        defer { run.memory.detach() }
        let high = VirtualRange(first: VirtualAddress(1 << 31), last: VirtualAddress(1 << 31 | 0xfff))
        #expect(
            refusal { () throws(SpaceError<Never>) in
                try run.guest.show(run.guestPages(3, 4), from: VirtualAddress(0), in: run.memory)
            } == .alreadyMapped(run.guestPages(3, 3).first))
        #expect(
            refusal { () throws(SpaceError<Never>) in
                try run.guest.show(high, from: VirtualAddress(0), in: run.memory)
            } == .invalidRange(high))
        #expect(try run.fault(1 << 20) == .refused(.notMapped(run.guestAddress(1 << 20))))
    }

    private func refusal(_ body: () throws(SpaceError<Never>) -> Void) -> Refusal? {
        do throws(SpaceError<Never>) { try body() } catch {
            if case .refused(let refusal) = error { return refusal }
        }
        return nil
    }
}

/// Random changes of a parent, with a guest that looks on.
private final class GuestRun<F: WritableFormat> {
    enum Outcome: Equatable {
        case mapped
        case refused(Refusal)
    }

    let format: F
    let memory: HostMemory
    let space: VirtualMemory.Space<F>
    let guest: GuestSpace<F, SoundStructure>
    let frameCount: UInt32 = 300
    private var random: SeededRandom
    private static var pageCount: Int { 64 }

    init(_ format: F, _ name: String, _ topLevel: Level?) throws {
        self.format = format
        random = SeededRandom(for: "guest \(name)")
        let layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, frameCount: frameCount, mirrorCount: 1)
        let arenaBytes = (Int(layout.byteCount) + 0xffff) & ~0xffff
        memory = HostProcessors(arena: try HostArena(byteCount: arenaBytes)).attach()
        space = try .make(format, topLevel: topLevel, layout.makeReferences(), words: layout.spaceWords(), in: memory)
        guest = try .make(over: space, topLevel: topLevel, words: GuestWords(layout.mirrorWords()), in: memory)
        // The guest sees the second half first.
        let half = Self.pageCount / 2
        try guest.show(guestPages(0, half - 1), from: pages(half, half).first, in: memory)
        try guest.show(guestPages(half, Self.pageCount - 1), from: pages(0, 0).first, in: memory)
    }

    private func range(_ first: UInt64, _ count: Int) -> VirtualRange {
        VirtualRange(
            first: VirtualAddress(first), last: VirtualAddress(first + UInt64(count) * format.pageBytes - 1))
    }

    func pages(_ first: Int, _ last: Int) -> VirtualRange { range(UInt64(first) * format.pageBytes, last - first + 1) }
    func guestAddress(_ page: Int) -> VirtualAddress { VirtualAddress(0x100_0000 + UInt64(page) * format.pageBytes) }
    func guestPages(_ first: Int, _ last: Int) -> VirtualRange { range(guestAddress(first).rawValue, last - first + 1) }
    private func parentPage(_ page: Int) -> Int { (page + Self.pageCount / 2) % Self.pageCount }

    func map(page: Int) throws {
        let place = PhysicalAddress(1 << 40 + UInt64.random(in: 0..<1 << 12, using: &random) * format.pageBytes)
        try space.map(pages(page, page), to: place, format.attributes([.read, .write]), in: memory)
    }

    /// A fault of the guest's for reading.
    func fault(_ page: Int) throws -> Outcome {
        memory.withReadLock(space.words.lock) { lock in
            do throws(SpaceError<Never>) {
                try guest.fault(guestAddress(page), for: .read, lock: lock)
                return .mapped
            } catch {
                if case .refused(let refusal) = error { return .refused(refusal) }
                return .mapped
            }
        }
    }

    func run(steps: Int) throws {
        defer { memory.detach() }
        for _ in 0..<steps {
            let first = Int.random(in: 0..<Self.pageCount, using: &random)
            let last = min(first + Int.random(in: 0..<8, using: &random), Self.pageCount - 1)
            // What is refused is refused: something is mapped there already, or nothing is.
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try? space.unmap(pages(first, last), in: memory)
            case 1: try? space.protect(pages(first, last), format.attributes(.read).rights, in: memory)
            case 2: try? map(page: first)
            case 3:
                let region = Region(pages(first, last), .anonymous, format.attributes([.read, .write]))
                try? space.add(region, in: memory)
            default: try checkFault(first)
            }
            try compare()
        }
        guest.tearDown(in: memory)
        space.tearDown(in: memory)
        #expect(space.references.allocator.freeFrameCount(in: memory) == UInt64(frameCount), "\(replay)")
    }

    private var replay: String { SeededRandom.replay("GuestSpaceTests") }

    /// A fault maps the page if the parent has one, or a region for it.
    private func checkFault(_ page: Int) throws {
        let outcome = try fault(page)
        let parent = mapping(of: pages(parentPage(page), parentPage(page)).first, isGuest: false)
        let shown = mapping(of: guestAddress(page), isGuest: true)
        switch outcome {
        case .mapped: #expect(shown != nil && shown?.physical == parent?.physical, "\(replay)")
        case .refused: #expect(parent == nil && shown == nil, "\(outcome); \(replay)")
        }
    }

    /// Whatever the guest's tables map, the parent maps to the same place, with the same rights at least.
    private func compare() throws {
        for page in 0..<Self.pageCount {
            guard let shown = mapping(of: guestAddress(page), isGuest: true) else { continue }
            let parent = mapping(of: pages(parentPage(page), parentPage(page)).first, isGuest: false)
            #expect(parent?.physical == shown.physical, "page \(page); \(replay)")
            #expect(parent.map { shown.rights.isSubset(of: $0.rights) } == true, "page \(page); \(replay)")
            let place = guest.access(guestAddress(page), for: .read, in: memory) { $0 }
            #expect(place == shown.physical)
        }
    }

    private func mapping(of address: VirtualAddress, isGuest: Bool) -> Mapping? {
        memory.withRCUReader { section in
            let view = isGuest ? guest.view(in: section) : space.view(in: section)
            return if case .mapped(let found) = view.translate(address, in: section) { found } else { nil }
        }
    }
}
