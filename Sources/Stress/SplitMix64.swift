/// Random numbers that a seed replays: small, fast, and the same on every platform.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    /// A generator of its own for each combination of a seed and what the numbers are for.
    public init(seed: UInt64, for purposes: UInt64...) {
        self.init(seed: purposes.reduce(seed) { Self.mixed($0 &+ Self.mixed($1 &+ 1)) })
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Self.mixed(state)
    }

    /// The output function: every bit of the result depends on every bit of the number.
    private static func mixed(_ number: UInt64) -> UInt64 {
        var value = number
        value = (value ^ value &>> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value &>> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value &>> 31
    }
}

extension SplitMix64 {
    /// A number of `0 ..< count`. The bias of the multiplication is of no matter here.
    /// - Precondition: `count` is not 0.
    mutating func below(_ count: UInt64) -> UInt64 { next().multipliedFullWidth(by: count).high }

    mutating func below(_ count: Int) -> Int { Int(truncatingIfNeeded: below(UInt64(count))) }

    /// True once in `count` times.
    mutating func once(in count: UInt64) -> Bool { below(count) == 0 }

    /// A number of `0 ..< count`, small ones more often: its logarithm is about evenly distributed.
    mutating func small(_ count: UInt64) -> UInt64 {
        let bits = UInt64(64 - count.leadingZeroBitCount)
        return min(below(1 &<< below(bits + 1)), count - 1)
    }
}
