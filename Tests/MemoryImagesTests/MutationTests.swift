import Foundation
import PageTables
import TableMemory
import Testing

@testable import MemoryImages

@Suite struct `Mutated images` {
    static let inputs = [
        "arm-small.elf", "s390x-small.elf", "x86_64-excluded.elf", "s390x-small.kdump", "arm-small-flattened.kdump",
        "aarch64-small-flattened.kdump", "x86_64-lzo.kdump", "x86_64-snappy.kdump", "x86_64-zstd.kdump",
        "x86_64-zlib-flattened.kdump", "arm-small.elf.zst",
    ]

    /// More with `PAGEWALK_MUTATIONS` in the environment.
    static let mutationsPerInput =
        ProcessInfo.processInfo.environment["PAGEWALK_MUTATIONS"].flatMap { UInt64($0) } ?? 60

    /// What a reader does with an image: nothing of it may trap or run away.
    private func read(_ image: MemoryImage) {
        _ = image.warnings
        let ranges = image.physicalRanges
        for range in ranges.prefix(20) + ranges.suffix(20) {
            _ = image.bytes(at: range.first, count: 256)
            _ = image.bytes(at: PhysicalAddress(range.last.rawValue &- 3), count: 64)
            switch image.contents {
            case .segments(let memory): load(memory, range)
            case .kdump(let memory): load(memory, range)
            }
        }
    }

    private func load(_ memory: some ImageMemory, _ range: PhysicalRange) {
        _ = try? memory.load64(range.first, .big)
        _ = try? memory.load32(range.last, .little)
        guard let table = try? memory.table(at: range.first, bytes: 16384) else { return }
        for index in [0, 511, 2047] { _ = try? memory.load64(table, index: index, .big) }
    }

    @Test(arguments: inputs)
    func `Nothing that happens to a file makes its reader fail otherwise than by an error`(name: String) throws {
        let original = name.hasSuffix(".zst") ? try Fixture.storedBytes(name) : try Fixture.dumpBytes(name)
        for seed in UInt64(0)..<Self.mutationsPerInput {
            var generator = SeededGenerator(seed: seed)
            var bytes = original
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                // Headers are where it hurts.
                let limit = Bool.random(using: &generator) ? min(8192, bytes.count) : bytes.count
                let place = Int.random(in: 0..<limit, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                case 2:
                    for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xff }
                default:
                    for index in place..<min(place + 4, bytes.count) { bytes[index] = 0 }
                }
            }
            if Int.random(in: 0..<4, using: &generator) == 0 {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator))
            }
            if let image = try? openImage(bytes) { read(image) }
        }
    }
}
