@testable import PageTables

extension FormatCase {
    static let s390x: [FormatCase] = [
        FormatCase("s390x", S390x(), s390x { _ in 2 }),
        FormatCase(
            "s390x, private space, older kernel", S390x(privateSpace: true, linuxLeafBits: .withoutPresent),
            s390x { _ in 2 }),
        FormatCase("s390x without EDAT-2", S390x(edat2: false), s390x { _ in 2 }),
        FormatCase("s390x without EDAT", S390x(edat1: false, edat2: false), s390x { $0 == Level(1) ? 2 : 1 }),
    ]

    static let riscv: [FormatCase] = [
        FormatCase("riscv Sv39", RISCVSv39(), riscv(39)),
        FormatCase("riscv Sv48", RISCVSv48(), riscv(48)),
        FormatCase("riscv Sv57", RISCVSv57(), riscv(57)),
        FormatCase(
            "riscv Sv39, without Svnapot and Svpbmt", RISCVSv39(svnapot: false, svpbmt: false), riscv(39, 0...0)),
        FormatCase(
            "riscv Sv48, shadow stacks, software bits", RISCVSv48(shadowStack: true, softwareBits59And60: true),
            riscv(48)),
        FormatCase(
            "riscv Sv32", RISCVSv32(),
            FormatExpectations(
                addressBits: 32, leafAddressBits: { _ in 34 }, tableAddressBits: 34, leafRights: 10)),
        FormatCase(
            "riscv Sv32, shadow stacks", RISCVSv32(shadowStack: true),
            FormatExpectations(
                addressBits: 32, leafAddressBits: { _ in 34 }, tableAddressBits: 34, leafRights: 10)),
    ]

    static let ppc64: [FormatCase] = [
        FormatCase("ppc64 radix, 4 KiB", PPC64Radix4K(), ppc64(60)),
        FormatCase("ppc64 radix, 64 KiB", PPC64Radix64K(), ppc64(60)),
        FormatCase("ppc64 hash, Linux's tree", PPC64LinuxHash(), ppc64(62)),
    ]

    static let softwareTrees: [FormatCase] = [
        FormatCase("mips64", MIPS64(), mips64(62, 8)),
        FormatCase("mips64, tables in the image", MIPS64(byteOrder: .big, imageTablesAreEmpty: false), mips64(62, 8)),
        FormatCase(
            "mips64, soft-dirty, without RI and XI",
            MIPS64(bits: MIPS64.Bits(softDirty: true, readExecuteInhibit: false)), mips64(62, 4)),
        FormatCase("user-mode Linux, three levels", UserModeLinux39(), userModeLinux(39)),
        FormatCase("user-mode Linux, four levels", UserModeLinux48(), userModeLinux(48)),
    ]

    private static func s390x(_ tableRights: @escaping @Sendable (Level) -> Int) -> FormatExpectations {
        FormatExpectations(
            addressBits: 64, leafAddressBits: { _ in 64 }, tableAddressBits: 64, leafRights: 4,
            tableRights: tableRights)
    }

    private static func riscv(_ bits: UInt64, _ memoryTypes: ClosedRange<UInt8> = 0...2) -> FormatExpectations {
        FormatExpectations(
            addressBits: bits, leafAddressBits: { _ in 56 }, tableAddressBits: 56, leafRights: 10,
            memoryTypes: memoryTypes)
    }

    private static func ppc64(_ tableBits: UInt64) -> FormatExpectations {
        FormatExpectations(
            addressBits: 52, leafAddressBits: { _ in 53 }, tableAddressBits: tableBits, leafRights: 11,
            memoryTypes: 0...3, protectionKeys: 0...31)
    }

    private static func mips64(_ physical: UInt64, _ rights: Int) -> FormatExpectations {
        FormatExpectations(
            addressBits: 40, leafAddressBits: { _ in physical }, tableAddressBits: 59, leafRights: rights,
            memoryTypes: 0...7)
    }

    private static func userModeLinux(_ bits: UInt64) -> FormatExpectations {
        FormatExpectations(addressBits: bits, leafAddressBits: { _ in 64 }, tableAddressBits: 64, leafRights: 4)
    }
}
