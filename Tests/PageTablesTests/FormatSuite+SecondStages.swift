@testable import PageTables

extension FormatCase {
    static let secondStages: [FormatCase] = [
        FormatCase("x86 EPT", X86EPT(), ept(48, 52, 5)),
        FormatCase("x86 EPT, five levels", X86EPTFiveLevel(), ept(57, 52, 5)),
        FormatCase(
            "x86 EPT, 40-bit, without execute-only", X86EPT(physicalAddressBits: 40, executeOnly: false), ept(48, 40, 4)
        ),
        FormatCase("x86 EPT, mode-based execute", X86EPT(modeBasedExecute: true), ept(48, 52, 11)),
        FormatCase("riscv Sv39x4", RISCVSv39x4(), riscv(41)),
        FormatCase("riscv Sv48x4", RISCVSv48x4(), riscv(50)),
        FormatCase(
            "riscv Sv57x4, without Svnapot and Svpbmt", RISCVSv57x4(svnapot: false, svpbmt: false), riscv(59, 0...0)),
    ]

    private static func ept(_ bits: UInt64, _ physical: UInt64, _ rights: Int) -> FormatExpectations {
        FormatExpectations(
            addressBits: bits, leafAddressBits: { _ in physical }, tableAddressBits: physical, leafRights: rights,
            tableRights: { _ in rights }, memoryTypes: 4...6)
    }

    private static func riscv(_ bits: UInt64, _ memoryTypes: ClosedRange<UInt8> = 0...2) -> FormatExpectations {
        FormatExpectations(
            addressBits: bits, leafAddressBits: { _ in 56 }, tableAddressBits: 56, leafRights: 6,
            memoryTypes: memoryTypes)
    }
}
