import PageTableWalk
import PageTables
import TableMemory

/// An address space of any format: what is known of one after a root was resolved at run time.
///
/// The switch over formats happens once per question, and each question then runs in code compiled for its format and
/// memory: nothing on a hot path is an existential.
public enum AnyAddressSpace: Sendable {
    case x86Long(AddressSpace<X86_64>)
    case x86LongFiveLevel(AddressSpace<X86_64FiveLevel>)
    case x86PAE(AddressSpace<X86PAE>)
    case x86TwoLevel(AddressSpace<X86TwoLevel>)
    case s390x(AddressSpace<S390x>)
    case arm64Granule4K(AddressSpace<Arm64<Granule4K>>)
    case arm64Granule16K(AddressSpace<Arm64<Granule16K>>)
    case arm64Granule64K(AddressSpace<Arm64<Granule64K>>)
    case armShort(AddressSpace<ArmShort>)
    case armLPAE(AddressSpace<ArmLPAE>)
    case riscvSv32(AddressSpace<RISCVSv32>)
    case riscvSv39(AddressSpace<RISCVSv39>)
    case riscvSv48(AddressSpace<RISCVSv48>)
    case riscvSv57(AddressSpace<RISCVSv57>)
    case ppc64Radix4K(AddressSpace<PPC64Radix<PPC64Pages4K>>)
    case ppc64Radix64K(AddressSpace<PPC64Radix<PPC64Pages64K>>)
    case ppc64LinuxHash64K(AddressSpace<PPC64LinuxHash>)
    case mips64(AddressSpace<MIPS64>)
    case userModeLinux3Level(AddressSpace<UserModeLinux<ThreeLevels>>)
    case userModeLinux4Level(AddressSpace<UserModeLinux<FourLevels>>)

    /// Asks a question of the space, whatever its format.
    @inlinable
    func ask<Question: SpaceQuestion>(_ question: borrowing Question) -> Question.Answer {
        switch self {
        case .x86Long(let space): question.answer(space)
        case .x86LongFiveLevel(let space): question.answer(space)
        case .x86PAE(let space): question.answer(space)
        case .x86TwoLevel(let space): question.answer(space)
        case .s390x(let space): question.answer(space)
        case .arm64Granule4K(let space): question.answer(space)
        case .arm64Granule16K(let space): question.answer(space)
        case .arm64Granule64K(let space): question.answer(space)
        case .armShort(let space): question.answer(space)
        case .armLPAE(let space): question.answer(space)
        case .riscvSv32(let space): question.answer(space)
        case .riscvSv39(let space): question.answer(space)
        case .riscvSv48(let space): question.answer(space)
        case .riscvSv57(let space): question.answer(space)
        case .ppc64Radix4K(let space): question.answer(space)
        case .ppc64Radix64K(let space): question.answer(space)
        case .ppc64LinuxHash64K(let space): question.answer(space)
        case .mips64(let space): question.answer(space)
        case .userModeLinux3Level(let space): question.answer(space)
        case .userModeLinux4Level(let space): question.answer(space)
        }
    }

    public var paging: Paging {
        switch self {
        case .x86Long: .x86Long
        case .x86LongFiveLevel: .x86LongFiveLevel
        case .x86PAE: .x86PAE
        case .x86TwoLevel: .x86TwoLevel
        case .s390x: .s390x
        case .arm64Granule4K: .arm64Granule4K
        case .arm64Granule16K: .arm64Granule16K
        case .arm64Granule64K: .arm64Granule64K
        case .armShort: .armShort
        case .armLPAE: .armLPAE
        case .riscvSv32: .riscvSv32
        case .riscvSv39: .riscvSv39
        case .riscvSv48: .riscvSv48
        case .riscvSv57: .riscvSv57
        case .ppc64Radix4K: .ppc64Radix4K
        case .ppc64Radix64K: .ppc64Radix64K
        case .ppc64LinuxHash64K: .ppc64LinuxHash64K
        case .mips64: .mips64
        case .userModeLinux3Level: .userModeLinux3Level
        case .userModeLinux4Level: .userModeLinux4Level
        }
    }
}

/// A question that can be asked of a space of any format.
@usableFromInline
protocol SpaceQuestion: ~Copyable {
    associatedtype Answer
    func answer<Format: LinuxPageTableFormat>(_ space: AddressSpace<Format>) -> Answer
}

/// Whose reading of the entries is asked for.
public enum View: String, CaseIterable, Sendable {
    /// What the MMU would do.
    case hardware
    /// What Linux means: also pages that it considers present and the MMU does not see.
    case linux
}
