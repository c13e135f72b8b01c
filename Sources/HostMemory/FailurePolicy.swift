import TableMemory

/// Which allocations are made to fail.
///
/// Each processor counts its own allocations of the affected kinds from when it was attached, and its number and count
/// decide: what fails does not depend on how threads interleave.
public struct FailurePolicy: Hashable, Sendable {
    /// Which of the allocations of the affected kinds.
    public enum Choice: Hashable, Sendable {
        case never
        /// The nth, the 2nth and so on of each processor; with 1, all of them.
        case every(UInt64)
        /// One in `count` on average, by a number that the seed, the processor and its count determine.
        case random(seed: UInt64, oneIn: UInt64)
    }

    /// Kinds of allocations.
    public struct Kinds: OptionSet, Hashable, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let frames = Kinds(rawValue: 1)
        public static let tables = Kinds(rawValue: 2)
        public static let batches = Kinds(rawValue: 4)
        public static let all: Kinds = [.frames, .tables, .batches]

        init(_ kind: AllocationKind) {
            switch kind {
            case .frame: self = .frames
            case .table: self = .tables
            case .batch: self = .batches
            }
        }
    }

    public let choice: Choice
    public let kinds: Kinds

    /// - Precondition: The number of `every` or `oneIn` is not 0.
    public init(_ choice: Choice, of kinds: Kinds = .all) {
        switch choice {
        case .every(0), .random(_, oneIn: 0): preconditionFailure("one in zero allocations cannot fail")
        default: break
        }
        self.choice = choice
        self.kinds = kinds
    }

    /// Nothing fails.
    public static let never = FailurePolicy(.never)

    var isNever: Bool { choice == .never || kinds.isEmpty }

    /// Whether an allocation fails that is the `count`th, from 1, of the affected kinds on its processor.
    func fails(_ count: UInt64, on processor: ProcessorNumber) -> Bool {
        switch choice {
        case .never: false
        case .every(let period): count % period == 0
        case .random(let seed, let oneIn):
            mixed(seed &+ mixed(count &<< 6 | UInt64(processor.rawValue))) % oneIn == 0
        }
    }
}

/// The output function of SplitMix64: every bit of the result depends on every bit of the number.
private func mixed(_ number: UInt64) -> UInt64 {
    var value = number &+ 0x9e37_79b9_7f4a_7c15
    value = (value ^ value &>> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value &>> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value &>> 31
}
