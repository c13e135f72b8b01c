import PageTables
import TableMemory
import Testing

@testable import MemoryImages

@Suite struct `Memory in segments` {
    @Test(arguments: 0..<200)
    func `Extents are resolved as if painted one over the other, the first on top`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let extents = (0..<Int.random(in: 1...30, using: &generator)).map { number in
            let first = UInt64.random(in: 0..<200, using: &generator)
            let last = min(199, first + UInt64.random(in: 0..<60, using: &generator))
            return Extent(first: first, last: last, source: UInt64(number) * 1000)
        }
        var painted = [UInt64?](repeating: nil, count: 200)
        for extent in extents.reversed() {
            for address in extent.first...extent.last { painted[Int(address)] = extent.source + address - extent.first }
        }
        let (resolved, overlapped) = Extent.disjoint(extents)
        var result = [UInt64?](repeating: nil, count: 200)
        for extent in resolved {
            for address in extent.first...extent.last {
                #expect(result[Int(address)] == nil, "seed \(seed)")
                result[Int(address)] = extent.source + address - extent.first
            }
        }
        #expect(result == painted, "seed \(seed)")
        #expect(zip(resolved, resolved.dropFirst()).allSatisfy { $0.last < $1.first && !$0.continues(in: $1) })
        #expect(overlapped == (extents.reduce(0) { $0 + $1.last - $1.first + 1 } > painted.count { $0 != nil }))
        #expect(resolved.count <= 2 * extents.count)
    }

    @Test func `Extents at the top of the address space are resolved`() {
        let (resolved, overlapped) = Extent.disjoint([
            Extent(first: .max - 3, last: .max, source: 100), Extent(first: 0, last: .max, source: 0),
        ])
        #expect(overlapped)
        #expect(
            resolved == [
                Extent(first: 0, last: .max - 4, source: 0), Extent(first: .max - 3, last: .max, source: 100),
            ])
    }

    @Test(arguments: 0..<100)
    func `Loads at random addresses give the bytes of the file, or the first address that is absent`(seed: UInt64)
        throws
    {
        var generator = SeededGenerator(seed: seed)
        let bytes = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let file = try mappedFile(bytes)
        // Clusters, neighbours and far outliers: buckets with none, one and many segments.
        var expected: [UInt64: UInt8] = [:]
        var extents: [Extent] = []
        var next = UInt64.random(in: 0..<10_000, using: &generator)
        for _ in 0..<Int.random(in: 1...60, using: &generator) {
            let count = UInt64.random(in: 1...40, using: &generator)
            let source = UInt64.random(in: 0..<UInt64(4096) - count, using: &generator)
            extents.append(Extent(first: next, last: next + (count - 1), source: source))
            for offset in 0..<count { expected[next + offset] = bytes[Int(source + offset)] }
            next += count
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4: next += 0
            case 4..<9: next += UInt64.random(in: 1..<50, using: &generator)
            default: next += UInt64.random(in: 1 << 20..<1 << 58, using: &generator)
            }
        }
        let memory = SegmentedMemory(file, extents)
        for _ in 0..<2000 {
            let near = extents.randomElement(using: &generator)?.first ?? 0
            let address = near &+ UInt64.random(in: 0..<64, using: &generator) &- 16
            let word = (0..<8).map { expected[address &+ UInt64($0)] }
            let physical = PhysicalAddress(address)
            if let gap = word.firstIndex(of: nil) {
                let failure = ImageLoadFailure.absent(PhysicalAddress(address &+ UInt64(gap)))
                #expect(throws: failure, "seed \(seed)") { try memory.load64(physical, .little) }
            } else {
                let value = word.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1 ?? 0) }
                #expect(try memory.load64(physical, .little) == value, "seed \(seed)")
                #expect(try memory.load64(physical, .big) == value.byteSwapped, "seed \(seed)")
                #expect(try memory.load32(physical, .little) == UInt32(truncatingIfNeeded: value), "seed \(seed)")
                let table = try memory.table(at: physical, bytes: 8)
                #expect(try memory.load64(table, index: 0, .little) == value, "seed \(seed)")
                #expect(
                    try memory.load32(table, index: 1, .little) == UInt32(truncatingIfNeeded: value >> 32),
                    "seed \(seed)")
            }
        }
        #expect(memory.ranges.reduce(0) { $0 + Int($1.byteCount ?? 0) } == expected.count)
    }

    @Test func `A table that ends behind its segment is found, and its absent entries fail`() throws {
        let file = try mappedFile([UInt8](repeating: 5, count: 24))
        let memory = SegmentedMemory(file, [Extent(first: 0x1000, last: 0x1017, source: 0)])
        let table = try memory.table(at: PhysicalAddress(0x1000), bytes: 4096)
        #expect(try memory.load64(table, index: 2, .little) == 0x0505_0505_0505_0505)
        #expect(throws: ImageLoadFailure.absent(PhysicalAddress(0x1018))) {
            try memory.load64(table, index: 3, .little)
        }
        #expect(throws: ImageLoadFailure.absent(PhysicalAddress(0x1018))) {
            try memory.table(at: PhysicalAddress(0x1018), bytes: 8)
        }
        #expect(memory.bytes(at: PhysicalAddress(0x1010), count: .max).count == 8)
    }

    @Test func `Memory outlives the image it came from`() throws {
        var memory: SegmentedMemory?
        do {
            guard case .segments(let found) = try Fixture.capture("s390x").contents else { return }
            memory = found
        }
        #expect(try memory?.load64(PhysicalAddress(0x129_0000), .big) != nil)
    }
}
