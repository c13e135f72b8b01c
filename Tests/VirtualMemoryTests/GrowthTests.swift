import PageTableWalk
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

@Suite("A space that grows")
struct GrowthTests {
    private typealias Run = SpaceRun<S390x>

    private func grow(_ run: Run, _ range: VirtualRange) throws -> Refusal? {
        try run.refusal { () throws(SpaceError<MemoryMisuse>) in
            try run.underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                try run.space.grow(toCover: range, lock: lock)
            }
        }
    }

    private func root(_ run: Run) throws -> SpaceRoot {
        SpaceRoot(word: try run.memory.load(run.space.words.root, .relaxed))
    }

    private func page(_ address: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(address), last: VirtualAddress(address + 4095))
    }

    @Test func `keeps what it translates, with each level that it gets`() throws {
        let run = try Run(S390x(), "s390x", "growth")
        try run.mapNew(run.pages(1))
        try run.map(page(1 << 31 - 4096), to: PhysicalAddress(0x100_0000_0000))
        let old = (try run.physical(run.address(1)), try run.physical(VirtualAddress(1 << 31 - 1)))
        let limits: [(address: UInt64, topLevel: Int)] = [(1 << 31, 2), (1 << 42, 3), (1 << 53, 4)]
        for (address, topLevel) in limits {
            let before = try root(run)
            #expect(before.topLevel == Level(topLevel - 1))
            #expect(try grow(run, page(address - 4096)) == nil)
            #expect(try root(run) == before, "what is covered needs no growth")
            // A snapshot from before goes on to translate what it did.
            let snapshot = run.format.addressSpace(root: before.table, topLevel: before.topLevel)
            #expect(try grow(run, page(address)) == nil)
            let after = try root(run)
            #expect(after.topLevel == Level(topLevel))
            #expect(run.memory.isAlive(before.table), "walkers may still be in the old top table")
            #expect(try run.physical(run.address(1)) == old.0)
            #expect(try run.physical(VirtualAddress(1 << 31 - 1)) == old.1)
            #expect(try run.physical(VirtualAddress(address)) == nil)
            try run.memory.withRCUReader { (section) throws(MemoryMisuse) in
                guard case .mapped(let mapping) = try snapshot.translate(run.address(1), in: section) else {
                    Issue.record("the snapshot has lost a page")
                    return
                }
                #expect(mapping.physical == old.0)
            }
        }
        #expect(run.memory.events[.growth] == 3)
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }

    @Test func `grows several levels at once, and maps its very last page`() throws {
        let run = try Run(S390x(), "s390x", "top")
        let top = VirtualRange(first: VirtualAddress(0 &- 4096), last: VirtualAddress(.max))
        #expect(try run.physical(top.last) == nil)
        let frame = try run.mapNew(top)
        #expect(try root(run).topLevel == Level(4))
        #expect(try run.physical(top.last)?.rawValue == run.layout.map.address(of: frame).rawValue + 4095)
        let pin = try run.memory.withInterruptsBlocked { (section) throws(MemoryMisuse) in
            try run.space.pinFast(top.first, for: .write, in: section)
        }
        #expect(pin?.range == run.layout.map.range(of: frame, .single))
        if let pin { try run.space.unpin(pin, in: run.memory) }
        try run.space.unmap(top, in: run.memory)
        #expect(try run.physical(top.first) == nil)
        #expect(try root(run).topLevel == Level(4), "spaces only grow")
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }

    @Test func `publishes nothing without memory for the new top`() throws {
        let run = try Run(S390x(), "s390x", "failure")
        try run.mapNew(run.pages(0))
        let used = try run.usedFrames()
        let before = try root(run)
        run.memory.refuse([.table], 0..<1)
        #expect(try grow(run, page(1 << 60)) == .outOfMemory)
        #expect(try root(run) == before)
        #expect(try run.usedFrames() == used)
        // Each level is published when it is there.
        run.memory.refuse([.table], 1..<2)
        #expect(try grow(run, page(1 << 60)) == .outOfMemory)
        #expect(try root(run).topLevel == Level(2))
        #expect(try run.usedFrames() == used + 4)
        #expect(try run.physical(run.address(0)) != nil)
        run.memory.refuse([])
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }

    @Test func `does not become deeper for what no depth covers`() throws {
        let run = try SpaceRun.plain("beyond")
        let range = run.pages(1023, 1024)
        let refusal = try run.refusal { () throws(SpaceError<MemoryMisuse>) in
            try run.underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                try run.space.grow(toCover: range, lock: lock)
            }
        }
        #expect(refusal == .invalidRange(range))
        #expect(try run.map(range, to: run.device(0)) == .invalidRange(range))
        #expect(try run.topLevel() == Level(1))
    }

    @Test("unmaps and protects the part of a range that it translates already")
    func partly() throws {
        let run = try SpaceRun.plain("partly")
        try run.map(run.pages(0, 15), to: run.device(0))
        #expect(try run.add(run.pages(0, 15), .device(start: run.device(0))) == nil)
        // The space has 16 pages.
        try run.space.protect(run.pages(14, 20), run.attributes(.read).rights, in: run.memory)
        #expect(try run.topLevel() == Level(1))
        for page in 0..<16 as Range<UInt64> {
            guard case .mapped(let mapping) = try run.translate(run.address(page).rawValue) else {
                throw run.failure("page \(page) is not mapped")
            }
            #expect(mapping.rights.canWrite == (page < 14), "page \(page)")
        }
        try run.space.unmap(run.pages(15, 40), in: run.memory)
        #expect(try run.physical(run.address(15)) == nil)
        #expect(try run.fault(run.address(15), for: .read) == .notMapped(run.address(15)))
        #expect(try run.physical(run.address(14)) != nil)
        // None of it is translated yet.
        try run.space.unmap(run.pages(16, 1023), in: run.memory)
        try run.space.protect(run.pages(16, 1023), run.attributes(.read).rights, in: run.memory)
        try run.space.unmap(run.pages(0, 1023), in: run.memory)
        #expect(try run.physical(run.address(0)) == nil)
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }
}
