import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

@Suite("Pins")
struct PinTests {
    private typealias Run = SpaceRun<SmallFormat<UInt64>>

    private func pinFast(
        _ run: Run, _ range: VirtualRange, for access: PageAccess = .read
    ) throws -> (pins: [Pin], rest: VirtualAddress?) {
        var pins: [Pin] = []
        let rest = try run.memory.withInterruptsBlocked { (section) throws(MemoryMisuse) in
            try run.space.pinFast(range, for: access, in: section, into: &pins)
        }
        return (pins, rest)
    }

    private func pin(_ run: Run, _ range: VirtualRange, for access: PageAccess = .read) throws -> (
        pins: [Pin], Refusal?
    ) {
        var pins: [Pin] = []
        let refusal = try run.refusal { () throws(SpaceError<MemoryMisuse>) in
            try run.space.pin(range, for: access, in: run.memory, into: &pins)
        }
        return (pins, refusal)
    }

    private func unpin(_ run: Run, _ pins: [Pin]) throws {
        for pin in pins { try run.space.unpin(pin, in: run.memory) }
    }

    /// Looks whether everything that was taken came back.
    private func tearDown(_ run: Run) throws {
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
        #expect(run.memory.objects.count == 1)
    }

    @Test func `are one for each leaf, and counted by the page`() throws {
        let run = try Run.plain("counts")
        // A large leaf, pages of a large block, and single frames.
        let large = try run.mapNew(run.pages(4, 7), order: 2)
        let block = try run.mapNew(run.pages(9, 12), order: 2)
        let single = try run.mapNew(run.pages(8))
        let (pins, rest) = try pinFast(run, run.pages(5, 12), for: .write)
        #expect(rest == nil)
        #expect(pins.map(\.pages) == [3, 1, 1, 1, 1, 1])
        #expect(pins.map(\.head) == [large, single] + [Frame](repeating: block, count: 4))
        #expect(pins.first?.range.first.rawValue == run.layout.map.address(of: large).rawValue + 64)
        #expect(try run.referenceCount(large) == 4 + 3)
        #expect(try run.memory.load(run.layout.map.descriptor(of: large).pins, .relaxed) == 3)
        #expect(try run.referenceCount(block) == 4 + 4)
        #expect(try run.referenceCount(single) == 1 + FrameReferences.bias)
        try unpin(run, pins)
        #expect(try run.referenceCount(large) == 4)
        #expect(try run.referenceCount(single) == 1)
        #expect(try !run.references.mayBePinned(large, in: run.memory))
        try tearDown(run)
    }

    @Test func `keep a page that is unmapped, and the last of them frees it`() throws {
        let run = try Run.plain("kept")
        let head = try run.mapNew(run.pages(4, 7), order: 2)
        let page = run.layout.map.address(of: Frame(head.number + 2))
        try run.memory.store(0x1234, to: Word<UInt64>(page), .relaxed)
        let (pins, _) = try pinFast(run, run.pages(6))
        let (again, _) = try pin(run, run.pages(4, 7))
        try run.space.unmap(run.pages(0, 15), in: run.memory)
        #expect(pins.map(\.range.first) == [page])
        #expect(try run.memory.load(Word<UInt64>(page), .relaxed) == 0x1234)
        try unpin(run, again)
        #expect(try run.referenceCount(head) == 1)
        #expect(try run.memory.load(Word<UInt64>(page), .relaxed) == 0x1234)
        try unpin(run, pins)
        #expect(!run.memory.isAlive(page))
        try tearDown(run)
    }

    @Test func `outlive the space`() throws {
        let run = try Run.plain("outlive")
        try run.mapNew(run.pages(0))
        let (pins, _) = try pinFast(run, run.pages(0), for: .write)
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 1)
        try unpin(run, pins)
        #expect(try run.usedFrames() == 0)
    }

    @Test func `without a lock stop at the first page that cannot be pinned, and keep those before it`() throws {
        let run = try Run.plain("prefixes")
        try run.mapNew(run.pages(0, 3), order: 2)
        try run.mapNew(run.pages(4))
        try run.mapNew(run.pages(5), .read)
        try run.map(run.pages(8, 11), to: run.device(0))
        try run.mapNew(run.pages(7))
        try run.mapNew(run.pages(15))
        let cases: [(first: UInt64, last: UInt64, access: PageAccess, rest: UInt64?, pinned: UInt32)] = [
            (0, 5, .read, nil, 6), (0, 5, .write, 5, 5), (0, 15, .read, 6, 6), (6, 7, .read, 6, 0),
            (7, 15, .read, 8, 1), (8, 8, .read, 8, 0), (9, 11, .read, 9, 0), (5, 5, .write, 5, 0),
            // The space has 16 pages: what reaches further is left to the slow path.
            (15, 16, .read, 15, 0), (16, 16, .read, 16, 0), (15, 15, .write, nil, 1),
        ]
        for (number, one) in cases.enumerated() {
            let (pins, rest) = try pinFast(run, run.pages(one.first, one.last), for: one.access)
            #expect(rest == one.rest.map(run.address), "case \(number)")
            #expect(pins.reduce(0) { $0 + $1.pages } == one.pinned, "case \(number)")
            try unpin(run, pins)
        }
        #expect(run.memory.events[.retreat] == cases.count { $0.rest != nil })
        try tearDown(run)
    }

    @Test func `with the lock are of all pages or of none`() throws {
        let run = try Run.plain("all or nothing")
        let block = try run.mapNew(run.pages(0, 3), order: 2)
        #expect(try run.add(run.pages(4, 6), .anonymous) == nil)
        #expect(try run.add(run.pages(8, 9), .anonymous, .read) == nil)
        #expect(try run.add(run.pages(12, 13), .device(start: run.device(0))) == nil)
        try run.map(run.pages(10, 11), to: run.device(0))
        let used = try run.usedFrames()
        let cases: [(first: UInt64, last: UInt64, access: PageAccess, refusal: Refusal)] = [
            (0, 7, .read, .notMapped(run.address(7))), (3, 17, .read, .notMapped(run.address(7))),
            (8, 8, .write, .accessDenied(run.address(8))), (8, 11, .read, .notPinnable(run.address(10))),
            (12, 13, .read, .notPinnable(run.address(12))), (16, 16, .read, .notMapped(run.address(16))),
            (11, 11, .write, .notPinnable(run.address(11))),
        ]
        for (number, one) in cases.enumerated() {
            let (pins, refusal) = try pin(run, run.pages(one.first, one.last), for: one.access)
            #expect(refusal == one.refusal && pins.isEmpty, "case \(number)")
            #expect(try run.referenceCount(block) == 4, "case \(number)")
        }
        // Pages that were made on the way stay: 4, 5, 6, 8 and 9, in as many frames, and a table for them.
        #expect(try run.usedFrames() >= used + 5)
        let (pins, refusal) = try pin(run, run.pages(0, 6), for: .write)
        #expect(refusal == nil)
        #expect(pins.map(\.pages) == [4, 1, 1, 1])
        try unpin(run, pins)
        try tearDown(run)
    }

    @Test func `with the lock give back what was pinned when memory runs out`() throws {
        let run = try Run.plain("out of memory")
        let single = try run.mapNew(run.pages(0))
        #expect(try run.add(run.pages(1, 3), .anonymous) == nil)
        for number in 0..<3 {
            run.memory.refuse([.frame], number..<number + 1)
            let (pins, refusal) = try pin(run, run.pages(0, 3))
            #expect(refusal == .outOfMemory && pins.isEmpty)
            #expect(try run.referenceCount(single) == 1)
            try run.space.unmap(run.pages(1, 3), in: run.memory)
            #expect(try run.add(run.pages(1, 3), .anonymous) == nil)
        }
        run.memory.refuse([])
        try tearDown(run)
    }

    @Test func `follow leaves from table to table, up to the end of the space`() throws {
        let run = try SpaceRun(X86_64(), "x86-64", "upper half")
        let top = VirtualRange(first: VirtualAddress(0 &- 514 * 4096), last: VirtualAddress(.max))
        let head = try #require(try run.references.allocator.allocate(FrameOrder(10), in: run.memory))
        // Two pages of one table and all of the next, or a large leaf for that.
        for (largest, count) in [(12, 514), (63, 3)] {
            let physical = PhysicalAddress(run.layout.map.address(of: head).rawValue + (largest == 12 ? 0 : 510 * 4096))
            let refusal = try run.map(top, to: physical, atMost: PageSize(log2Bytes: largest))
            #expect(refusal == nil)
            var pins: [Pin] = []
            let rest = try run.memory.withInterruptsBlocked { (section) throws(MemoryMisuse) in
                try run.space.pinFast(top, for: .write, in: section, into: &pins)
            }
            #expect(rest == nil)
            #expect(pins.count == count)
            #expect(pins.reduce(0) { $0 + $1.pages } == 514)
            #expect(pins.last?.range.last.rawValue == physical.rawValue + 514 * 4096 - 1)
            #expect(try run.referenceCount(head) == 1 + 2 * 514)
            for pin in pins { try run.space.unpin(pin, in: run.memory) }
            try run.space.unmap(top, in: run.memory)
            #expect(try run.referenceCount(head) == 1)
        }
        try run.references.drop(on: head, in: run.memory)
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }
}
