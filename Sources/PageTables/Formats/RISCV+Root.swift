/// The translation mode of a `satp` register.
public enum RISCVMode: Int, Sendable {
    case bare = 0
    /// Of a 32-bit register only.
    case sv32 = 1
    case sv39 = 8
    case sv48 = 9
    case sv57 = 10

    /// The mode of a 64-bit register; `nil` for one that is reserved.
    public init?(satp: UInt64) {
        self.init(rawValue: Int(truncatingIfNeeded: satp &>> 60))
        if self == .sv32 { return nil }
    }

    /// The mode of a 32-bit register.
    public init(satp32: UInt32) { self = satp32 &>> 31 == 0 ? .bare : .sv32 }
}

extension AddressSpace {
    /// The space of a 64-bit `satp`; `RISCVMode` tells beforehand which depth it has.
    ///
    /// - Throws: `RootError.realSpace` where translation is off, `RootError.wrongMode` where the register is for another
    ///   depth.
    public static func riscv<Levels: Depth>(
        _ format: RISCV<Levels> = RISCV<Levels>(), satp: UInt64
    ) throws(RootError) -> AddressSpace where Format == RISCV<Levels> {
        let (mode, expected) = (Int(truncatingIfNeeded: satp &>> 60), 6 + Levels.topLevel.rawValue)
        guard mode != 0 else { throw .realSpace }
        guard mode == expected else { throw .wrongMode(found: mode, expected: expected) }
        return .signExtended(
            format, root: PhysicalAddress((satp & 0xfff_ffff_ffff) &<< 12), topLevel: Levels.topLevel,
            bits: format.shift(Levels.topLevel) &+ 9)
    }

    /// The space of a 32-bit `satp`.
    ///
    /// - Throws: `RootError.realSpace` where translation is off.
    public static func riscvSv32(
        _ format: RISCVSv32 = RISCVSv32(), satp: UInt32
    ) throws(RootError) -> AddressSpace where Format == RISCVSv32 {
        guard RISCVMode(satp32: satp) == .sv32 else { throw .realSpace }
        return .unsigned(
            format, root: PhysicalAddress(UInt64(satp & 0x3f_ffff) &<< 12), topLevel: Level(1), bits: 32)
    }
}
