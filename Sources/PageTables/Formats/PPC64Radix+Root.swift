/// What directory entries of a radix tree say about the tree.
public enum PPC64RadixDirectory {
    /// The index bits of the table that a directory entry points to: below level 1, 9 in a tree of 4 KiB pages and 5 in
    /// one of 64 KiB pages. `nil` for an entry that points to no table.
    public static func nextIndexBits(of entry: Entry) -> Int? {
        guard entry.rawValue &>> 62 == 2 else { return nil }
        return Int(truncatingIfNeeded: entry.rawValue & 0x1f)
    }
}

extension AddressSpace {
    /// The space of two entries of the process table, of which the first doubleword is given: that of the process
    /// translates quadrant 0, that of process 0 quadrant 3, the kernel's. Quadrants 1 and 2 are the hypervisor's.
    ///
    /// The table of a space that is `nil` or 0 (a kernel thread has none) translates nothing.
    ///
    /// - Throws: `RootError` where an entry describes another tree than one of 52 bits whose top table has 13.
    public static func ppc64Radix<Granule: PPC64PageGranule>(
        _ format: PPC64Radix<Granule> = PPC64Radix<Granule>(), process: UInt64?, kernel: UInt64?
    ) throws(RootError) -> AddressSpace where Format == PPC64Radix<Granule> {
        let lower = try ppc64RadixTree(process, from: 0)
        let upper = try ppc64RadixTree(kernel, from: 0xc000_0000_0000_0000)
        return AddressSpace(format: format, lower: lower, upper: upper)
    }
}

/// The tree of a process-table entry: RTS says how many bits it translates, RPDS how many index its top table.
private func ppc64RadixTree(_ entry: UInt64?, from first: UInt64) throws(RootError) -> TableTree? {
    guard let entry, entry != 0 else { return nil }
    let addressBits = Int(truncatingIfNeeded: (entry &>> 61 & 3) &<< 3 | entry &>> 5 & 7) + 31
    guard addressBits == 52 else { throw .wrongAddressBits(found: addressBits, expected: 52) }
    let indexBits = Int(truncatingIfNeeded: entry & 0x1f)
    guard indexBits == 13 else { throw .wrongIndexBits(found: indexBits, expected: 13) }
    let mask: UInt64 = (1 &<< 52) &- 1
    return TableTree(
        table: PhysicalAddress(entry & 0x0fff_ffff_ffff_0000), topLevel: Level(3),
        range: VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first | mask)),
        addressMask: mask, limits: IndexLimits(first: 0, last: 8191))
}
