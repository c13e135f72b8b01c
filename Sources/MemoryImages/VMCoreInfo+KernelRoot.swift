import PageTables

extension VMCoreInfo {
    /// The registers of the kernel's own address space, as far as VMCOREINFO tells them: where `swapper_pg_dir` is in
    /// physical memory, and the depth.
    ///
    /// Sources: Linux v6.19, `arch/*/kernel/vmcore_info.c` (crash_core.c before 6.9) for the keys; the arithmetic is that
    /// of each architecture's kernel image mapping.
    /// - Parameters:
    ///   - firstPhysical: Where the image's memory starts, which 32-bit arm's kernel mapping depends on.
    ///   - load: Reads a big-endian word: s390x's depth is in the table.
    /// - Returns: `nil` where the keys that an architecture needs are missing.
    func kernelRoot(
        of architecture: Architecture, firstPhysical: UInt64?, load: (UInt64) -> UInt64?
    ) -> (registers: Registers, paging: Paging)? {
        guard let virtual = symbol("swapper_pg_dir") else { return nil }
        switch architecture {
        case .amd64:
            guard let base = number("phys_base") else { return nil }
            let table = virtual &- 0xffff_ffff_8000_0000 &+ UInt64(bitPattern: base)
            let fiveLevels = number("pgtable_l5_enabled") == 1
            return (Registers([("CR3", table)]), fiveLevels ? .x86LongFiveLevel : .x86Long)
        case .i386:
            guard virtual >= 0xc000_0000 else { return nil }
            let extended = self["CONFIG_X86_PAE"] == "y"
            return (Registers([("CR3", virtual &- 0xc000_0000)]), extended ? .x86PAE : .x86TwoLevel)
        case .arm64:
            guard let offset = number("kimage_voffset"), let size = number("TCR_EL1_T1SZ"),
                let page = pageBytes
            else { return nil }
            let granule: (tg1: UInt64, paging: Paging)
            switch page {
            case 4096: granule = (2, .arm64Granule4K)
            case 16384: granule = (1, .arm64Granule16K)
            case 65536: granule = (3, .arm64Granule64K)
            default: return nil
            }
            let table = virtual &- UInt64(bitPattern: offset)
            // Addresses of more than 48 bits need descriptors of 52 bits: a mode (TCR.DS) with 4 and 16 KiB pages, a width
            // of physical addresses (TCR.IPS) with 64 KiB. VMCOREINFO names neither.
            let isWide = size < 16
            let wide: UInt64 = isWide && page != 65536 ? 1 << 59 : 0
            let width: UInt64 = isWide ? 6 : 5
            let tcr = (UInt64(bitPattern: size) & 63) << 16 | granule.tg1 << 30 | width << 32 | wide | 1 << 7
            return (Registers([("TTBR1_EL1", table), ("TCR_EL1", tcr)]), granule.paging)
        case .riscv64:
            guard let offset = number("va_kernel_pa_offset"), let bits = number("VA_BITS") else { return nil }
            let table = virtual &- UInt64(bitPattern: offset)
            let mode: (number: UInt64, paging: Paging)
            switch bits {
            case 39: mode = (8, .riscvSv39)
            case 48: mode = (9, .riscvSv48)
            case 57: mode = (10, .riscvSv57)
            default: return nil
            }
            return (Registers([("satp", mode.number << 60 | table >> 12)]), mode.paging)
        case .s390x:
            guard let table = s390xPhysical(virtual), let entry = load(table) else { return nil }
            // An empty entry carries the type of its table as well; 0xc type bits, 3: all of a full-length table.
            return (Registers([("ASCE", table & ~0xfff | entry & 0xc | 3)]), .s390x)
        case .ppc64:
            guard virtual >> 60 == 0xc else { return nil }
            let table = virtual & 0x3fff_ffff_ffff_ffff
            // The kernel's tree of the hash MMU has a quadrant of its own, which the format of user space is not.
            guard number("RADIX_MMU").map({ $0 == 1 }) ?? looksLikeRadix(table, load) else { return nil }
            // 52 bits of address, 2^13 entries in the root.
            let entry = 0x4000_0000_0000_00a0 | table & 0x0fff_ffff_ffff_ff00 | 13
            let paging: Paging = pageBytes == 4096 ? .ppc64Radix4K : .ppc64Radix64K
            return (Registers([("PRTE0_KERNEL", entry)]), paging)
        case .arm:
            guard let firstPhysical, virtual >= 0xc000_0000 else { return nil }
            let table = virtual &- 0xc000_0000 &+ firstPhysical
            if self["CONFIG_ARM_LPAE"] == "y" {
                return (Registers([("TTBR0", table), ("TTBCR", 1 << 31)]), .armLPAE)
            }
            return (Registers([("TTBR0", table), ("TTBCR", 0)]), .armShort)
        case .riscv32, .mips64, .um:
            return nil
        }
    }

    /// Kernels before 6.12 do not say which MMU they use. Directory entries of radix trees hold the 9 index bits of the next
    /// table; those of the hash MMU's tree hold nothing there.
    private func looksLikeRadix(_ table: UInt64, _ load: (UInt64) -> UInt64?) -> Bool {
        for index in 0..<(1 << 13) as Range<UInt64> {
            guard let entry = load(table &+ index &* 8) else { return false }
            if entry != 0 { return entry >> 62 == 2 && entry & 0x1f == 9 }
        }
        return false
    }

    /// The kernel's page size in bytes.
    var pageBytes: UInt64? { self["PAGESIZE"].flatMap { UInt64($0) } }

    /// The kernel image of s390x is mapped by an offset of its own since Linux 6.10; before, one to one.
    private func s390xPhysical(_ virtual: UInt64) -> UInt64? {
        guard let offset = hex("KERNELOFFSET"), offset != 0, let physical = hex("KERNELOFFPHYS") else {
            return virtual
        }
        if virtual < offset { return virtual &- (hex("IDENTITYBASE") ?? 0) }
        return virtual &- offset &+ physical
    }
}
