import Testing

@testable import PageTables

/// A format that `FormatSuite` checks, under a name that tells its modes.
struct FormatCase: Sendable, CustomTestStringConvertible {
    let name: String
    let check: @Sendable (FormatProperty) throws -> Void

    init<F: PageTableFormat>(_ name: String, _ format: F, _ expectations: FormatExpectations) {
        self.name = name
        check = { try checkFormat(format, named: name, expectations, [$0]) }
    }

    var testDescription: String { name }

    /// Add a line for each format, and one for each mode that moves bits.
    static let all: [FormatCase] = x86 + arm + s390x + riscv + ppc64 + softwareTrees + secondStages
}

extension FormatCase {
    static let x86: [FormatCase] = [
        FormatCase("x86-64", X86_64(), longMode(48)),
        FormatCase("x86-64, five levels", X86_64FiveLevel(), longMode(57)),
        FormatCase(
            "x86-64, 40-bit, without NX", X86_64(physicalAddressBits: 40, noExecute: false), longMode(48, 40, 4)),
        FormatCase("x86-64, C-bit 51", X86_64(encryptionMask: 1 << 51), longMode(48, 51)),
        FormatCase("x86 PAE", X86PAE(), pae(52, 8)),
        FormatCase("x86 PAE, 36-bit, without NX", X86PAE(physicalAddressBits: 36, noExecute: false), pae(36, 4)),
        FormatCase("x86 PAE, in halves", AccessedInHalves(X86PAE()), pae(52, 8)),
        FormatCase("x86 two-level", X86TwoLevel(), twoLevel(40)),
        FormatCase("x86 two-level, 36-bit", X86TwoLevel(physicalAddressBits: 36), twoLevel(36)),
        FormatCase("x86 two-level, without PSE", X86TwoLevel(pageSizeExtension: false), twoLevel(40)),
    ]

    private static func longMode(_ bits: UInt64, _ physical: UInt64 = 52, _ rights: Int = 8) -> FormatExpectations {
        FormatExpectations(
            addressBits: bits, leafAddressBits: { _ in physical }, tableAddressBits: physical, leafRights: rights,
            tableRights: { _ in rights }, memoryTypes: 0...7, protectionKeys: 0...15)
    }

    private static func pae(_ physical: UInt64, _ rights: Int) -> FormatExpectations {
        FormatExpectations(
            addressBits: 32, leafAddressBits: { _ in physical }, tableAddressBits: physical, leafRights: rights,
            tableRights: { $0 == Level(2) ? 1 : rights }, memoryTypes: 0...7)
    }

    private static func twoLevel(_ physical: UInt64) -> FormatExpectations {
        FormatExpectations(
            addressBits: 32, leafAddressBits: { $0.log2Bytes == 22 ? physical : 32 }, tableAddressBits: 32,
            leafRights: 4,
            tableRights: { _ in 4 }, memoryTypes: 0...7)
    }
}
