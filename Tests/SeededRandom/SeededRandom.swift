import Foundation

/// Random numbers that a seed replays: SplitMix64.
public struct SeededRandom: RandomNumberGenerator {
    /// The seed of this run: `PAGEWALK_SEED` of the environment, or a fresh one.
    public static let seed: UInt64 =
        ProcessInfo.processInfo.environment["PAGEWALK_SEED"].flatMap { UInt64($0) }
        ?? UInt64.random(in: 0 ... .max)

    /// The line that runs a failed test again with the numbers it failed with.
    public static func replay(_ filter: String) -> String {
        "replay: PAGEWALK_SEED=\(seed) swift test --filter \(filter)"
    }

    private var state: UInt64

    /// - Parameter purpose: Makes the numbers of each user differ, whatever order tests run in.
    public init(for purpose: String) {
        // FNV-1a, because the hashes of the standard library differ from run to run.
        state = purpose.utf8.reduce(Self.seed ^ 0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// The same numbers whatever the environment says: for tests whose cases are numbered.
    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number of which about one bit in `2^rarity` is set.
    public mutating func sparse(_ rarity: Int) -> UInt64 { (0..<rarity).reduce(.max) { bits, _ in bits & next() } }
}
