import PageTables

/// The shape of a format's tables, for lists of formats.
public struct PagingGeometry: Sendable {
    public struct LevelGeometry: Sendable {
        public let level: Level
        /// log2 of the entries of a table, and of the bytes that one entry covers.
        public let log2Entries: Int
        public let log2Bytes: Int
        public let leafSizes: [PageSize]
    }

    public let paging: Paging
    public let entryBytes: Int
    public let byteOrder: ByteOrder
    /// Of Linux's five levels, from the leaf table up: which a walk goes through without a load, and who decides it.
    public let folding: [Folding]
    /// Whether the number of levels is the format's or each address space's own.
    public let hasFixedDepth: Bool
    /// From the highest level that a space can have down to the leaf table.
    public let levels: [LevelGeometry]
    public let notions: FormatNotions
    /// How many memory types entries can name, among them one that the format leaves open.
    public let memoryTypeCount: Int
}

extension Paging {
    public var geometry: PagingGeometry {
        switch self {
        case .x86Long: geometry(of: X86_64())
        case .x86LongFiveLevel: geometry(of: X86_64FiveLevel())
        case .x86PAE: geometry(of: X86PAE())
        case .x86TwoLevel: geometry(of: X86TwoLevel())
        case .s390x: geometry(of: S390x())
        case .arm64Granule4K: geometry(of: Arm64<Granule4K>())
        case .arm64Granule16K: geometry(of: Arm64<Granule16K>())
        case .arm64Granule64K: geometry(of: Arm64<Granule64K>())
        case .armShort: geometry(of: ArmShort())
        case .armLPAE: geometry(of: ArmLPAE())
        case .riscvSv32: geometry(of: RISCVSv32())
        case .riscvSv39: geometry(of: RISCVSv39())
        case .riscvSv48: geometry(of: RISCVSv48())
        case .riscvSv57: geometry(of: RISCVSv57())
        case .ppc64Radix4K: geometry(of: PPC64Radix<PPC64Pages4K>())
        case .ppc64Radix64K: geometry(of: PPC64Radix<PPC64Pages64K>())
        case .ppc64LinuxHash64K: geometry(of: PPC64LinuxHash())
        case .mips64: geometry(of: MIPS64())
        case .userModeLinux3Level: geometry(of: UserModeLinux<ThreeLevels>())
        case .userModeLinux4Level: geometry(of: UserModeLinux<FourLevels>())
        }
    }

    private func geometry<Format: PageTableFormat>(of format: Format) -> PagingGeometry {
        PagingGeometry(
            paging: self, entryBytes: Format.entryBytes, byteOrder: format.byteOrder,
            folding: (0..<5).map { Format.folding(of: Level($0)) }, hasFixedDepth: Format.fixedTopLevel != nil,
            levels: (0...Format.highestLevel.rawValue).reversed().map { number in
                let level = Level(number)
                return PagingGeometry.LevelGeometry(
                    level: level, log2Entries: Int(format.indexBits(level)), log2Bytes: Int(format.shift(level)),
                    leafSizes: format.leafSizes(level))
            },
            notions: Format.notions, memoryTypeCount: Set((0...UInt8.max).map { format.memoryType($0) }).count)
    }
}
