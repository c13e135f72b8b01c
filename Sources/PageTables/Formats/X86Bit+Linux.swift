// The bits of x86 entries that belong to Linux, and the layouts of its entries that are not present.
//
// Linux v6.19: arch/x86/include/asm/pgtable.h, pgtable_types.h, pgtable_64.h, pgtable-2level.h, pgtable-3level.h,
// pgtable-invert.h.

extension X86Bit {
    /// Where P is clear, G says that Linux considers the page present and allows no access.
    @inlinable static var linuxProtNone: UInt64 { global }
    @inlinable static var linuxSpecial: UInt64 { 1 << 9 }
    /// Only where entries have 64 bits and so has the kernel.
    @inlinable static var linuxUserfaultWriteProtect: UInt64 { 1 << 10 }
    @inlinable static var linuxSoftDirty: UInt64 { 1 << 11 }
    /// Where D is kept while an entry is read-only, because D without R/W would make it a shadow-stack page. Kernels
    /// before v6.6 used the bit for pages of device memory.
    @inlinable static var linuxSavedDirty: UInt64 { 1 << 58 }
    /// The same of 32-bit kernels.
    @inlinable static var linuxSavedDirty32: UInt64 { 1 << 10 }
    /// A and D of an entry that is not present: Knights Landing processors may set them after the fact, so a kernel of
    /// 64-bit entries ignores them.
    @inlinable static var linuxErratum: UInt64 { accessed | dirty }

    /// What Linux says of a page, apart from the flags that only 64-bit kernels have.
    ///
    /// A shadow-stack page is not reported as writable: without the processor's features at hand it looks like the
    /// read-only dirty page that kernels before v6.6 made on every fork.
    @inlinable
    static func linuxFlags(_ value: UInt64, savedDirty: UInt64) -> LinuxPageFlags {
        var flags: LinuxPageFlags = []
        if value & present != 0 {
            flags.insert(.hardwareValid)
            if value & global != 0 { flags.insert(.global) }
        }
        if value & (present | linuxProtNone) == linuxProtNone {
            flags.insert(.protNone)
        } else {
            flags.insert(.read)
            if value & writable != 0 { flags.insert(.write) }
            if value & noExecute == 0 { flags.insert(.execute) }
            if value & (present | linuxProtNone) == 0 { flags.insert(.splitting) }
        }
        if value & user != 0 { flags.insert(.user) }
        if value & accessed != 0 { flags.insert(.young) }
        if value & (dirty | savedDirty) != 0 { flags.insert(.dirty) }
        if value & linuxSpecial != 0 { flags.insert(.special) }
        return flags
    }

    /// The entry that hardware would see if a page that is present to Linux alone were valid.
    ///
    /// Linux stores the address of a page that is not valid inverted, so that speculation past a clear P finds no memory
    /// (L1TF). Of a large page it inverts the bits of the page's own address; of a large page of hugetlbfs, which it
    /// handles as if it were a small one, all of 51 ... 12, hence ones where an aligned address has zeros.
    ///
    /// - Parameter addressBits: 51 ... 12 without those that mean encryption.
    @inlinable
    static func linuxUninverted(_ value: UInt64, shift: UInt64, addressBits: UInt64) -> UInt64 {
        let below = addressBits & ((1 &<< shift) &- 1)
        // Bit 12 may be PAT and decides nothing.
        let aligned = below & ~largePAT
        let inverted = aligned != 0 && value & aligned == aligned ? addressBits : addressBits & ~below
        return value ^ inverted | present
    }

    /// Type and offset of an entry of 64 bits: the type on top, the offset inverted like any address.
    @inlinable
    static func linuxSwap(_ value: UInt64, _ flags: LinuxSwapFlags) -> LinuxSwap {
        LinuxSwap(
            type: UInt8(truncatingIfNeeded: value &>> 59), offset: (~value &>> 9) & 0x3_ffff_ffff_ffff, flags: flags)
    }
}
