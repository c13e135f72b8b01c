import PageTables
import Testing

/// A kind of address space whose random instances the walkers are tried on.
struct SpaceCase: Sendable, CustomTestStringConvertible {
    let name: String
    let check: @Sendable (SpaceProperty) throws -> Void

    /// - Parameter makeSpace: Makes a space as a register would say it, given two addresses for top tables.
    init<F: PageTableFormat>(_ name: String, _ makeSpace: @escaping @Sendable ([UInt64]) throws -> AddressSpace<F>) {
        self.name = name
        check = { property in
            let built = try BuiltSpace(name, makeSpace: makeSpace)
            try SpaceCheck(built: built, name: name).check(property)
        }
    }

    var testDescription: String { name }

    static let all: [SpaceCase] = x86 + s390x + arm + riscv + others + secondStages

    static let x86: [SpaceCase] = [
        SpaceCase("x86-64") { .x86LongMode(X86_64(), cr3: $0[0]) },
        SpaceCase("x86-64, five levels") { .x86LongMode(X86_64FiveLevel(), cr3: $0[0]) },
        SpaceCase("x86 PAE") { .x86PAE(X86PAE(), cr3: $0[0]) },
        SpaceCase("x86 two-level") { .x86TwoLevel(X86TwoLevel(), cr3: $0[0]) },
    ]

    static let s390x: [SpaceCase] =
        (1...4).map { top in
            SpaceCase("s390x, \(top + 1) levels") { try .s390x(asce: $0[0] | UInt64(top - 1) << 2 | 3) }
        } + [SpaceCase("s390x, half a top table") { try .s390x(asce: $0[0] | 1 << 2 | 1) }]

    static let arm: [SpaceCase] = [
        SpaceCase("arm64, 4 KiB, both halves") {
            try .arm64(Arm64<Granule4K>(), ttbr0: $0[0], ttbr1: $0[1], tcr: 2 << 30 | 16 << 16 | 16)
        },
        SpaceCase("arm64, 4 KiB, short halves") {
            try .arm64(Arm64<Granule4K>(), ttbr0: $0[0], ttbr1: $0[1], tcr: 2 << 30 | 28 << 16 | 25)
        },
        SpaceCase("arm64, 4 KiB, LPA2") {
            try .arm64(
                Arm64<Granule4K>(wideAddresses: true), ttbr0: $0[0], ttbr1: $0[1], tcr: 2 << 30 | 12 << 16 | 12)
        },
        SpaceCase("arm64, 16 KiB, both halves") {
            try .arm64(Arm64<Granule16K>(), ttbr0: $0[0], ttbr1: $0[1], tcr: 1 << 30 | 2 << 14 | 16 << 16 | 17)
        },
        SpaceCase("arm64, 64 KiB, both halves") {
            try .arm64(Arm64<Granule64K>(), ttbr0: $0[0], ttbr1: $0[1], tcr: 3 << 30 | 1 << 14 | 16 << 16 | 22)
        },
        SpaceCase("arm64, one table for both halves") {
            try .arm64(Arm64<Granule4K>(), ttbr0: $0[0], ttbr1: $0[0], tcr: 2 << 30 | 25 << 16 | 25)
        },
        SpaceCase("arm short") { .armShort(ArmShort(), ttbr0: $0[0], ttbr1: nil, ttbcr: 0) },
        SpaceCase("arm short, two tables") { .armShort(ArmShort(), ttbr0: $0[0], ttbr1: $0[1], ttbcr: 2) },
        SpaceCase("arm LPAE, two tables") {
            .armLPAE(ArmLPAE(), ttbr0: $0[0], ttbr1: $0[1], ttbcr: 1 << 31 | 1 << 16)
        },
        SpaceCase("arm LPAE, a short lower table") {
            .armLPAE(ArmLPAE(), ttbr0: $0[0], ttbr1: $0[1], ttbcr: 1 << 31 | 3)
        },
    ]

    static let riscv: [SpaceCase] = [
        SpaceCase("riscv Sv32") { try .riscvSv32(satp: 1 << 31 | UInt32($0[0] >> 12)) },
        SpaceCase("riscv Sv39") { try .riscv(RISCVSv39(), satp: 8 << 60 | $0[0] >> 12) },
        SpaceCase("riscv Sv48") { try .riscv(RISCVSv48(), satp: 9 << 60 | $0[0] >> 12) },
        SpaceCase("riscv Sv57") { try .riscv(RISCVSv57(), satp: 10 << 60 | $0[0] >> 12) },
    ]

    static let others: [SpaceCase] = [
        SpaceCase("ppc64 radix, 4 KiB") {
            try .ppc64Radix(PPC64Radix4K(), process: radix($0[0]), kernel: radix($0[1]))
        },
        SpaceCase("ppc64 radix, 64 KiB") {
            try .ppc64Radix(PPC64Radix64K(), process: radix($0[0]), kernel: radix($0[1]))
        },
        SpaceCase("mips64") { .mips64(pgd: PhysicalAddress($0[0])) },
        SpaceCase("user-mode Linux, three levels") { .userModeLinux(UserModeLinux39(), pgd: PhysicalAddress($0[0])) },
        SpaceCase("user-mode Linux, four levels") { .userModeLinux(UserModeLinux48(), pgd: PhysicalAddress($0[0])) },
    ]

    static let secondStages: [SpaceCase] = [
        SpaceCase("x86 EPT") { try .x86EPT(X86EPT(), eptp: $0[0] | 0x1e) },
        SpaceCase("x86 EPT, five levels") { try .x86EPT(X86EPTFiveLevel(), eptp: $0[0] | 0x26) },
        SpaceCase("riscv Sv39x4") { try .riscvGuestStage(RISCVSv39x4(), hgatp: 8 << 60 | $0[0] >> 12) },
        SpaceCase("riscv Sv57x4") { try .riscvGuestStage(RISCVSv57x4(), hgatp: 10 << 60 | $0[0] >> 12) },
    ]

    /// A process-table entry for 52-bit addresses with a top table of 13 index bits.
    private static func radix(_ table: UInt64) -> UInt64 { 2 << 61 | 5 << 5 | table | 13 }
}
