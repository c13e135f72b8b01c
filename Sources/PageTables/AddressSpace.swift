/// One tree of tables and the addresses that it translates.
public struct TableTree: Hashable, Sendable {
    /// The top table.
    public let table: PhysicalAddress
    public let topLevel: Level
    /// The addresses translated through the tree.
    public let range: VirtualRange
    /// Which bits of an address take part in the walk; the shift of the top level leaves just the top index of them.
    public let addressMask: UInt64
    /// The indexes that the top table has.
    public let limits: IndexLimits

    /// - Precondition: `limits.first <= limits.last`.
    public init(
        table: PhysicalAddress, topLevel: Level, range: VirtualRange, addressMask: UInt64, limits: IndexLimits
    ) {
        self.table = table
        self.topLevel = topLevel
        self.range = range
        self.addressMask = addressMask
        self.limits = limits
    }
}

/// Everything that decides a translation: a format with its modes, and one or two trees.
///
/// Architectures cut the 64-bit space differently: one root for all (s390x), one root for a lower and an upper half
/// (x86-64, riscv), a root for each half (arm64, arm, ppc64 radix). Depth and root are properties of the space and kept
/// together; nothing here is a constant of a build.
public struct AddressSpace<Format: PageTableFormat>: Sendable {
    public let format: Format
    /// The tree that starts at address 0.
    public let lower: TableTree?
    /// The tree above a hole, if there is one.
    public let upper: TableTree?

    public init(format: Format, lower: TableTree?, upper: TableTree? = nil) {
        self.format = format
        self.lower = lower
        self.upper = upper
    }

    /// The tree that translates an address; `nil` where no tree does.
    @inlinable
    public func tree(for address: VirtualAddress) -> TableTree? {
        if let lower, lower.range.contains(address) { return lower }
        if let upper, upper.range.contains(address) { return upper }
        return nil
    }

    public var trees: [TableTree] { [lower, upper].compactMap(\.self) }

    /// A space whose addresses are `bits` wide and sign-extended, both halves of which share one top table.
    ///
    /// - Parameter bits: Width of the addresses; less than 64.
    @inlinable
    public static func signExtended(
        _ format: Format, root: PhysicalAddress, topLevel: Level, bits: UInt64
    ) -> AddressSpace {
        let mask: UInt64 = (1 &<< bits) &- 1
        let half: UInt64 = 1 &<< (bits &- 1)
        let limits = IndexLimits(first: 0, last: Int(truncatingIfNeeded: mask &>> format.shift(topLevel)))
        func tree(_ first: UInt64, _ last: UInt64) -> TableTree {
            TableTree(
                table: root, topLevel: topLevel,
                range: VirtualRange(first: VirtualAddress(first), last: VirtualAddress(last)),
                addressMask: mask, limits: limits)
        }
        return AddressSpace(format: format, lower: tree(0, half &- 1), upper: tree(0 &- half, .max))
    }

    /// A space of one tree whose addresses are `bits` wide, up to all 64, and not sign-extended.
    @inlinable
    public static func unsigned(
        _ format: Format, root: PhysicalAddress, topLevel: Level, bits: UInt64, limits: IndexLimits? = nil
    ) -> AddressSpace {
        let mask: UInt64 = bits >= 64 ? .max : (1 &<< bits) &- 1
        let tree = TableTree(
            table: root, topLevel: topLevel,
            range: VirtualRange(first: VirtualAddress(0), last: VirtualAddress(mask)), addressMask: mask,
            limits: limits ?? IndexLimits(first: 0, last: Int(truncatingIfNeeded: mask &>> format.shift(topLevel))))
        return AddressSpace(format: format, lower: tree)
    }
}
