import PageTables

/// The formats by name: what commands and descriptions say.
public enum Paging: String, CaseIterable, Sendable {
    case x86Long = "x86-64"
    case x86LongFiveLevel = "x86-64-5level"
    case x86PAE = "x86-pae"
    case x86TwoLevel = "x86-2level"
    case s390x
    case arm64Granule4K = "arm64-4k"
    case arm64Granule16K = "arm64-16k"
    case arm64Granule64K = "arm64-64k"
    case armShort = "arm-short"
    case armLPAE = "arm-lpae"
    case riscvSv32 = "riscv-sv32"
    case riscvSv39 = "riscv-sv39"
    case riscvSv48 = "riscv-sv48"
    case riscvSv57 = "riscv-sv57"
    case ppc64Radix4K = "ppc64-radix-4k"
    case ppc64Radix64K = "ppc64-radix-64k"
    case ppc64LinuxHash64K = "ppc64-linux-hash-64k"
    case mips64 = "mips64-4k"
    case userModeLinux3Level = "um-3level"
    case userModeLinux4Level = "um-4level"

    /// The register whose value alone names a root of the format.
    public var rootRegister: String {
        switch self {
        case .x86Long, .x86LongFiveLevel, .x86PAE, .x86TwoLevel: "CR3"
        case .s390x: "ASCE"
        case .arm64Granule4K, .arm64Granule16K, .arm64Granule64K: "TTBR0_EL1"
        case .armShort, .armLPAE: "TTBR0"
        case .riscvSv32, .riscvSv39, .riscvSv48, .riscvSv57: "satp"
        case .ppc64Radix4K, .ppc64Radix64K: "PRTE0"
        case .ppc64LinuxHash64K, .mips64, .userModeLinux3Level, .userModeLinux4Level: "PGD"
        }
    }

    /// 4 or 8.
    public var entryBytes: Int {
        switch self {
        case .x86TwoLevel, .armShort, .riscvSv32: 4
        default: 8
        }
    }

    public var architecture: Architecture {
        switch self {
        case .x86Long, .x86LongFiveLevel: .amd64
        case .x86PAE, .x86TwoLevel: .i386
        case .s390x: .s390x
        case .arm64Granule4K, .arm64Granule16K, .arm64Granule64K: .arm64
        case .armShort, .armLPAE: .arm
        case .riscvSv32: .riscv32
        case .riscvSv39, .riscvSv48, .riscvSv57: .riscv64
        case .ppc64Radix4K, .ppc64Radix64K, .ppc64LinuxHash64K: .ppc64
        case .mips64: .mips64
        case .userModeLinux3Level, .userModeLinux4Level: .um
        }
    }
}

/// Machines by the names that descriptions use.
public enum Architecture: String, CaseIterable, Sendable {
    case amd64 = "x86_64"
    case i386
    case arm64
    case arm
    case s390x
    case riscv64
    case riscv32
    case ppc64
    case mips64
    case um

    /// `uml` is understood as well: so Linux's own build system calls the port.
    public init?(name: String) {
        if name == "uml" {
            self = .um
        } else {
            self.init(rawValue: name)
        }
    }

    /// The register whose value alone names a root; software-walked trees need the format's name as well.
    public var rootRegister: String {
        switch self {
        case .amd64, .i386: "CR3"
        case .s390x: "ASCE"
        case .arm64: "TTBR0_EL1"
        case .arm: "TTBR0"
        case .riscv32, .riscv64: "satp"
        case .ppc64: "PRTE0"
        case .mips64, .um: "PGD"
        }
    }

    /// The machine of an ELF file (System V gABI, `e_machine`).
    public init?(elfMachine: UInt16, is64Bit: Bool) {
        switch elfMachine {
        case 62: self = .amd64
        case 3: self = .i386
        case 22: self = .s390x
        case 183: self = .arm64
        case 40: self = .arm
        case 243: self = is64Bit ? .riscv64 : .riscv32
        case 21: self = .ppc64
        case 8: self = .mips64
        default: return nil
        }
    }
}
