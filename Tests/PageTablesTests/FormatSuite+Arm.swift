@testable import PageTables

extension FormatCase {
    static let arm: [FormatCase] = [
        FormatCase("arm64, 4 KiB", Arm64<Granule4K>(), long64(48)),
        FormatCase("arm64, 16 KiB", Arm64<Granule16K>(), long64(48)),
        FormatCase("arm64, 64 KiB", Arm64<Granule64K>(), long64(48)),
        FormatCase("arm64, 4 KiB, LPA2", Arm64<Granule4K>(wideAddresses: true), long64(52)),
        FormatCase("arm64, 16 KiB, LPA2", Arm64<Granule16K>(wideAddresses: true), long64(52)),
        FormatCase("arm64, 64 KiB, LPA", Arm64<Granule64K>(wideAddresses: true), long64(52)),
        FormatCase("arm64, 40-bit", Arm64<Granule4K>(physicalAddressBits: 40), long64(40)),
        FormatCase("arm64, without hierarchy", Arm64<Granule4K>(hierarchicalRights: false), long64(48, tables: 1)),
        FormatCase("arm64, hardware dirty", Arm64<Granule16K>(hardwareDirty: true), long64(48)),
        FormatCase("arm64, software dirty", Arm64<Granule4K>(softwareDirty: true), long64(48)),
        FormatCase(
            "arm64, hardware and software dirty", Arm64<Granule64K>(hardwareDirty: true, softwareDirty: true),
            long64(48)),
        FormatCase("arm LPAE", ArmLPAE(), long32(tables: 12)),
        FormatCase("arm LPAE, without hierarchy", ArmLPAE(hierarchicalRights: false), long32(tables: 1)),
        FormatCase("arm short", ArmShort(), short(rights: 11)),
        FormatCase("arm short, access flag", ArmShort(accessFlagEnabled: true), short(rights: 8)),
        // Domain 0 checks permissions, 1 allows nothing, 2 everything.
        FormatCase("arm short, domains", ArmShort(domainAccess: 0x31), short(rights: 11)),
    ]

    private static func long64(_ physical: UInt64, tables: Int = 16) -> FormatExpectations {
        FormatExpectations(
            addressBits: 52, leafAddressBits: { _ in physical }, tableAddressBits: physical, leafRights: 16,
            tableRights: { _ in tables }, memoryTypes: 0...7, protectionKeys: 0...7)
    }

    private static func long32(tables: Int) -> FormatExpectations {
        FormatExpectations(
            addressBits: 32, leafAddressBits: { _ in 40 }, tableAddressBits: 40, leafRights: 10,
            tableRights: { _ in tables }, memoryTypes: 0...7)
    }

    private static func short(rights: Int) -> FormatExpectations {
        FormatExpectations(
            addressBits: 32, leafAddressBits: { $0.log2Bytes == 24 ? 40 : 32 }, tableAddressBits: 32,
            leafRights: rights, tableRights: { _ in 2 }, memoryTypes: 0...31)
    }
}
