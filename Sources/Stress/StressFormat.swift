import HostMemory
import PageTables
import TableMemory
import VirtualMemory

/// A writable format that a stress can be run in.
public protocol StressFormat: WritableFormat {
    /// The format as a machine of today has it.
    static var usual: Self { get }
    /// What the root register holds for a space of this root: CR3, an ASCE, a process-table entry.
    func rootRegister(_ root: SpaceRoot) -> UInt64
    /// Other registers without which the root says too little: names and values.
    func otherRegisters(_ root: SpaceRoot) -> [StressRegister]
    /// Takes the records of writes; `nil` if leaves have none.
    static func takeDirty<Memory: SharedMemory>(
        in range: VirtualRange, of space: Space<Self>, lock: borrowing ReadLockHeld<Memory>
    ) -> TakenRecords? where Memory.Failure == Never
}

extension StressFormat {
    public func rootRegister(_ root: SpaceRoot) -> UInt64 { root.table.rawValue }
    public func otherRegisters(_ root: SpaceRoot) -> [StressRegister] { [] }

    public static func takeDirty<Memory: SharedMemory>(
        in range: VirtualRange, of space: Space<Self>, lock: borrowing ReadLockHeld<Memory>
    ) -> TakenRecords? where Memory.Failure == Never { nil }
}

extension StressFormat where Self: RecordingFormat {
    public static func takeDirty<Memory: SharedMemory>(
        in range: VirtualRange, of space: Space<Self>, lock: borrowing ReadLockHeld<Memory>
    ) -> TakenRecords? where Memory.Failure == Never { space.takeDirty(in: range, lock: lock) }
}

/// A register and what it holds.
public struct StressRegister: Hashable, Sendable {
    public let name: String
    public let value: UInt64

    /// As commands take it: `NAME=0x…`.
    public var argument: String { "\(name)=\(hexadecimal(value))" }
}

/// The registers that show a space.
public struct StressRoot: Hashable, Sendable {
    /// Of the register that names the root.
    public let value: UInt64
    public let others: [StressRegister]

    init<Format: StressFormat>(_ format: Format, _ root: SpaceRoot) {
        value = format.rootRegister(root)
        others = format.otherRegisters(root)
    }
}

extension X86LongMode: StressFormat {
    public static var usual: Self { Self() }
}

extension AccessedInHalves: StressFormat where Base == X86PAE {
    public static var usual: Self { Self(X86PAE()) }
}

extension S390x: StressFormat {
    public static var usual: Self { Self() }

    /// Designation type and a whole top table (Principles of Operation, "Address-Space-Control Element").
    public func rootRegister(_ root: SpaceRoot) -> UInt64 {
        root.table.rawValue | UInt64(truncatingIfNeeded: root.topLevel.rawValue &- 1) &<< 2 | 3
    }
}

extension Arm64: StressFormat {
    public static var usual: Self { Self() }

    /// TCR_EL1: T0SZ of the space's depth, TG0, physical addresses of 48 bits, and no upper half (EPD1).
    public func otherRegisters(_ root: SpaceRoot) -> [StressRegister] {
        let last = addressSpace(root: root.table, topLevel: root.topLevel).lower?.range.last.rawValue ?? 0
        let granule: UInt64 =
            switch Granule.log2Bytes {
            case 14: 2
            case 16: 1
            default: 0
            }
        let value = UInt64(last.leadingZeroBitCount) | 1 << 23 | granule << 14 | 5 << 32
        return [StressRegister(name: "TCR_EL1", value: value)]
    }
}

extension RISCV: StressFormat {
    public static var usual: Self { Self() }

    /// MODE and the number of the root's page (Privileged Architecture, "Supervisor Address Translation and Protection").
    public func rootRegister(_ root: SpaceRoot) -> UInt64 {
        UInt64(6 + root.topLevel.rawValue) << 60 | root.table.rawValue >> 12
    }
}

extension PPC64Radix: StressFormat {
    public static var usual: Self { Self() }

    /// A tree of 52 bits (RTS is 21 more than 31) whose top table has 13 of them (Power ISA 3.1, "Radix Tree Translation").
    public func rootRegister(_ root: SpaceRoot) -> UInt64 { 2 << 61 | root.table.rawValue | 5 << 5 | 13 }
}

/// The formats by the names that commands use.
public enum StressedFormat: String, CaseIterable, Sendable {
    case x86Long = "x86-64"
    case x86LongFiveLevel = "x86-64-5level"
    /// As a machine of 32 bits has it: each entry in halves.
    case x86PAE = "x86-pae"
    case s390x
    case arm64Granule4K = "arm64-4k"
    case arm64Granule16K = "arm64-16k"
    case arm64Granule64K = "arm64-64k"
    case riscvSv39 = "riscv-sv39"
    case riscvSv48 = "riscv-sv48"
    case riscvSv57 = "riscv-sv57"
    case ppc64Radix4K = "ppc64-radix-4k"
    case ppc64Radix64K = "ppc64-radix-64k"
}

/// Does something in the format that was chosen.
protocol StressFormatUser {
    associatedtype Result
    func use<Format: StressFormat>(_ format: Format) throws(ArenaError) -> Result
}

extension StressedFormat {
    /// Formats in which rules can be lifted: among them entries in halves, spaces that grow, and tables that share a frame. All of
    /// the space is compiled once more for each.
    static let liftable: [StressedFormat] = [.x86Long, .x86PAE, .s390x]

    func give<User: StressFormatUser>(to user: User) throws(ArenaError) -> User.Result {
        switch self {
        case .x86Long: try user.use(X86_64.usual)
        case .x86LongFiveLevel: try user.use(X86_64FiveLevel.usual)
        case .x86PAE: try user.use(AccessedInHalves<X86PAE>.usual)
        case .s390x: try user.use(S390x.usual)
        case .arm64Granule4K: try user.use(Arm64<Granule4K>.usual)
        case .arm64Granule16K: try user.use(Arm64<Granule16K>.usual)
        case .arm64Granule64K: try user.use(Arm64<Granule64K>.usual)
        case .riscvSv39: try user.use(RISCVSv39.usual)
        case .riscvSv48: try user.use(RISCVSv48.usual)
        case .riscvSv57: try user.use(RISCVSv57.usual)
        case .ppc64Radix4K: try user.use(PPC64Radix4K.usual)
        case .ppc64Radix64K: try user.use(PPC64Radix64K.usual)
        }
    }

    /// - Returns: `nil` if it is none of `liftable`.
    func giveLiftable<User: StressFormatUser>(to user: User) throws(ArenaError) -> User.Result? {
        switch self {
        case .x86Long: try user.use(X86_64.usual)
        case .x86PAE: try user.use(AccessedInHalves<X86PAE>.usual)
        case .s390x: try user.use(S390x.usual)
        default: nil
        }
    }
}
