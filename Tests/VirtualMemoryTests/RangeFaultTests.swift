import HostMemory
import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

/// A format in which random ranges are asked for.
struct MirrorCase: Sendable, CustomTestStringConvertible {
    let name: String
    let play: @Sendable (_ run: Int) throws -> Void

    init<F: WritableFormat>(_ name: String, _ format: F) {
        self.name = name
        play = { run in
            var game = try MirrorGame(format, name, run)
            for _ in 0..<300 { try game.step() }
            game.end()
        }
    }

    var testDescription: String { name }

    static let all: [MirrorCase] = [
        MirrorCase("small", SmallFormat<UInt64>()),
        MirrorCase("small, 32-bit", SmallFormat<UInt32>()),
        MirrorCase("x86-64", X86_64()),
        MirrorCase("x86 PAE, in halves", AccessedInHalves(X86PAE())),
        MirrorCase("arm64, 4 KiB", Arm64<Granule4K>()),
        MirrorCase("arm64, 16 KiB, writes recorded", Arm64<Granule16K>(hardwareDirty: true)),
        MirrorCase("riscv Sv39", RISCVSv39()),
        MirrorCase("ppc64 radix, 64 KiB", PPC64Radix64K()),
        MirrorCase("s390x", S390x()),
    ]
}

@Suite("A range that a device asks for")
struct RangeFaultTests {
    @Test("is answered, mapped and forgotten as the model says", arguments: MirrorCase.all, 0..<3)
    func play(_ format: MirrorCase, _ run: Int) throws { try format.play(run) }

    @Test("ends early when what it says cannot hold any more")
    func stale() throws {
        let machine = try HostMachine(MemoryStore([]))
        let (space, memory) = (machine.spaces[0], machine.memory)
        let range = VirtualRange(first: VirtualAddress(0x1000), last: VirtualAddress(0x2fff))
        try space.add(Region(range, .anonymous, space.format.attributes([.read, .write])), in: memory)
        let frame = try #require(machine.references.allocator.allocate(in: memory))
        let words = MirrorWords(at: machine.references.map.address(of: frame))
        memory.fill(machine.references.map.range(of: frame, .single), with: 0)
        let mirror = DeviceMirror(range, of: PlainDevice(log2PageBytes: 12), words: words)
        let reading = words.beginReading(in: memory)
        mirror.beginInvalidation(of: range, in: memory)
        #expect(reading.isStale(in: memory))
        mirror.endInvalidation(of: range, in: memory)
        #expect(reading.isStale(in: memory))
        let request = RangeRequest(range, log2PageBytes: 12, standard: .fault)
        let answer = memory.withReadLock(space.words.lock) {
            space.faultRange(request, validSince: reading, lock: $0)
        }
        #expect(answer.end == .stale && answer.pages.isEmpty)
        let again = words.beginReading(in: memory)
        #expect(!again.isStale(in: memory))
        let later = memory.withReadLock(space.words.lock) { space.faultRange(request, validSince: again, lock: $0) }
        #expect(later.end == .complete && later.pages.count == 2)
        machine.references.drop(on: frame, in: memory)
        #expect(try machine.lostFrames() == 0)
    }
}

private let pageCount = 24

/// What is at a page, as far as a plain array can know.
private struct PlainPage: Equatable {
    /// Whether a region lets everybody write, if there is one.
    var region: Bool?
    var physical: PhysicalAddress?
    var canWrite = false
}

/// Random changes of a space and requests for it, and an array that says what comes of them.
private struct MirrorGame<Format: WritableFormat> {
    private let memory: HostMemory
    private let processors: HostProcessors
    private let layout: PhysicalLayout
    private let references: FrameReferences
    private let space: VirtualMemory.Space<Format>
    private let format: Format
    private let device: PlainDevice
    private let mirror: DeviceMirror<PlainDevice>
    private let start: UInt64
    private let replay: Comment
    private var model = [PlainPage](repeating: PlainPage(), count: pageCount)
    private var random: SeededRandom

    init(_ format: Format, _ name: String, _ run: Int) throws {
        let format = format.ofLiveSpaces
        self.format = format
        replay = "\(name), run \(run); \(SeededRandom.replay("RangeFaultTests"))"
        random = SeededRandom(for: "mirror \(name) \(run)")
        layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, frameCount: 160, mirrorCount: 1)
        processors = HostProcessors(arena: try HostArena(byteCount: Int(layout.byteCount + 0xfff) & ~0xfff))
        memory = processors.attach()
        references = layout.makeReferences()
        space = try .make(format, references, words: layout.spaceWords(), in: memory)
        device = PlainDevice(log2PageBytes: format.log2FrameBytes)
        // Half of the pages are in one leaf table and half in the next.
        start =
            1 << format.shift(Level(1)) - UInt64(pageCount) / 2 << UInt64(format.log2FrameBytes)
            & (1 << format.shift(Level(1)) - 1)
        let first = VirtualAddress(start)
        let last = VirtualAddress(start + UInt64(pageCount) << UInt64(format.log2FrameBytes) - 1)
        mirror = DeviceMirror(VirtualRange(first: first, last: last), of: device, words: layout.mirrorWords())
        space.add(mirror, in: memory)
    }

    private var pageBytes: UInt64 { 1 << UInt64(format.log2FrameBytes) }
    private func address(_ page: Int) -> VirtualAddress { VirtualAddress(start + UInt64(page) * pageBytes) }
    private func range(_ pages: ClosedRange<Int>) -> VirtualRange {
        VirtualRange(
            first: address(pages.lowerBound), last: VirtualAddress(address(pages.upperBound).rawValue + pageBytes - 1))
    }

    private func require(_ condition: Bool, _ what: @autoclosure () -> String) {
        if !condition { Issue.record("\(what()); \(replay)") }
    }

    private mutating func anyPages(_ most: Int) -> ClosedRange<Int> {
        let count = Int.random(in: 1...most, using: &random)
        let first = Int.random(in: 0...pageCount - count, using: &random)
        return first...first + count - 1
    }

    // MARK: steps

    mutating func step() throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<15: try map()
        case 15..<20: try mapDevice()
        case 20..<35: try addRegion()
        case 35..<50: try unmap()
        case 50..<60: try protect()
        default: try program()
        }
        compareDevice()
    }

    private mutating func rights() -> (Protection, Bool) {
        Bool.random(using: &random) ? ([.read, .write], true) : (.read, false)
    }

    private mutating func map() throws {
        let order = Int.random(in: 0...2, using: &random)
        let pages = anyPages(pageCount - 3).lowerBound
        let (protection, canWrite) = rights()
        guard pages + (1 << order) <= pageCount,
            let head = references.allocator.allocate(FrameOrder(order), in: memory)
        else { return }
        let all = pages...pages + (1 << order) - 1
        let isFree = all.allSatisfy { model[$0] == PlainPage() }
        let physical = layout.map.address(of: head)
        if isFree {
            try space.map(range(all), to: physical, format.attributes(protection), in: memory)
            for (number, page) in all.enumerated() {
                model[page].physical = PhysicalAddress(physical.rawValue + UInt64(number) * pageBytes)
                model[page].canWrite = canWrite
            }
        }
        references.drop(on: head, in: memory)
    }

    /// Memory that is no frame: behind the last one.
    private mutating func mapDevice() throws {
        let pages = anyPages(3)
        guard pages.allSatisfy({ model[$0] == PlainPage() }) else { return }
        let physical = (layout.byteCount + 0xf_ffff) & ~0xf_ffff
        try space.map(
            range(pages), to: PhysicalAddress(physical), format.attributes([.read, .write]), in: memory)
        for (number, page) in pages.enumerated() {
            model[page].physical = PhysicalAddress(physical + UInt64(number) * pageBytes)
            model[page].canWrite = true
        }
    }

    private mutating func addRegion() throws {
        let pages = anyPages(6)
        guard pages.allSatisfy({ model[$0] == PlainPage() }) else { return }
        let (protection, canWrite) = rights()
        try space.add(Region(range(pages), .anonymous, format.attributes(protection)), in: memory)
        for page in pages { model[page].region = canWrite }
    }

    private mutating func unmap() throws {
        let pages = anyPages(8)
        try space.unmap(range(pages), in: memory)
        for page in pages { model[page] = PlainPage() }
    }

    private mutating func protect() throws {
        let pages = anyPages(8)
        let (protection, canWrite) = rights()
        try space.protect(range(pages), format.attributes(protection).rights, in: memory)
        for page in pages {
            if model[page].region != nil { model[page].region = canWrite }
            if model[page].physical != nil { model[page].canWrite = canWrite }
        }
    }

    // MARK: requests

    private mutating func anyDemand() -> PageDemand {
        PageDemand(rawValue: UInt8.random(in: 0...3, using: &random))
    }

    private mutating func program() throws {
        let pages = anyPages(12)
        var request = RangeRequest(range(pages), log2PageBytes: format.log2FrameBytes)
        if Bool.random(using: &random) { request.demands = pages.map { _ in anyDemand() } }
        if Int.random(in: 0..<4, using: &random) == 0 { request.mask = anyDemand() }
        if Bool.random(using: &random) { request.standard = anyDemand() }
        // Half of them by hand, so that the answers in front of a refusal are seen.
        if Bool.random(using: &random) { return ask(request, pages) }
        let before = device.table
        do throws(SpaceError<Never>) {
            try space.program(mirror, request, in: memory)
            let expected = expect(request, pages)
            require(expected.refusal == nil, "the model refuses: \(String(describing: expected.refusal))")
            for page in pages {
                let found = device.table[address(page)]
                if case .mapped(let physical) = expected.pages[page - pages.lowerBound] {
                    require(
                        found?.physical == physical, "page \(page) is \(String(describing: found)), not \(physical)")
                } else {
                    require(found == nil, "the device has page \(page), which is not there")
                }
            }
        } catch {
            guard case .refused(let refusal) = error else { return }
            let expected = expect(request, pages)
            require(expected.refusal == refusal, "refused with \(refusal), not \(String(describing: expected.refusal))")
            // A page that was mapped before the refusal is none that the device had.
            require(device.table.allSatisfy { before[$0.key] == $0.value }, "a request that is refused is programmed")
        }
    }

    private mutating func ask(_ request: RangeRequest, _ pages: ClosedRange<Int>) {
        let answer = memory.withReadLock(space.words.lock) { space.faultRange(request, lock: $0) }
        let expected = expect(request, pages)
        if let refusal = expected.refusal {
            require(answer.end == .refused(refusal), "the end is \(answer.end), not \(refusal)")
        } else {
            require(answer.end == .complete, "the end is \(answer.end)")
        }
        require(
            answer.pages.count == expected.pages.count, "\(answer.pages.count) answers, not \(expected.pages.count)")
        for (number, (found, model)) in zip(answer.pages, expected.pages).enumerated() {
            let page = pages.lowerBound + number
            switch (found, model) {
            case (.unmapped, .unmapped), (.impossible, .impossible): break
            case (.mapped(let found), .mapped(let physical)):
                require(found.physical == physical, "page \(page) is at \(found.physical), not \(physical)")
                compare(found, page)
                if request.demand(number).access == .write {
                    require(found.isWritable, "page \(page) cannot be written, and was asked for that")
                }
            default: require(false, "page \(page) is \(found), not \(model)")
            }
        }
    }

    private enum Expected: Equatable {
        case unmapped
        case impossible
        case mapped(PhysicalAddress)
    }

    /// What a request came to, page by page. Where the space puts a page that was not there no model knows.
    private mutating func expect(
        _ request: RangeRequest, _ pages: ClosedRange<Int>
    ) -> (pages: [Expected], refusal: Refusal?) {
        var answers: [Expected] = []
        for (number, page) in pages.enumerated() {
            let access = request.demand(number).access
            let state = model[page]
            if let physical = state.physical {
                if access == .write, !state.canWrite { return (answers, .accessDenied(address(page))) }
                let isFrame = layout.map.frame(of: physical) != nil
                if !isFrame, access != nil { return (answers, .notPinnable(address(page))) }
                answers.append(isFrame ? .mapped(physical) : .impossible)
            } else if let access {
                guard let canWrite = state.region else { return (answers, .notMapped(address(page))) }
                if access == .write, !canWrite { return (answers, .accessDenied(address(page))) }
                guard let physical = mapping(of: page)?.physical else {
                    require(false, "page \(page) was to be mapped")
                    return (answers, nil)
                }
                let isNew = model.allSatisfy { $0.physical != physical } && layout.map.frame(of: physical) != nil
                require(isNew, "page \(page) is where another page is")
                model[page].physical = physical
                model[page].canWrite = canWrite
                answers.append(.mapped(physical))
            } else {
                answers.append(state.region == nil ? .impossible : .unmapped)
            }
        }
        return (answers, nil)
    }

    // MARK: comparison

    private func mapping(of page: Int) -> Mapping? {
        memory.withRCUReader { section in
            guard case .mapped(let found) = space.view(in: section).translate(address(page), in: section) else {
                return nil
            }
            return found
        }
    }

    /// What is said of a page that is there, beside where it is.
    private func compare(_ found: MirroredPage, _ page: Int) {
        guard let mapping = mapping(of: page) else { return require(false, "page \(page) is not mapped") }
        let isRecorded =
            !Format.leavesSayWritten
            || format.attributes(of: mapping.leaf, at: mapping.level).flags.contains(.dirty)
        require(mapping.rights.canWrite == model[page].canWrite, "page \(page) has other rights than the model")
        // A later page of the same leaf may have had its write recorded.
        let mayBeOlder = mapping.level > .leafTable && !found.isWritable
        require(
            found.isWritable == (model[page].canWrite && isRecorded) || mayBeOlder,
            "page \(page) is writable: \(found.isWritable), the space: \(mapping.rights.canWrite), \(isRecorded)")
        require(
            found.leafSize == format.leafSize(of: mapping.leaf, at: mapping.level), "page \(page) has another leaf")
    }

    /// All that the device uses is so at this moment.
    private func compareDevice() {
        for (key, found) in device.table {
            let page = Int((key.rawValue - start) / pageBytes)
            require(model[page].physical == found.physical, "the device has page \(page) where it is no more")
            guard found.isWritable else { continue }
            guard let mapping = mapping(of: page) else { return require(false, "page \(page) is not mapped") }
            require(mapping.rights.canWrite, "the device may write to page \(page), and nobody else")
            if Format.leavesSayWritten {
                let flags = format.attributes(of: mapping.leaf, at: mapping.level).flags
                require(flags.contains(.dirty), "the device may write to page \(page), which nobody would know")
            }
        }
    }

    func end() {
        space.remove(mirror, in: memory)
        space.tearDown(in: memory)
        let lost = UInt64(layout.map.frameCount) - references.allocator.freeFrameCount(in: memory)
        require(lost == 0, "\(lost) frames are never freed")
        memory.detach()
    }
}
