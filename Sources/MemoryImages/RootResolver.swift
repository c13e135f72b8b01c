import PageTables
import TableMemory

/// Makes address spaces from registers: which format they select, and where its tree starts.
public struct RootResolver: Sendable {
    public var architecture: Architecture
    /// Of the guest's entries, where the architecture leaves it open.
    public var byteOrder: ByteOrder?
    /// The bit that AMD SME sets in entries (VMCOREINFO `NUMBER(sme_mask)`).
    public var encryptionMask: UInt64
    /// The kernel's page size, where it is known (VMCOREINFO `PAGESIZE`).
    public var pageBytes: UInt64?

    public init(
        architecture: Architecture, byteOrder: ByteOrder? = nil, encryptionMask: UInt64 = 0, pageBytes: UInt64? = nil
    ) {
        self.architecture = architecture
        self.byteOrder = byteOrder
        self.encryptionMask = encryptionMask
        self.pageBytes = pageBytes
    }

    /// Makes the space that registers define.
    ///
    /// - Parameters:
    ///   - name: For the error.
    ///   - paging: Overrides what the registers say of the format.
    ///   - levels: Used where no register tells the depth.
    ///   - contents: Some trees describe themselves (ppc64 radix).
    /// - Throws: `RootResolutionError` if a register is missing or selects nothing.
    public func resolve(
        _ registers: Registers, name: String, paging: Paging? = nil, levels: Int? = nil,
        in contents: MemoryImage.Contents
    ) throws(RootResolutionError) -> AnyAddressSpace {
        do throws(Problem) {
            let isGiven = paging != nil
            let selected: Paging
            if let paging { selected = paging } else { selected = try self.paging(registers, levels, contents) }
            switch selected {
            case .x86Long:
                return .x86Long(.x86LongMode(longMode(registers), cr3: try require("CR3", registers)))
            case .x86LongFiveLevel:
                return .x86LongFiveLevel(.x86LongMode(longMode(registers), cr3: try require("CR3", registers)))
            case .x86PAE:
                let format = X86PAE(noExecute: noExecute(registers))
                return .x86PAE(.x86PAE(format, cr3: try require("CR3", registers)))
            case .x86TwoLevel:
                let format = X86TwoLevel(pageSizeExtension: registers["CR4"].map { $0 & 0x10 != 0 } ?? true)
                return .x86TwoLevel(.x86TwoLevel(format, cr3: try require("CR3", registers)))
            case .s390x: return .s390x(try s390x(registers, contents))
            case .arm64Granule4K: return .arm64Granule4K(try arm64(registers, levels, lowerTG: 0, upperTG: 2))
            case .arm64Granule16K: return .arm64Granule16K(try arm64(registers, levels, lowerTG: 2, upperTG: 1))
            case .arm64Granule64K: return .arm64Granule64K(try arm64(registers, levels, lowerTG: 1, upperTG: 3))
            case .armShort: return .armShort(try armShort(registers))
            case .armLPAE: return .armLPAE(try armLPAE(registers))
            case .riscvSv32: return .riscvSv32(try riscv32(registers))
            case .riscvSv39: return .riscvSv39(try riscv(registers, mode: isGiven ? 8 : nil))
            case .riscvSv48: return .riscvSv48(try riscv(registers, mode: isGiven ? 9 : nil))
            case .riscvSv57: return .riscvSv57(try riscv(registers, mode: isGiven ? 10 : nil))
            case .ppc64Radix4K: return .ppc64Radix4K(try radix(registers))
            case .ppc64Radix64K: return .ppc64Radix64K(try radix(registers))
            case .ppc64LinuxHash64K:
                return .ppc64LinuxHash64K(.ppc64LinuxHash(pgd: try top(registers)))
            case .mips64:
                return .mips64(.mips64(MIPS64(byteOrder: byteOrder ?? .big), pgd: try top(registers)))
            case .userModeLinux3Level:
                return .userModeLinux3Level(.userModeLinux(pgd: try top(registers)))
            case .userModeLinux4Level:
                return .userModeLinux4Level(.userModeLinux(pgd: try top(registers)))
            }
        } catch {
            throw RootResolutionError(root: name, reason: error.reason)
        }
    }

    struct Problem: Error {
        let reason: String
    }

    private func require(_ name: String, _ registers: Registers) throws(Problem) -> UInt64 {
        guard let value = registers[name] else { throw Problem(reason: "register \(name) is not known") }
        return value
    }

    private func rethrow<Space>(_ make: () throws(RootError) -> Space) throws(Problem) -> Space {
        do throws(RootError) { return try make() } catch { throw Problem(reason: "\(error)") }
    }

    /// The format that registers select.
    private func paging(
        _ registers: Registers, _ levels: Int?, _ contents: MemoryImage.Contents
    ) throws(Problem) -> Paging {
        switch architecture {
        case .amd64, .i386: return try x86Paging(registers, levels)
        case .s390x: return .s390x
        case .arm64: return try arm64Paging(registers)
        case .arm: return (registers["TTBCR"] ?? 0) & 1 << 31 != 0 ? .armLPAE : .armShort
        case .riscv32:
            guard try require("satp", registers) & 1 << 31 != 0 else {
                throw Problem(reason: "satp selects no paging mode (MODE is 0)")
            }
            return .riscvSv32
        case .riscv64:
            switch try require("satp", registers) >> 60 {
            case 8: return .riscvSv39
            case 9: return .riscvSv48
            case 10: return .riscvSv57
            case let mode: throw Problem(reason: "satp selects no paging mode (MODE is \(mode))")
            }
        case .ppc64:
            guard registers["PRTE0"] != nil || registers["PRTE0_KERNEL"] != nil else {
                throw Problem(reason: "register PRTE0 is not known, and a tree of PGD needs the name of its format")
            }
            return try radixPaging(registers, contents)
        case .mips64, .um:
            throw Problem(reason: "a software-walked tree needs the name of its format (--paging)")
        }
    }

    // MARK: x86

    private func x86Paging(_ registers: Registers, _ levels: Int?) throws(Problem) -> Paging {
        if let cr0 = registers["CR0"], cr0 & 1 << 31 == 0 { throw Problem(reason: "paging is off (CR0.PG is 0)") }
        let physicalAddressExtension = registers["CR4"].map { $0 & 1 << 5 != 0 }
        let longMode = registers["EFER"].map { $0 & 1 << 10 != 0 } ?? (architecture == .amd64)
        if physicalAddressExtension == false || physicalAddressExtension == nil && architecture == .i386 {
            return .x86TwoLevel
        }
        guard longMode else { return .x86PAE }
        let fiveLevels = registers["CR4"].map { $0 & 1 << 12 != 0 } ?? (levels == 5)
        return fiveLevels ? .x86LongFiveLevel : .x86Long
    }

    private func noExecute(_ registers: Registers) -> Bool { registers["EFER"].map { $0 & 1 << 11 != 0 } ?? true }

    private func longMode<Levels>(_ registers: Registers) -> X86LongMode<Levels> {
        X86LongMode(noExecute: noExecute(registers), encryptionMask: encryptionMask)
    }

    // MARK: s390x

    private func s390x(
        _ registers: Registers, _ contents: MemoryImage.Contents
    ) throws(Problem) -> AddressSpace<S390x> {
        let asce = try require(registers["ASCE"] == nil && registers["CR1"] != nil ? "CR1" : "ASCE", registers)
        // EDAT-1; EDAT-2 has no bit of its own, and machines that have it do not make such entries without meaning it.
        let edat = registers["CR0"].map { $0 & 0x80_0000 != 0 } ?? true
        func space(_ bits: S390x.LinuxLeafBits) throws(Problem) -> AddressSpace<S390x> {
            do throws(RootError) {
                return try .s390x(asce: asce, edat1: edat, edat2: edat, linuxLeafBits: bits)
            } catch {
                throw Problem(reason: "\(error)")
            }
        }
        let guess = try space(.withPresent)
        let entry = firstEntry(of: guess, at: Level(1), in: contents) { entry, format in
            format.shape(of: entry, at: Level(1)) == .table
        }
        guard let entry else { return guess }
        return try space(S390x.LinuxLeafBits(segmentTableEntry: entry))
    }

    // MARK: arm

    private func arm64Paging(_ registers: Registers) throws(Problem) -> Paging {
        let tcr = try require("TCR_EL1", registers)
        let upperOnly = registers["TTBR0_EL1"] == nil
        switch upperOnly ? tcr >> 30 & 3 : tcr >> 14 & 3 {
        case 0 where !upperOnly, 2 where upperOnly: return .arm64Granule4K
        case 2 where !upperOnly, 1 where upperOnly: return .arm64Granule16K
        case 1 where !upperOnly, 3 where upperOnly: return .arm64Granule64K
        default: throw Problem(reason: "TCR_EL1 selects a reserved granule")
        }
    }

    private func arm64<Granule: Arm64Granule>(
        _ registers: Registers, _ levels: Int?, lowerTG: UInt64, upperTG: UInt64
    ) throws(Problem) -> AddressSpace<Arm64<Granule>> {
        var lower = registers["TTBR0_EL1"]
        var upper = registers["TTBR1_EL1"]
        if lower == nil && upper == nil { _ = try require("TTBR0_EL1", registers) }
        var tcr: UInt64
        if let known = registers["TCR_EL1"] {
            tcr = known
            // A half whose granule is another one is not of this format.
            if tcr >> 14 & 3 != lowerTG { lower = nil }
            if tcr >> 30 & 3 != upperTG { upper = nil }
            if lower == nil && upper == nil { throw Problem(reason: "TCR_EL1 selects another granule") }
        } else {
            let page = Int(Granule.log2Bytes)
            let bits = levels.map { min(max($0, 1), 5) * (page - 3) + page } ?? 48
            let size = UInt64(64 - min(bits, 48))
            tcr = size | size << 16 | lowerTG << 14 | upperTG << 30 | 5 << 32
        }
        let order = byteOrder ?? .little
        let mair = registers["MAIR_EL1"]
        return try rethrow { () throws(RootError) in
            try .arm64(
                Arm64<Granule>(tcr: tcr, memoryAttributes: mair, byteOrder: order), ttbr0: lower,
                ttbr1: upper, tcr: tcr)
        }
    }

    private func armShort(_ registers: Registers) throws(Problem) -> AddressSpace<ArmShort> {
        if registers["TTBR0"] == nil && registers["TTBR1"] == nil { _ = try require("TTBR0", registers) }
        let format = ArmShort(byteOrder: byteOrder ?? .little)
        return .armShort(
            format, ttbr0: registers["TTBR0"], ttbr1: registers["TTBR1"], ttbcr: registers["TTBCR"] ?? 0)
    }

    private func armLPAE(_ registers: Registers) throws(Problem) -> AddressSpace<ArmLPAE> {
        if registers["TTBR0"] == nil && registers["TTBR1"] == nil { _ = try require("TTBR0", registers) }
        let format = ArmLPAE(byteOrder: byteOrder ?? .little)
        return .armLPAE(
            format, ttbr0: registers["TTBR0"], ttbr1: registers["TTBR1"], ttbcr: registers["TTBCR"] ?? 1 << 31)
    }

    // MARK: riscv

    /// - Parameter mode: In place of the register's, where somebody named the format.
    private func riscv<Levels: Depth>(
        _ registers: Registers, mode: UInt64?
    ) throws(Problem) -> AddressSpace<RISCV<Levels>> {
        var satp = try require("satp", registers)
        if let mode { satp = satp & ~(15 << 60) | mode << 60 }
        return try rethrow { () throws(RootError) in try .riscv(satp: satp) }
    }

    private func riscv32(_ registers: Registers) throws(Problem) -> AddressSpace<RISCVSv32> {
        let satp = UInt32(truncatingIfNeeded: try require("satp", registers))
        return try rethrow { () throws(RootError) in try .riscvSv32(satp: satp | 1 << 31) }
    }

    // MARK: software-walked trees

    private func top(_ registers: Registers) throws(Problem) -> PhysicalAddress {
        PhysicalAddress(try require("PGD", registers))
    }

    // MARK: ppc64

    private func radix<Granule: PPC64PageGranule>(
        _ registers: Registers
    ) throws(Problem) -> AddressSpace<PPC64Radix<Granule>> {
        if registers["PRTE0"] == nil && registers["PRTE0_KERNEL"] == nil { _ = try require("PRTE0", registers) }
        return try rethrow { () throws(RootError) in
            try .ppc64Radix(process: registers["PRTE0"], kernel: registers["PRTE0_KERNEL"])
        }
    }

    /// The tree describes itself: the entries above its leaf tables say how large those are.
    private func radixPaging(_ registers: Registers, _ contents: MemoryImage.Contents) throws(Problem) -> Paging {
        let space: AddressSpace<PPC64Radix<PPC64Pages4K>> = try radix(registers)
        let entry = firstEntry(of: space, at: Level(1), in: contents) { entry, _ in
            PPC64RadixDirectory.nextIndexBits(of: entry) != nil
        }
        if let bits = entry.flatMap(PPC64RadixDirectory.nextIndexBits) {
            return bits == 5 ? .ppc64Radix64K : .ppc64Radix4K
        }
        return pageBytes == 4096 ? .ppc64Radix4K : .ppc64Radix64K
    }

    /// The first entry of a level for which a condition holds: what a tree says about itself.
    ///
    /// Depth first. Few entries of such a tree are used, but a hostile one may fill all of them with pointers that lead
    /// nowhere: so many are looked at and no more.
    private func firstEntry<Format: PageTableFormat>(
        of space: AddressSpace<Format>, at level: Level, in contents: MemoryImage.Contents,
        where condition: (Entry, Format) -> Bool
    ) -> Entry? {
        let format = space.format
        func search<Memory: TableMemory>(_ memory: Memory) -> Entry? {
            var budget = 1 << 16
            func search(_ table: PhysicalAddress, _ indexes: IndexLimits, _ current: Level) -> Entry? {
                for index in indexes.first...max(indexes.first, indexes.last) {
                    guard budget > 0 else { return nil }
                    budget -= 1
                    let place = PhysicalAddress(table.rawValue &+ UInt64(index * Format.entryBytes))
                    guard let entry = try? memory.load(format, place) else { return nil }
                    if current == level {
                        if condition(entry, format) { return entry }
                    } else if format.shape(of: entry, at: current) == .table {
                        let below = format.table(of: entry, at: current)
                        let limits = format.limits(below: entry, at: current)
                        if let found = search(below, limits, current.below) { return found }
                    }
                }
                return nil
            }
            for tree in space.trees where tree.topLevel >= level {
                if let found = search(tree.table, tree.limits, tree.topLevel) { return found }
            }
            return nil
        }
        switch contents {
        case .segments(let memory): return search(memory)
        case .kdump(let memory): return search(memory)
        }
    }
}
