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
    enum Kind {
        case anonymous
        case device
        /// Which page of the file it is, the address says.
        case file
    }

    var kind: Kind
    var isWritable: Bool

    var isDevice: Bool { kind == .device }

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

    /// Notes what an attempt to move to other addresses came to. The ranges do not overlap.
    func move(_ first: UInt64, _ last: UInt64, to start: UInt64, _ refusal: Refusal?) -> String? {
        let end = start + (last - first)
        let overlap = regions.firstOverlap(start, end) ?? mappings.firstOverlap(start, end)
        switch refusal {
        case nil:
            if let overlap { return "moved although \(hexadecimal(overlap)) was taken" }
            mappings.move(first, last, to: start)
            regions.move(first, last, to: start)
        case .alreadyMapped(let address)?:
            if address.rawValue != overlap {
                return "refused for \(address), and \(overlap.map { hexadecimal($0) } ?? "nothing") is taken first"
            }
        case .outOfMemory?: break
        case let other?: return "refused: \(other)"
        }
        return nil
    }

    /// Notes that pages from `first` to `last` have become a large leaf.
    ///
    /// - Parameter before: Where each page was.
    /// - Returns: What is wrong with it.
    func collapse(
        _ first: UInt64, _ last: UInt64, to physical: UInt64, isInMemory: Bool
    ) -> String? {
        for gap in mappings.gaps(first, last) where gap.first <= gap.last {
            if let hole = regions.gaps(gap.first, gap.last).first(where: { $0.first <= $0.last }) {
                return "collapsed although nothing should be at \(hexadecimal(hole.first))"
            }
        }
        for piece in mappings.pieces(first, last) {
            let new = physical + (piece.first - first)
            if new == piece.value.physical { continue }
            if !isInMemory || piece.value.physical >= StressArea.deviceBase {
                return "the device at \(hexadecimal(piece.first)) went to \(hexadecimal(new))"
            }
            mappings.change(piece.first, piece.last) { $0.physical = new }
        }
        return nil
    }
}
