import PageTables
import SeededRandom

@testable import VirtualMemory

/// Where in the address spaces of a format something may go wrong: at both ends of each tree, of each depth.
struct Places<Format: WritableFormat>: Sendable {
    let format: Format
    let pageBytes: UInt64
    /// Levels whose entries can be leaves, from the pages up.
    let leafLevels: [Level]
    /// Addresses where a tree of some depth starts, or ends, which may be 0 for both.
    let edges: [UInt64]
    /// Physical addresses from here on are devices.
    let devices: UInt64

    init(_ format: Format) {
        self.format = format
        pageBytes = 1 << UInt64(format.log2FrameBytes)
        leafLevels = (0...format.topLevels.upperBound.rawValue).map { Level($0) }.filter(format.canMapLeaf)
        edges = format.topLevels.flatMapLevels { level in
            format.addressSpace(root: PhysicalAddress(0), topLevel: level).trees
                .flatMap { [$0.range.first.rawValue, $0.range.last.rawValue &+ 1] }
        }
        let largest = leafLevels.last.map { 1 << format.shift($0) } ?? pageBytes
        devices = max(pageBytes < 4096 ? 1 << 24 : 1 << 40, largest)
    }

    func bytes(_ level: Level) -> UInt64 { 1 << format.shift(level) }

    /// A level with leaves, mostly a low one.
    func level(_ random: inout SeededRandom) -> Level {
        let index = random.next() & 1 == 0 ? 0 : Int(random.next() % UInt64(leafLevels.count))
        return leafLevels[index]
    }

    func address(_ random: inout SeededRandom) -> UInt64 {
        let edge = edges.randomElement(using: &random) ?? 0
        let distance = random.next() % (8 * bytes(level(&random)))
        return random.next() & 1 == 0 ? edge &+ distance : edge &- distance
    }

    /// A range of whole pages, mostly: at an edge of the format or of what the model has, as long as a few leaves of some
    /// level, and sometimes with ragged ends.
    func range(_ random: inout SeededRandom, near model: SpaceModel<Format>) -> VirtualRange {
        while true {
            let unit = bytes(level(&random))
            let size = unit * (1 + random.next() % (unit == pageBytes ? 12 : 3))
            var base = edges.randomElement(using: &random) ?? 0
            let intervals =
                (model.mappings.intervals.map { ($0.first, $0.last) })
                + (model.regions.intervals.map { ($0.first, $0.last) })
            if random.next() % 5 > 1, let (first, last) = intervals.randomElement(using: &random) {
                let inside = (first + random.next() % (last - first + 1)) & ~(pageBytes - 1)
                base = [first, last &+ 1, inside].randomElement(using: &random) ?? first
                if random.next() & 1 == 0 { base &= ~(unit - 1) }
            }
            base = random.next() & 1 == 0 ? base &+ unit * (random.next() % 3) : base &- unit * (random.next() % 3)
            var first = random.next() & 1 == 0 ? base : base &- size
            var last = first &+ size &- 1
            if random.next() % 3 == 0 {
                first = first &+ pageBytes &* (random.next() % 3)
                last = last &- pageBytes &* (random.next() % 3)
            }
            if random.next() % 40 == 0 { first &+= pageBytes / 2 }
            if random.next() % 40 == 0 { last &-= 1 }
            if first <= last, last - first < 1 << 60 {
                return VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last))
            }
        }
    }
}

extension ClosedRange<Level> {
    fileprivate func flatMapLevels(_ body: (Level) -> [UInt64]) -> [UInt64] {
        (lowerBound.rawValue...upperBound.rawValue).flatMap { body(Level($0)) }
    }
}
