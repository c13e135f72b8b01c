import PageTableWalk
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

/// A format in which uses are recorded, and random operations on a space of it.
struct RecordingCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable () throws -> Void
    let protect: @Sendable () throws -> Void

    init<F: RecordingFormat>(_ name: String, _ format: F, steps: Int) {
        testDescription = name
        protect = { try SpaceRun(format, name, "records of pages that are protected").takeFromProtected() }
        run = { try SpaceRun(format, name, "records of use").takeAtRandom(steps) }
    }

    static let all: [RecordingCase] = [
        RecordingCase("small, 64-bit", SmallFormat<UInt64>(), steps: 800),
        RecordingCase("small, 32-bit", SmallFormat<UInt32>(), steps: 800),
        RecordingCase("x86-64", X86_64(), steps: 60),
        RecordingCase("x86-64, five levels", X86_64FiveLevel(), steps: 60),
        RecordingCase("arm64, 4 KiB", Arm64<Granule4K>(), steps: 30),
        RecordingCase("arm64, 4 KiB, writes recorded", Arm64<Granule4K>(hardwareDirty: true), steps: 60),
        RecordingCase("arm64, 16 KiB, writes recorded", Arm64<Granule16K>(hardwareDirty: true), steps: 20),
        RecordingCase("x86 EPT", X86EPT(), steps: 20),
        RecordingCase("riscv Sv48", RISCVSv48(), steps: 60),
        RecordingCase("ppc64 radix, 64 KiB", PPC64Radix64K(), steps: 60),
    ]
}

/// The leaves of a range, each as a whole.
private struct LeafList<Format: PageTableFormat>: PageWalkVisitor {
    private(set) var leaves: [(virtual: VirtualRange, level: Level, attributes: EntryAttributes)] = []

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let mask: UInt64 = 1 << format.shift(visit.level) - 1
        let whole = VirtualRange(
            first: VirtualAddress(first.rawValue & ~mask), last: VirtualAddress(first.rawValue | mask))
        leaves.append((whole, visit.level, format.attributes(of: entry, at: visit.level)))
        return .proceed
    }
}

extension SpaceRun where F: RecordingFormat {
    /// Maps, splits and uses pages, and takes the records of some, while a processor keeps translations of them.
    fileprivate func takeAtRandom(_ steps: Int) throws {
        let operations: [SpaceOperation] = [
            .mapDevice, .mapFrames, .protect, .unmap, .split, .record, .record, .record, .record,
        ]
        processor = try RunningProcessor(self)
        for _ in 0..<steps {
            guard let operation = operations.randomElement(using: &random) else { return }
            try perform(operation)
            try useProcessor(3)
            if chance(2) { try takeSome() }
            try useProcessor(3)
        }
        try finish()
    }

    private func leaves(of range: VirtualRange) throws -> LeafList<F> {
        try memory.withRCUReader { (section) throws(MemoryMisuse) in
            var list = LeafList<F>()
            try space.view(in: section).walk(range, in: section, visitor: &list)
            return list
        }
    }

    func take(_ flags: EntryFlags, in range: VirtualRange) throws -> TakenRecords {
        try memory.withReadLock(space.words.lock) { (lock) throws(MemoryMisuse) in
            try space.takeRecords(flags, in: range, lock: lock)
        }
    }

    private func takeSome() throws {
        let range = randomRange()
        let wanted =
            ([[.dirty], [.accessed], [.accessed, .dirty]] as [EntryFlags])
            .randomElement(using: &random) ?? .dirty
        step = "take \(wanted) in \(range)"
        let before = try leaves(of: range)
        let taken = try take(wanted, in: range)
        var expected = TakenRecords()
        for (virtual, level, attributes) in before.leaves {
            let flags = attributes.flags.intersection(wanted)
            if flags.isEmpty { continue }
            expected.add(virtual, flags, isLarge: level > .leafTable)
            model.mappings.change(virtual.first.rawValue, virtual.last.rawValue) {
                $0.attributes.flags.subtract(wanted)
            }
        }
        try verify(taken == expected, "\(taken), not \(expected)")
        for runs in [taken.dirty, taken.accessed] {
            for run in runs.ranges {
                try verify(runs.contains(run.first) && runs.contains(run.last), "\(run) is not in itself")
            }
        }
        try verify(try take(wanted, in: range).isEmpty, "there is something left")
        try compare()
    }
}

extension SpaceRun where F: RecordingFormat {
    /// Pages 0 and 1 are written, page 2 is not; then pages 1 and 2 lose the right to write, and get it back.
    fileprivate func takeFromProtected() throws {
        let processor = try RunningProcessor(self)
        let (all, some) = (pages(0, 2), pages(1, 2))
        let (reading, writing) = (attributes(.read), attributes([.read, .write]))
        try space.map(all, to: device(0), writing, in: memory)
        func write(_ pages: [UInt64]) throws {
            for page in pages {
                let found = try processor.physical(of: address(page).rawValue, for: .write, .user)
                try verify(found == device(page), "page \(page) cannot be written")
            }
        }
        func require(_ dirty: [Bool], canWrite: Bool) throws {
            for page in 0..<3 as Range<UInt64> {
                guard case .mapped(let mapping) = try translate(address(page).rawValue) else {
                    throw failure("page \(page) is not mapped")
                }
                let flags = format.attributes(of: mapping.leaf, at: mapping.level).flags
                try verify(flags.contains(.dirty) == dirty[Int(page)], "page \(page) has \(flags)")
                try verify(mapping.rights.canWrite == (canWrite || page == 0), "page \(page) has \(mapping.rights)")
            }
        }
        step = "taken while protected"
        try write([0, 1])
        try space.protect(some, reading.rights, in: memory)
        try require([true, true, false], canWrite: false)
        try verify(try take(.dirty, in: all).dirty.ranges == [pages(0, 1)], "pages 0 and 1 were written")
        try require([false, false, false], canWrite: false)
        try space.protect(some, writing.rights, in: memory)
        try require([false, false, false], canWrite: true)
        step = "taken when the right is back"
        try write([0, 1])
        try space.protect(some, reading.rights, in: memory)
        try space.protect(some, writing.rights, in: memory)
        try require([true, true, false], canWrite: true)
        try verify(try take(.dirty, in: all).dirty.ranges == [pages(0, 1)], "pages 0 and 1 were written")
        try verify(try take(.dirty, in: all).isEmpty, "there is something left")
        step = "written again"
        try write([2])
        try verify(try take(.dirty, in: all).dirty.ranges == [pages(2)], "page 2 was written")
    }
}

@Suite("Taking the records of use")
struct TakenRecordsTests {
    @Test("finds each record once, and leaves all else as it is", arguments: RecordingCase.all)
    func random(_ format: RecordingCase) throws { try format.run() }

    @Test(
        "finds what was written before the right to write was taken away, or given back", arguments: RecordingCase.all)
    func protected(_ format: RecordingCase) throws { try format.protect() }

    @Test func `tells of a large leaf as a whole, even where it reaches beyond the range`() throws {
        let run = try SpaceRun<SmallFormat<UInt64>>.plain("large leaf")
        var attributes = run.attributes([.read, .write])
        attributes.flags = .dirty
        try run.space.map(run.pages(4, 7), to: run.device(4), attributes, in: run.memory)
        try run.space.map(run.pages(9), to: run.device(9), attributes, in: run.memory)
        let taken = try run.take(.dirty, in: run.pages(6, 9))
        #expect(taken.dirty.ranges == [run.pages(4, 7), run.pages(9)])
        #expect(taken.largeLeaves == [TakenRecords.LargeLeaf(run.pages(4, 7), .dirty)])
        #expect(taken.accessed.isEmpty)
        #expect(taken.dirty.bitmap(of: run.pages(0, 127), log2PageBytes: 6) == [0b10_1111_0000, 0])
        #expect(taken.dirty.bitmap(of: run.pages(6, 9), log2PageBytes: 6) == [0b1011])
        #expect(!taken.dirty.contains(run.address(8)) && taken.dirty.contains(run.address(9)))
    }

    @Test func `takes the right to write, where hardware records a write by giving it`() throws {
        let format = Arm64<Granule4K>(hardwareDirty: true)
        let run = try SpaceRun(format, "arm64", "dirty records")
        var attributes = run.attributes([.read, .write])
        attributes.flags = [.accessed, .dirty]
        try run.space.map(run.pages(0, 1), to: run.device(0), attributes, in: run.memory)
        #expect(try run.take(.dirty, in: run.pages(0)).dirty.ranges == [run.pages(0)])
        for (page, isDirty) in [(0, false), (1, true)] as [(UInt64, Bool)] {
            guard case .mapped(let mapping) = try run.translate(run.address(page).rawValue) else {
                Issue.record("page \(page) is not mapped")
                continue
            }
            #expect(mapping.rights.canWrite, "hardware may still let a program write")
            let flags = format.attributes(of: mapping.leaf, at: mapping.level).flags
            #expect(flags == (isDirty ? [.accessed, .dirty] : .accessed))
        }
    }

    @Test func `takes again what hardware records while it takes`() throws {
        let run = try SpaceRun<SmallFormat<UInt32>>(SmallFormat(), "small, 32-bit", "record in between")
        var attributes = run.attributes([.read, .write])
        attributes.flags = .accessed
        try run.space.map(run.pages(0), to: run.device(0), attributes, in: run.memory)
        var hasRecorded = false
        run.memory.beforeExchange = { place in
            // Of a lock's word nothing is recorded.
            guard !hasRecorded, run.layout.map.frame(of: place) != nil else { return }
            hasRecorded = true
            let word = Word<UInt32>(place)
            // The dirty bit of a big-endian entry.
            _ = try? run.memory.update(word, clearing: 0, setting: UInt32(0x20).bigEndian, .relaxed)
        }
        let taken = try run.take([.accessed, .dirty], in: run.pages(0, 3))
        #expect(hasRecorded)
        #expect(taken.dirty.ranges == [run.pages(0)] && taken.accessed.ranges == [run.pages(0)])
        run.memory.beforeExchange = nil
    }
}
