import PageTables
import VirtualMemory

/// A writable format that a stress can be run in.
public protocol StressFormat: WritableFormat {
    /// The format as a machine of today has it.
    static var usual: Self { get }
    /// What the root register holds for a space of this root: CR3, an ASCE, a process-table entry.
    func rootRegister(_ root: SpaceRoot) -> UInt64
}

extension X86LongMode: StressFormat {
    public static var usual: Self { Self() }

    public func rootRegister(_ root: SpaceRoot) -> UInt64 { root.table.rawValue }
}

extension S390x: StressFormat {
    public static var usual: Self { Self() }

    /// Designation type and a whole top table (Principles of Operation, "Address-Space-Control Element").
    public func rootRegister(_ root: SpaceRoot) -> UInt64 {
        root.table.rawValue | UInt64(truncatingIfNeeded: root.topLevel.rawValue &- 1) &<< 2 | 3
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
    case s390x
    case ppc64Radix64K = "ppc64-radix-64k"
}
