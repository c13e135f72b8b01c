import PageTableWalk
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// Answers each large leaf in a way of its own, with the space's lock held for reading.
private struct Answerer: PageWalkVisitor {
    typealias Format = SmallFormat<UInt64>

    /// Called with a large leaf, and how often the walk has met a leaf at that address.
    let answer: (Entry, EntryPosition, VirtualAddress, Int) -> WalkAction
    private(set) var leaves: [(first: UInt64, level: Int)] = []
    private(set) var holes: [VirtualRange] = []
    private var meetings: [VirtualAddress: Int] = [:]

    init(_ answer: @escaping (Entry, EntryPosition, VirtualAddress, Int) -> WalkAction) { self.answer = answer }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        leaves.append((first.rawValue / 64, visit.level.rawValue))
        if visit.level == .leafTable { return .proceed }
        meetings[first, default: 0] += 1
        return answer(entry, visit.position(index), first, meetings[first] ?? 0)
    }

    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction {
        holes.append(VirtualRange(first: first, last: last))
        return .proceed
    }
}

@Suite("A walk that splits")
struct SplitTests {
    private typealias Run = SpaceRun<SmallFormat<UInt64>>

    /// Walks with the lock held; the answer may split.
    private func walk(
        _ run: Run, _ range: VirtualRange,
        _ answer:
            @escaping (
                _ split: (Entry, EntryPosition, VirtualAddress) -> Bool, Entry, EntryPosition, VirtualAddress, Int
            ) -> WalkAction
    ) throws -> Answerer {
        try run.memory.withReadLock(run.space.words.lock) { (lock) throws(MemoryMisuse) in
            let view = try run.space.view(in: lock)
            // A visitor is a copyable value, which cannot hold the witness.
            return try withUnsafePointer(to: lock) { (pointer) throws(MemoryMisuse) in
                var answerer = Answerer { entry, position, address, number in
                    let split = { (entry: Entry, position: EntryPosition, address: VirtualAddress) -> Bool in
                        (try? run.space.split(entry, at: position, of: address, lock: pointer.pointee)) ?? false
                    }
                    return answer(split, entry, position, address, number)
                }
                try view.walk(range, in: lock, visitor: &answerer)
                return answerer
            }
        }
    }

    /// Pages of leaves and their levels, to compare.
    private func list(_ leaves: [(first: UInt64, level: Int)]) -> [[Int]] { leaves.map { [Int($0.first), $0.level] } }

    @Test func `goes down into what a leaf became, level by level`() throws {
        let run = try Run.plain("levels")
        let head = try run.mapNew(run.pages(16, 31), order: 4)
        let walked = try walk(run, run.pages(21, 22)) { split, entry, position, address, _ in
            split(entry, position, address) ? .split : .stop
        }
        #expect(list(walked.leaves) == [[21, 2], [21, 1], [21, 0], [22, 0]])
        #expect(run.memory.events[.split] == 2)
        // The others are still as large as they can be.
        let summary = try run.memory.withRCUReader { (section) throws(MemoryMisuse) in
            try run.space.summary(of: run.pages(0, 63), in: section)
        }
        #expect(summary.bytesByLevel == [4 * 64, 12 * 64, 0, 0, 0])
        #expect(try run.referenceCount(head) == 16, "a split changes no references")
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }

    @Test func `looks again at what a device's leaf became, which is nothing`() throws {
        let run = try Run.plain("device")
        #expect(try run.add(run.pages(16, 31), .device(start: run.device(0))) == nil)
        #expect(try run.fault(run.address(20), for: .write) == nil)
        let walked = try walk(run, run.pages(16, 31)) { split, entry, position, address, _ in
            split(entry, position, address) ? .split : .stop
        }
        #expect(list(walked.leaves) == [[16, 2]])
        #expect(walked.holes == [run.pages(16, 31)])
        #expect(try run.fault(run.address(20), for: .write) == nil)
        #expect(try run.physical(run.address(20)) == run.device(4))
    }

    @Test func `makes a table of a device's leaf that says that it was written`() throws {
        let run = try Run.plain("written device")
        #expect(try run.add(run.pages(16, 31), .device(start: run.device(0))) == nil)
        var processor = try VirtualProcessor(run.space, mode: .supervisor, in: run.memory)
        try processor.access(run.address(20), for: .write) { _ throws(MemoryMisuse) in }
        let walked = try walk(run, run.pages(20)) { split, entry, position, address, _ in
            split(entry, position, address) ? .split : .stop
        }
        #expect(list(walked.leaves) == [[20, 2], [20, 1], [20, 0]] && walked.holes.isEmpty)
        let taken = try run.memory.withReadLock(run.space.words.lock) { (lock) throws(MemoryMisuse) in
            let summary = try run.space.summary(of: run.pages(16, 31), in: lock)
            #expect(summary.dirtyBytes == 16 * 64)
            return summary.bytesByLevel
        }
        #expect(taken == [4 * 64, 12 * 64, 0, 0, 0])
        try processor.leave()
    }

    @Test func `meets the leaf again if a fault has put it back`() throws {
        let run = try Run.plain("put back")
        #expect(try run.add(run.pages(16, 31), .device(start: run.device(0))) == nil)
        #expect(try run.fault(run.address(20), for: .write) == nil)
        let walked = try walk(run, run.pages(16, 31)) { split, entry, position, address, number in
            guard number < 3 else { return .proceed }
            #expect(split(entry, position, address))
            // A reader's lock may be held twice as long as no writer waits.
            #expect((try? run.fault(run.address(20), for: .write)) == .some(nil))
            return .split
        }
        #expect(list(walked.leaves) == [[16, 2], [16, 2], [16, 2]])
        #expect(walked.holes.isEmpty)
    }

    @Test func `is told what an entry holds now when it asks again`() throws {
        let run = try Run.plain("again")
        try run.mapNew(run.pages(4, 7), order: 2)
        var entries: [Entry] = []
        let walked = try walk(run, run.pages(0, 15)) { split, entry, position, address, number in
            entries.append(entry)
            if number == 1 { return .again }
            // The value is out of date after this, and a split of it does nothing.
            #expect(split(entry, position, address))
            #expect(!split(entry, position, address))
            return .again
        }
        #expect(entries.count == 2 && entries.first == entries.last)
        #expect(list(walked.leaves) == [[4, 1], [4, 1], [4, 0], [5, 0], [6, 0], [7, 0]])
    }

    @Test func `finds the leaf unchanged where there is no memory to split it`() throws {
        let run = try Run.plain("no memory")
        try run.mapNew(run.pages(16, 31), order: 4)
        let used = try run.usedFrames()
        run.memory.refuse([.table])
        let walked = try walk(run, run.pages(16, 31)) { split, entry, position, address, number in
            #expect(!split(entry, position, address))
            return number == 1 ? .split : .proceed
        }
        #expect(list(walked.leaves) == [[16, 2], [16, 2]])
        #expect(try run.usedFrames() == used)
        #expect(run.memory.events[.split] == nil)
    }

    @Test(
        "keeps what was mapped, if the region says something else of it",
        arguments: [
            "part", "other memory", "other rights", "no device",
        ])
    func otherRegion(_ difference: String) throws {
        let run = try Run.plain("other region")
        try run.map(run.pages(16, 31), to: run.device(0))
        let refusal =
            switch difference {
            case "part": try run.add(run.pages(20), .device(start: run.device(4)))
            case "other memory": try run.add(run.pages(16, 31), .device(start: run.device(64)))
            case "other rights": try run.add(run.pages(16, 31), .device(start: run.device(0)), .read)
            default: try run.add(run.pages(16, 31), .anonymous)
            }
        #expect(refusal == nil)
        let walked = try walk(run, run.pages(20)) { split, entry, position, address, _ in
            split(entry, position, address) ? .split : .stop
        }
        #expect(walked.holes.isEmpty)
        for page in 16...31 as ClosedRange<UInt64> {
            #expect(try run.physical(run.address(page)) == run.device(page - 16), "page \(page)")
        }
    }

    @Test func `of a leaf that is a page already does nothing`() throws {
        let run = try Run.plain("page")
        try run.map(run.pages(1), to: run.device(0))
        var path = TranslationPath()
        _ = try run.memory.withRCUReader { (section) throws(MemoryMisuse) in
            try run.space.view(in: section).translate(run.address(1), in: section, observer: &path)
        }
        let step = try #require(path.steps.last)
        let isSplit = try run.memory.withReadLock(run.space.words.lock) { (lock) throws(MemoryMisuse) in
            try run.space.split(step.entry, at: step.position, of: run.address(1), lock: lock)
        }
        #expect(!isSplit)
        #expect(try run.physical(run.address(1)) == run.device(0))
    }
}
