import Testing

@testable import PageTables

@Suite("Entries of second stages")
struct SecondStageVectorTests {
    let ept = X86EPT()
    let pt = Level(0)
    let pd = Level(1)
    let pdpt = Level(2)
    let pml4 = Level(3)

    @Test func `an EPT entry that allows nothing is not there, whatever else it holds`() {
        for level in [pt, pd, pdpt, pml4] {
            #expect(ept.shape(of: Entry(0xffff_ffff_ffff_fff8), at: level) == .invalid)
        }
        // Execution by the user counts where it is told apart.
        #expect(X86EPT(modeBasedExecute: true).shape(of: Entry(0x1000 | 0x430), at: pt) == .leaf)
        #expect(ept.shape(of: Entry(0x1000 | 0x430), at: pt) == .invalid)
    }

    @Test func `an EPT leaf has rights, a memory type, and records of its use`() {
        let entry = Entry(0x8000_0001_2345_6337)
        #expect(ept.decode(entry, at: pt).content == .leaf(PhysicalAddress(0x1_2345_6000), PageSize(log2Bytes: 12)))
        let attributes = ept.attributes(of: entry, at: pt)
        #expect(attributes.rights == .all)
        #expect(attributes.flags == [.accessed, .dirty])
        #expect(ept.memoryType(attributes.memoryTypeIndex) == .writeBack)
        #expect(ept.attributes(of: Entry(0x40_0075), at: pt).memoryTypeIndex == 14)
        #expect(ept.rights(of: Entry(0x40_0031), at: pt) == [.supervisorRead, .userRead])
        #expect(ept.rights(of: Entry(0x40_0034), at: pt) == .executes)
        let modes = X86EPT(modeBasedExecute: true)
        #expect(modes.rights(of: Entry(0x40_0035), at: pt) == [.supervisorRead, .userRead, .supervisorExecute])
        #expect(modes.rights(of: Entry(0x40_0431), at: pt) == [.supervisorRead, .userRead, .userExecute])
    }

    @Test(arguments: [(1, 21), (2, 30)])
    func `an EPT leaf of a directory is large and aligned`(number: Int, log2Bytes: Int) {
        let level = Level(number)
        let entry = Entry(0xc000_00b7)
        #expect(
            ept.decode(entry, at: level).content == .leaf(PhysicalAddress(0xc000_0000), PageSize(log2Bytes: log2Bytes)))
        #expect(ept.physical(of: entry, at: level, for: VirtualAddress(0x12_3456)) == PhysicalAddress(0xc012_3456))
        #expect(ept.malformation(of: Entry(0xc000_10b7), at: level) == .reservedBits(0x1000))
        #expect(ept.malformation(of: entry, at: pml4) == .leafAtIllegalLevel)
        #expect(ept.shape(of: Entry(0xc000_00b7), at: pt) == .leaf, "bit 7 of a leaf table's entry is ignored")
    }

    @Test func `EPT misconfigurations are malformed`() {
        for access in [2, 6] as [UInt64] {
            #expect(ept.malformation(of: Entry(0x1030 | access), at: pt) == .reservedEncoding)
            #expect(ept.malformation(of: Entry(0x1000 | access), at: pd) == .reservedEncoding)
        }
        #expect(X86EPT(executeOnly: false).malformation(of: Entry(0x1034), at: pt) == .reservedEncoding)
        for type in [2, 3, 7] as [UInt64] {
            #expect(ept.malformation(of: Entry(0x1007 | type << 3), at: pt) == .reservedEncoding)
            #expect(ept.malformation(of: Entry(0x20_0087 | type << 3), at: pd) == .reservedEncoding)
        }
        for bit in 3...6 as ClosedRange<UInt64> {
            #expect(ept.malformation(of: Entry(0x1007 | 1 << bit), at: pdpt) == .reservedBits(1 << bit))
        }
        #expect(
            X86EPT(physicalAddressBits: 40).malformation(of: Entry(1 << 40 | 0x1037), at: pt) == .reservedBits(1 << 40))
    }

    @Test func `an EPT pointer tells depth and top table`() throws {
        let space: AddressSpace<X86EPT> = try .x86EPT(eptp: 0x10_505e)
        #expect(space.lower?.table == PhysicalAddress(0x10_5000))
        #expect(space.lower?.range.last == VirtualAddress(1 << 48 - 1))
        #expect(throws: RootError.wrongMode(found: 5, expected: 4)) {
            _ = try AddressSpace<X86EPT>.x86EPT(eptp: 0x10_5066)
        }
        let deep: AddressSpace<X86EPTFiveLevel> = try .x86EPT(eptp: 0x10_5066)
        #expect(deep.lower?.range.last == VirtualAddress(1 << 57 - 1))
        let memory: VectorMemory = [0x10_5008: 0x2007, 0x2000 + 8 * 5: 0x3407, 0x3018: 0x4107, 0x4008: 0x5337]
        #expect(memory.walk(space, 1 << 39 | 5 << 30 | 3 << 21 | 0x1abc) == 0x5abc)
    }

    @Test func `the guest stage of RISC-V takes every access for a user's`() {
        let stage = RISCVSv39x4()
        #expect(stage.rights(of: Entry(0x2000_00df), at: pt) == .all)
        #expect(stage.rights(of: Entry(0x2000_00d3), at: pt) == [.supervisorRead, .userRead])
        #expect(stage.rights(of: Entry(0x2000_00cf), at: pt) == [])
        #expect(stage.attributes(of: Entry(0x2000_00ff), at: pt).flags == [.accessed, .dirty], "global is ignored")
        #expect(stage.malformation(of: Entry(0x2000_00d5), at: pt) == .reservedEncoding)
        #expect(stage.shape(of: Entry(0x401), at: pd) == .table)
    }

    @Test func `the top table of RISC-V's guest stage has 2048 entries`() throws {
        let space: AddressSpace<RISCVSv39x4> = try .riscvGuestStage(hgatp: 8 << 60 | 0x3 << 44 | 0x80207)
        #expect(space.lower?.table == PhysicalAddress(0x8020_4000))
        #expect(space.lower?.limits == IndexLimits(first: 0, last: 2047))
        #expect(space.format.tableBytes(Level(2)) == 16384)
        #expect(space.format.tableBytes(Level(1)) == 4096)
        let top: UInt64 = 0x8020_4000 + 8 * 2047
        let memory = VectorMemory([top: 0x2000_00df])
        #expect(memory.walk(space, 1 << 41 - 1) == 0xbfff_ffff)
        #expect(memory.outcome(space, 1 << 41) == .outside)
        #expect(throws: RootError.realSpace) { _ = try AddressSpace<RISCVSv39x4>.riscvGuestStage(hgatp: 0) }
        #expect(throws: RootError.wrongMode(found: 8, expected: 9)) {
            _ = try AddressSpace<RISCVSv48x4>.riscvGuestStage(hgatp: 8 << 60)
        }
    }
}
