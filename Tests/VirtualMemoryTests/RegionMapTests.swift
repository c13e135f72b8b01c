import PageTables
import SeededRandom
import Testing

@testable import VirtualMemory

@Suite("Regions")
struct RegionMapTests {
    private static let readable = EntryAttributes(rights: [.supervisorRead])
    private static let writable = EntryAttributes(rights: [.supervisorRead, .supervisorWrite])

    /// Pages `first ... last`, counted from a base.
    private static func pages(_ first: UInt64, _ last: UInt64, from base: UInt64 = 0) -> VirtualRange {
        VirtualRange(
            first: VirtualAddress(base &+ first << 12), last: VirtualAddress(base &+ (last << 12 | 0xfff)))
    }

    private static func device(_ address: UInt64) -> Region.Content { .device(start: PhysicalAddress(address)) }

    @Test(
        "Any inserting, removing and changing is as a list of pages would have it", arguments: [0, 0 &- 0x40000], 0..<6)
    func againstPages(_ base: UInt64, run: Int) throws {
        var random = SeededRandom(for: "regions at \(base), \(run)")
        let replay: Comment = "\(SeededRandom.replay("VirtualMemoryTests"))"
        var map = RegionMap()
        // What each of 64 pages is; the second base makes the last of them the last that there is.
        var model = [ModelRegion?](repeating: nil, count: 64)
        for _ in 0..<250 {
            let bounds = [random.next() % 64, random.next() % 64].sorted()
            let (first, last) = (Int(bounds[0]), Int(chance(&random) ? bounds[1] : min(bounds[0] + 4, 63)))
            let range = Self.pages(UInt64(first), UInt64(last), from: base)
            switch random.next() % 5 {
            case 0:
                let removed = map.remove(range)
                try #require(removed.map(\.range) == runs(model, first...last, base), replay)
                for page in first...last { model[page] = nil }
            case 1:
                map.change(range) { attributes in
                    var changed = attributes
                    changed.memoryTypeIndex ^= 1
                    return changed
                }
                for page in first...last { model[page]?.attributes.memoryTypeIndex ^= 1 }
            default:
                let overlap = (first...last).first { model[$0] != nil }
                try #require(
                    map.firstOverlap(range)
                        == overlap.map { Self.pages(UInt64($0), UInt64($0), from: base).first }, replay)
                if overlap != nil { continue }
                // Few starts, so that regions often continue one another.
                let start = (random.next() % 2) << 20
                let isDevice = chance(&random)
                let attributes = chance(&random) ? Self.readable : Self.writable
                let content = isDevice ? Self.device(start + UInt64(first) << 12) : .anonymous
                map.insert(Region(range, content, attributes))
                for page in first...last {
                    model[page] = ModelRegion(
                        physical: isDevice ? start + UInt64(page) << 12 : nil, attributes: attributes,
                        largestLeaf: PageSize(log2Bytes: 63))
                }
            }
            try #require(map.regions.map(\.range) == runs(model, 0...63, base), replay)
            for page in 0..<64 {
                let range = Self.pages(UInt64(page), UInt64(page), from: base)
                let region = map.region(at: page % 2 == 0 ? range.first : range.last)
                let part = region?.clipped(to: range)
                try #require(
                    part?.content == content(model[page]) && part?.attributes == model[page]?.attributes, replay)
            }
        }
    }

    private func chance(_ random: inout SeededRandom) -> Bool { random.next() & 1 == 0 }

    private func content(_ page: ModelRegion?) -> Region.Content? {
        page.map { $0.physical.map(Self.device) ?? .anonymous }
    }

    /// The ranges of pages that continue one another.
    private func runs(_ model: [ModelRegion?], _ pages: ClosedRange<Int>, _ base: UInt64) -> [VirtualRange] {
        var result: [VirtualRange] = []
        for page in pages where model[page] != nil {
            let range = Self.pages(UInt64(page), UInt64(page), from: base)
            if page > pages.lowerBound, let before = model[page - 1], before.advanced(by: 0x1000) == model[page],
                let last = result.last
            {
                result[result.count - 1] = VirtualRange(first: last.first, last: range.last)
            } else {
                result.append(range)
            }
        }
        return result
    }

    @Test("A part of a device's region is at that part of the device")
    func clipping() {
        var map = RegionMap()
        map.insert(Region(Self.pages(8, 15), Self.device(0x5000_0000), Self.writable))
        #expect(map.remove(Self.pages(10, 11)).map(\.content) == [Self.device(0x5000_2000)])
        #expect(map.regions.map(\.content) == [Self.device(0x5000_0000), Self.device(0x5000_4000)])
        #expect(map.regions.map(\.range) == [Self.pages(8, 9), Self.pages(12, 15)])
        // What is put back joins both.
        map.insert(Region(Self.pages(10, 11), Self.device(0x5000_2000), Self.writable))
        #expect(map.regions == [Region(Self.pages(8, 15), Self.device(0x5000_0000), Self.writable)])
    }

    @Test("Regions that touch are joined only if they go on in every respect")
    func merging() {
        let first = Region(Self.pages(0, 3), Self.device(0x4000), Self.writable)
        let others = [
            Region(Self.pages(4, 7), Self.device(0x9000), Self.writable),
            Region(Self.pages(4, 7), Self.device(0x8000), Self.readable),
            Region(Self.pages(4, 7), Self.device(0x8000), Self.writable, largestLeaf: PageSize(log2Bytes: 12)),
            Region(Self.pages(4, 7), .anonymous, Self.writable),
            Region(Self.pages(5, 7), Self.device(0x9000), Self.writable),
        ]
        for other in others {
            for regions in [[first, other], [other, first]] {
                var map = RegionMap()
                for region in regions { map.insert(region) }
                #expect(map.regions == [first, other])
            }
        }
    }

    @Test("The last page of all is a page like any other")
    func top() {
        var map = RegionMap()
        let top = VirtualRange(first: VirtualAddress(0 &- 0x2000), last: VirtualAddress(.max))
        map.insert(Region(top, .anonymous, Self.writable))
        map.insert(Region(Self.pages(0, 0), .anonymous, Self.writable))
        #expect(map.regions.count == 2, "the end of all addresses is not continued by their start")
        #expect(map.region(at: VirtualAddress(.max)) != nil)
        #expect(map.firstOverlap(.all) == VirtualAddress(0))
        map.change(VirtualRange(first: VirtualAddress(0 &- 0x1000), last: VirtualAddress(.max))) { _ in Self.readable }
        #expect(map.regions.map(\.attributes) == [Self.writable, Self.writable, Self.readable])
        #expect(map.remove(.all).count == 3)
        #expect(map.regions.isEmpty)
    }
}
