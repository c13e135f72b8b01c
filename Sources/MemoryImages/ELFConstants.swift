/// Numbers of the ELF specification (System V ABI, chapters 4 and 5) that dumps use.
enum ELF {
    static let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
    static let typeCore: UInt16 = 4
    static let programHeaderLoad: UInt32 = 1
    static let programHeaderNote: UInt32 = 4
    /// In place of a number of program headers that 16 bits cannot hold; the number is in section header 0 (`sh_info`).
    static let manyProgramHeaders: UInt16 = 0xffff
}

/// `e_machine` of the architectures whose tables are read here.
public enum ELFMachine {
    public static var i386: UInt16 { 3 }
    public static var mips: UInt16 { 8 }
    public static var ppc64: UInt16 { 21 }
    public static var s390: UInt16 { 22 }
    public static var arm: UInt16 { 40 }
    public static var amd64: UInt16 { 62 }
    public static var aarch64: UInt16 { 183 }
    public static var riscv: UInt16 { 243 }

    /// The `e_machine` of a kernel's `utsname.machine`. Writers spell it as they like (QEMU: `S390X`) or leave it open
    /// (QEMU: `Unknown`).
    static func named(_ machine: String) -> UInt16? {
        let name = machine.lowercased()
        switch name {
        case "x86_64": return amd64
        case "i386", "i486", "i586", "i686": return i386
        case "s390x", "s390": return s390
        case "aarch64", "aarch64_be", "arm64": return aarch64
        case "ppc64", "ppc64le": return ppc64
        case "mips64", "mips": return mips
        default:
            if name.hasPrefix("riscv") { return riscv }
            return name.hasPrefix("arm") ? arm : nil
        }
    }

    /// The `e_machine` told by a CPU's general registers: the size of its `NT_PRSTATUS`, where that says it.
    static func ofStatus(_ notes: [Note], is64Bit: Bool) -> UInt16? {
        guard let status = notes.first(where: { $0.name == "CORE" && $0.type == 1 }) else { return nil }
        switch (is64Bit, status.bytes.count) {
        case (true, 392): return aarch64
        case (true, 504): return ppc64
        case (true, 376): return riscv
        case (true, 336) where notes.contains { $0.name == "QEMU" }: return amd64
        case (false, 148): return arm
        case (false, 144): return i386
        default: return nil
        }
    }
}
