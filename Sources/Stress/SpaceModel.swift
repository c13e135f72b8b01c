import PageTables
import TableMemory

// What should be mapped, as plain intervals. It is changed by whoever changes the space, in the same section of its lock held
// for writing, and read with the lock held for reading or by the only thread there is. So it is exact, and every answer that
// is had under the lock can be compared with it.

/// What somebody mapped.
struct ExplicitMapping: IntervalValue {
    var physical: UInt64
    var isWritable: Bool

    func advanced(by bytes: UInt64) -> ExplicitMapping {
        ExplicitMapping(physical: physical + bytes, isWritable: isWritable)
    }
}

/// What faults are to map.
struct RegionContent: IntervalValue {
    var isDevice: Bool
    var isWritable: Bool

    func advanced(by bytes: UInt64) -> RegionContent { self }
}

/// What should be at an address.
enum Expectation {
    /// This and nothing else.
    case mapped(physical: UInt64, isWritable: Bool)
    /// What a fault has mapped, or nothing yet.
    case region(RegionContent)
    case nothing
}

final class SpaceModel: @unchecked Sendable {
    // Unchecked: guarded by the space's lock, which is a word of the shared memory and unknown to the compiler.

    var mappings = IntervalMap<ExplicitMapping>()
    var regions = IntervalMap<RegionContent>()

    func expectation(_ address: UInt64) -> Expectation {
        if let piece = mappings.piece(at: address) {
            return .mapped(physical: piece.value.physical, isWritable: piece.value.isWritable)
        }
        return regions.piece(at: address).map { .region($0.value) } ?? .nothing
    }

    func hasDeviceRegion(_ first: UInt64, _ last: UInt64) -> Bool {
        regions.pieces(first, last).contains(where: \.value.isDevice)
    }

    func hasDeviceMapping(_ first: UInt64, _ last: UInt64) -> Bool {
        mappings.pieces(first, last).contains { $0.value.physical >= StressArea.deviceBase }
    }

    /// Notes what an attempt to map came to.
    ///
    /// - Returns: What is wrong with the answer.
    func map(_ first: UInt64, _ last: UInt64, _ mapping: ExplicitMapping, _ refusal: Refusal?) -> String? {
        let overlap = mappings.firstOverlap(first, last)
        switch refusal {
        case nil:
            if let overlap { return "mapped although \(hexadecimal(overlap)) was mapped" }
            mappings.insert(first, last, mapping)
        case .alreadyMapped(let address)?:
            let isFaulted =
                address.rawValue >= first && address.rawValue <= last && regions.piece(at: address.rawValue) != nil
                && (overlap.map { address.rawValue < $0 } ?? true)
            if address.rawValue != overlap && !isFaulted {
                return "refused for \(address), where \(overlap.map { hexadecimal($0) } ?? "nothing") was mapped first"
            }
        case .outOfMemory?: break
        case let other?: return "refused: \(other)"
        }
        return nil
    }

    func unmap(_ first: UInt64, _ last: UInt64, _ refusal: Refusal?) -> String? {
        switch refusal {
        case nil:
            mappings.remove(first, last)
            regions.remove(first, last)
        case .outOfMemory?: break
        case let other?: return "refused: \(other)"
        }
        return nil
    }

    func protect(_ first: UInt64, _ last: UInt64, isWritable: Bool, _ refusal: Refusal?) -> String? {
        switch refusal {
        case nil:
            mappings.change(first, last) { $0.isWritable = isWritable }
            regions.change(first, last) { $0.isWritable = isWritable }
        case .outOfMemory?: break
        case let other?: return "refused: \(other)"
        }
        return nil
    }

    func add(_ first: UInt64, _ last: UInt64, _ content: RegionContent, _ refusal: Refusal?) -> String? {
        let overlap = regions.firstOverlap(first, last)
        switch refusal {
        case nil:
            if let overlap { return "added although \(hexadecimal(overlap)) has a region" }
            regions.insert(first, last, content)
        case .alreadyMapped(let address)?:
            if address.rawValue != overlap { return "refused for \(address)" }
        case .outOfMemory?: break
        case let other?: return "refused: \(other)"
        }
        return nil
    }
}
