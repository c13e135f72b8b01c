import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

@Suite("A live space refuses")
struct RefusalTests {
    @Test func `what is not of whole pages, whatever the operation`() throws {
        let run = try SpaceRun.plain("whole pages")
        for (first, last) in [(1, 63), (0, 62), (32, 127), (64, 64)] as [(UInt64, UInt64)] {
            let range = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
            #expect(try run.map(range, to: run.device(0)) == .invalidRange(range))
            #expect(try run.add(range, .anonymous) == .invalidRange(range))
            var pins: [Pin] = []
            let refusals = try [
                run.refusal { () throws(SpaceError<MemoryMisuse>) in try run.space.unmap(range, in: run.memory) },
                run.refusal { () throws(SpaceError<MemoryMisuse>) in
                    try run.space.protect(range, run.attributes(.read).rights, in: run.memory)
                },
                run.refusal { () throws(SpaceError<MemoryMisuse>) in
                    try run.space.pin(range, for: .read, in: run.memory, into: &pins)
                },
            ]
            #expect(refusals.allSatisfy { $0 == .invalidRange(range) })
        }
        #expect(try run.usedFrames() == 1)
    }

    @Test func `memory that is misaligned, ends beyond all addresses, or does not fit into an entry`() throws {
        let run = try SpaceRun.plain("memory")
        let range = run.pages(0, 1)
        for physical in [places(run) + 1, places(run) + 32, 0 &- 64] {
            let address = PhysicalAddress(physical)
            #expect(try run.map(range, to: address) == .invalidRange(range))
            #expect(try run.add(range, .device(start: address)) == .invalidRange(range))
        }
        // Entries hold addresses below 2^30; the second page is the one that does not fit.
        for physical in [1 << 30, 1 << 40, 1 << 30 - 64] as [UInt64] {
            let address = PhysicalAddress(physical)
            #expect(isInexpressible(try run.map(range, to: address)))
            #expect(isInexpressible(try run.add(range, .device(start: address))))
        }
        #expect(try run.map(range, to: PhysicalAddress(1 << 30 - 128)) == nil)
        #expect(try run.add(range, .device(start: PhysicalAddress(1 << 30 - 128))) == nil)
        try run.space.tearDown(in: run.memory)
    }

    private func places(_ run: SpaceRun<SmallFormat<UInt64>>) -> UInt64 { run.places.devices }

    private func isInexpressible(_ refusal: Refusal?) -> Bool {
        if case .notExpressible = refusal { true } else { false }
    }

    @Test func `memory with an address bit that entries use for something else, wherever in the range`() throws {
        let bit: UInt64 = 1 << 40
        let run = try SpaceRun(X86_64(encryptionMask: bit), "x86-64", "encryption")
        for (first, count) in [
            (bit, 1), (bit - 4096, 2), (2 * bit - 4096, 1), (2 * bit - 4096, 2), (2 * bit - 8192, 3),
        ] {
            let range = run.pages(0, UInt64(count - 1))
            let address = PhysicalAddress(first)
            #expect(isInexpressible(try run.map(range, to: address)), "\(count) pages at \(address)")
            #expect(isInexpressible(try run.add(range, .device(start: address))), "\(count) pages at \(address)")
        }
        for first in [bit - 8192, 2 * bit, 3 * bit - 8192] where first & bit == 0 {
            #expect(try run.map(run.pages(0, 1), to: PhysicalAddress(first)) == nil)
            #expect(try run.physical(run.address(1))?.rawValue == first + 4096)
            try run.space.unmap(run.pages(0, 1), in: run.memory)
        }
    }

    @Test func `attributes that the format does not have, and protects nothing then`() throws {
        let run = try SpaceRun(X86_64(), "x86-64", "attributes")
        let range = run.pages(0, 3)
        #expect(try run.map(range, to: run.device(0)) == nil)
        for rights in [[], [.userWrite], [.supervisorExecute]] as [Rights] {
            let attributes = EntryAttributes(rights: rights)
            let refusals = try [
                run.refusal { () throws(SpaceError<MemoryMisuse>) in
                    try run.space.map(run.pages(8), to: run.device(0), attributes, in: run.memory)
                },
                run.refusal { () throws(SpaceError<MemoryMisuse>) in
                    try run.space.add(Region(run.pages(8), .anonymous, attributes), in: run.memory)
                },
                run.refusal { () throws(SpaceError<MemoryMisuse>) in
                    try run.space.protect(range, rights, in: run.memory)
                },
            ]
            #expect(refusals.allSatisfy(isInexpressible), "\(rights)")
        }
        guard case .mapped(let mapping) = try run.translate(0) else { throw run.failure("nothing is mapped") }
        #expect(mapping.rights == run.attributes([.read, .write]).rights)
    }

    @Test func `a region of a device that is frames, even in part`() throws {
        let run = try SpaceRun.plain("frames")
        let first = run.layout.map.address(of: run.layout.map.first)
        let last = run.layout.map.frameCount - 1
        let end = run.layout.map.address(of: Frame(run.layout.map.first.number + last))
        let range = run.pages(0, 1)
        for start in [first.rawValue - 64, first.rawValue, end.rawValue] {
            #expect(try run.add(range, .device(start: PhysicalAddress(start))) == .invalidRange(range))
        }
        for start in [first.rawValue - 128, end.rawValue + 64] {
            #expect(try run.add(range, .device(start: PhysicalAddress(start))) == nil)
            try run.space.unmap(range, in: run.memory)
        }
    }

    @Test func `to map what is mapped, with its first page, and maps nothing before it`() throws {
        let run = try SpaceRun.plain("mapped")
        // Behind a large leaf and a table, in the middle of a leaf, at its end.
        try run.map(run.pages(16, 31), to: run.device(0))
        try run.map(run.pages(45), to: run.device(0))
        let used = try run.usedFrames()
        let head = try #require(try run.references.allocator.allocate(FrameOrder(6), in: run.memory))
        let start = run.layout.map.address(of: head)
        let cases: [(first: UInt64, last: UInt64, mapped: UInt64)] = [
            (0, 63, 16), (20, 21, 20), (31, 40, 31), (32, 63, 45), (44, 45, 45), (45, 60, 45), (15, 16, 16),
        ]
        for (first, last, mapped) in cases {
            for physical in [run.device(first), start] {
                let refusal = try run.map(run.pages(first, last), to: physical)
                #expect(refusal == .alreadyMapped(run.address(mapped)), "\(first) ... \(last)")
            }
            #expect(
                try run.physical(run.address(mapped - 1))
                    == (mapped > 16 && mapped < 32 ? run.device(mapped - 17) : nil))
        }
        #expect(try run.referenceCount(head) == 1)
        try run.references.drop(on: head, in: run.memory)
        try run.space.unmap(run.pages(0, 1023), in: run.memory)
        #expect(try run.usedFrames() <= used)
        try run.space.tearDown(in: run.memory)
        #expect(try run.usedFrames() == 0)
    }

    @Test func `an access that a mapping forbids, where no region is`() throws {
        let run = try SpaceRun.plain("no region")
        try run.mapNew(run.pages(0), .read)
        #expect(try run.fault(run.address(0), for: .read) == nil)
        #expect(try run.fault(run.address(0), for: .write) == .accessDenied(run.address(0)))
        #expect(try run.fault(run.address(1), for: .read) == .notMapped(run.address(1)))
        #expect(try run.fault(VirtualAddress(.max), for: .read) == .notMapped(VirtualAddress(.max)))
        var pins: [Pin] = []
        let refusal = try run.refusal { () throws(SpaceError<MemoryMisuse>) in
            try run.space.pin(run.pages(0), for: .write, in: run.memory, into: &pins)
        }
        #expect(refusal == .accessDenied(run.address(0)))
    }

    @Test func `an access that a region forbids, also where the page is there`() throws {
        let run = try SpaceRun.plain("region")
        #expect(try run.add(run.pages(0, 3), .anonymous, .read) == nil)
        #expect(try run.fault(run.address(2), for: .write) == .accessDenied(run.address(2)))
        #expect(try run.usedFrames() == 1, "no page was made")
        #expect(try run.fault(run.address(2), for: .read) == nil)
        #expect(try run.fault(run.address(2), for: .write) == .accessDenied(run.address(2)))
        #expect(try run.add(run.pages(3, 9), .anonymous) == .alreadyMapped(run.address(3)))
        #expect(try run.add(run.pages(0, 9), .anonymous) == .alreadyMapped(run.address(0)))
        // The rights of the region change with those of its pages.
        try run.space.protect(run.pages(0, 3), run.attributes([.read, .write]).rights, in: run.memory)
        #expect(try run.fault(run.address(2), for: .write) == nil)
        #expect(try run.fault(run.address(0), for: .write) == nil)
    }

    @Test func `a range that no tree translates all of`() throws {
        let run = try SpaceRun(X86_64(), "x86-64", "halves")
        let half: UInt64 = 1 << 47
        let ranges = [
            VirtualRange(first: VirtualAddress(half - 4096), last: VirtualAddress(half + 4095)),
            VirtualRange(first: VirtualAddress(half), last: VirtualAddress(half + 4095)),
            VirtualRange(first: VirtualAddress(0 &- half - 4096), last: VirtualAddress(0 &- half + 4095)),
            VirtualRange(first: VirtualAddress(0), last: VirtualAddress(.max)),
        ]
        for range in ranges {
            #expect(try run.map(range, to: PhysicalAddress(0x10_0000_0000)) == .invalidRange(range))
            let refusal = try run.refusal { () throws(SpaceError<MemoryMisuse>) in
                try run.space.unmap(range, in: run.memory)
            }
            #expect(refusal == .invalidRange(range))
        }
    }
}
