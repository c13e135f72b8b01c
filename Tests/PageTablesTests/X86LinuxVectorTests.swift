import SeededRandom
import Testing

@testable import PageTables

private let pte = Level(0)
private let pmd = Level(1)
private let pud = Level(2)

/// Entries of x86 with what Linux means by them.
@Suite("x86 entries of Linux")
struct X86LinuxVectorTests {
    let format = X86_64()

    private func page(_ entry: LinuxEntry) -> LinuxPage? {
        if case .page(let page) = entry { return page }
        return nil
    }

    private func page(_ frame: UInt64, _ log2Bytes: Int, _ flags: LinuxPageFlags) -> LinuxEntry {
        .page(LinuxPage(frame: PhysicalAddress(frame), size: PageSize(log2Bytes: log2Bytes), flags: flags))
    }

    @Test func `a page of a process`() {
        #expect(
            format.linuxEntry(Entry(0x8000_0000_1234_5867), at: pte)
                == page(0x1234_5000, 12, [.read, .write, .user, .young, .dirty, .softDirty, .hardwareValid]))
    }

    @Test func `PROT_NONE keeps the address inverted`() {
        let small = Entry(0x000f_ffff_edcb_a120)
        #expect(format.shape(of: small, at: pte) == .invalid)
        #expect(format.linuxEntry(small, at: pte) == page(0x1234_5000, 12, [.protNone, .young]))
        #expect(X86PAE().linuxEntry(small, at: pte) == page(0x1234_5000, 12, [.protNone, .young]))

        let large = Entry(0x000f_ffff_edc0_01a0)
        #expect(format.shape(of: large, at: pmd) == .invalid)
        #expect(format.linuxEntry(large, at: pmd) == page(0x1220_0000, 21, [.protNone, .young]))
        #expect(X86PAE().linuxEntry(large, at: pmd) == page(0x1220_0000, 21, [.protNone, .young]))
    }

    @Test func `PROT_NONE of hugetlbfs inverts the low address bits of a large page too`() {
        #expect(
            format.linuxEntry(Entry(0x000f_ffff_eddf_f1a0), at: pmd) == page(0x1220_0000, 21, [.protNone, .young]))
        #expect(
            format.linuxEntry(Entry(0x000f_ffff_bfff_f1a0), at: pud) == page(0x4000_0000, 30, [.protNone, .young]))
        #expect(format.linuxEntry(Entry(0x000f_ffff_eddd_f1a0), at: pmd) == .malformed)
    }

    @Test func `PROT_NONE of encrypted and of plain memory gives the same frame`() {
        let encrypted = X86_64(encryptionMask: 1 << 51)
        #expect(
            encrypted.linuxEntry(Entry(0x0007_ffff_edcb_a120), at: pte) == page(0x1234_5000, 12, [.protNone, .young]))
        #expect(
            encrypted.linuxEntry(Entry(0x000f_ffff_edcb_a120), at: pte) == page(0x1234_5000, 12, [.protNone, .young]))
    }

    @Test func `an address wider than the processor's is none that Linux inverted`() {
        let narrow = X86_64(physicalAddressBits: 40)
        #expect(page(narrow.linuxEntry(Entry(0x000f_ffff_edcb_a120), at: pte))?.frame == PhysicalAddress(0x1234_5000))
        #expect(narrow.linuxEntry(Entry(0x0000_0000_1234_5120), at: pte) == .malformed)
    }

    @Test func `PROT_NONE keeps the address as it is where entries have 32 bits`() {
        #expect(X86TwoLevel().linuxEntry(Entry(0x1234_5120), at: pte) == page(0x1234_5000, 12, [.protNone, .young]))
        #expect(X86TwoLevel().linuxEntry(Entry(0x1240_01a0), at: pmd) == page(0x1240_0000, 22, [.protNone, .young]))
    }

    @Test func `a large page that is being split is present`() {
        // As Linux leaves it, and with the address that clearing P alone would leave.
        let split = Entry(0x000f_ffff_edc0_00e6)
        let flags: LinuxPageFlags = [.read, .write, .execute, .user, .young, .dirty, .splitting]
        #expect(format.shape(of: split, at: pmd) == .invalid)
        #expect(format.linuxEntry(split, at: pmd) == page(0x1220_0000, 21, flags))
        #expect(X86PAE().linuxEntry(split, at: pmd) == page(0x1220_0000, 21, flags))
        #expect(format.linuxEntry(Entry(0x1220_00e6), at: pmd) == page(0x000f_ffff_edc0_0000, 21, flags))
        #expect(X86TwoLevel().linuxEntry(Entry(0x1240_00e6), at: pmd) == page(0x1240_0000, 22, flags))
    }

    @Test(
        arguments: [
            (0x1fff_ffff_ffdb_9600, 3, 0x1234, []),
            (0x1fff_ffff_ffdb_960e, 3, 0x1234, [.softDirty, .userfaultWriteProtect, .exclusive]),
            (0xdfff_ffff_fdb9_7400, 27, 0x1_2345, []),
            (0xf800_0000_0000_0000, 31, 0x3_ffff_ffff_ffff, []),
            (0xffff_ffff_ffff_fe00, 31, 0, []),
            (0x1fff_ffff_ffdb_9660, 3, 0x1234, []),
        ] as [(UInt64, UInt8, UInt64, LinuxSwapFlags)])
    func `swap entries keep type and inverted offset`(
        value: UInt64, type: UInt8, offset: UInt64, flags: LinuxSwapFlags
    ) {
        let expected = LinuxEntry.swap(LinuxSwap(type: type, offset: offset, flags: flags))
        for level in [pte, pmd, pud] {
            #expect(format.linuxEntry(Entry(value), at: level) == expected)
        }
        #expect(format.shape(of: Entry(value), at: pte) == .invalid)
    }

    @Test func `swap types have the meaning of a full configuration`() {
        let types = LinuxSwapTypes()
        #expect(types.meaning(ofType: 3) == .swapFile(3))
        #expect(types.meaning(ofType: 27) == .migrationWrite)
        #expect(types.meaning(ofType: 31) == .marker)
    }

    @Test func `swap entries of 32-bit kernels`() {
        let pae = X86PAE()
        #expect(pae.linuxEntry(Entry(0x1fff_ffff_ffdb_9600), at: pte) == .swap(LinuxSwap(type: 3, offset: 0x1234)))
        #expect(
            pae.linuxEntry(Entry(0x1fff_ffff_ffdb_9680), at: pte)
                == .swap(LinuxSwap(type: 3, offset: 0x1234, flags: .exclusive)))
        let twoLevel = X86TwoLevel()
        #expect(twoLevel.linuxEntry(Entry(0x0024_6806), at: pte) == .swap(LinuxSwap(type: 3, offset: 0x1234)))
        #expect(
            twoLevel.linuxEntry(Entry(0xffff_febe), at: pte)
                == .swap(LinuxSwap(type: 31, offset: 0x7f_ffff, flags: .exclusive)))
    }

    @Test func `accessed and dirty alone are none where a processor may leave them`() {
        for value in [0, 0x20, 0x40, 0x60] as [UInt64] {
            for level in 0...3 { #expect(format.linuxEntry(Entry(value), at: Level(level)) == .none) }
            for level in 0...2 { #expect(X86PAE().linuxEntry(Entry(value), at: Level(level)) == .none) }
        }
        #expect(X86TwoLevel().linuxEntry(Entry(0), at: pte) == .none)
        #expect(X86TwoLevel().linuxEntry(Entry(0x60), at: pte) == .swap(LinuxSwap(type: 16, offset: 0)))
    }

    @Test func `a PAE pmd is none if its lower half is`() {
        let half = Entry(0x0000_0001_0000_0000)
        #expect(X86PAE().linuxEntry(half, at: pmd) == .none)
        #expect(X86PAE().linuxEntry(half, at: pte) != .none)
        #expect(X86PAE().linuxEntry(half, at: pud) == .malformed)
    }

    @Test(
        arguments: [
            (9, .special), (10, .userfaultWriteProtect), (11, .softDirty), (8, .global), (6, .dirty), (58, .dirty),
        ] as [(UInt64, LinuxPageFlags)])
    func `software bits of 64-bit kernels`(bit: UInt64, flag: LinuxPageFlags) {
        let plain: LinuxPageFlags = [.read, .execute, .user, .young, .hardwareValid]
        #expect(format.linuxEntry(Entry(0x1234_5025 | 1 << bit), at: pte) == page(0x1234_5000, 12, plain.union(flag)))
        #expect(format.linuxEntry(Entry(0x1220_00a5 | 1 << bit), at: pmd) == page(0x1220_0000, 21, plain.union(flag)))
        #expect(format.linuxEntry(Entry(0x4000_00a5 | 1 << bit), at: pud) == page(0x4000_0000, 30, plain.union(flag)))
    }

    @Test(arguments: [(9, .special), (10, .dirty), (11, []), (8, .global), (6, .dirty)] as [(UInt64, LinuxPageFlags)])
    func `software bits of 32-bit kernels`(bit: UInt64, flag: LinuxPageFlags) {
        let plain: LinuxPageFlags = [.read, .execute, .user, .young, .hardwareValid]
        let expected = page(0x1234_5000, 12, plain.union(flag))
        #expect(X86PAE().linuxEntry(Entry(0x1234_5025 | 1 << bit), at: pte) == expected)
        #expect(X86TwoLevel().linuxEntry(Entry(0x1234_5025 | 1 << bit), at: pte) == expected)
    }

    @Test func `what hardware refuses while it is present is malformed`() {
        #expect(format.linuxEntry(Entry(0x1220_20e7), at: pmd) == .malformed)
        #expect(format.linuxEntry(Entry(0x10e7), at: Level(3)) == .malformed)
        #expect(X86PAE().linuxEntry(Entry(0x1067), at: pud) == .malformed)
        #expect(X86TwoLevel().linuxEntry(Entry(0x8022_40e7), at: pmd) == .malformed)
    }

    @Test func `entries that Linux writes nowhere are malformed`() {
        // P is clear and what is left is neither a page nor swap.
        #expect(format.linuxEntry(Entry(0x1fff_ffff_ffdb_9680), at: pte) == .malformed)
        #expect(format.linuxEntry(Entry(0x000f_ffff_edcb_a120), at: pmd) == .malformed)
        #expect(format.linuxEntry(Entry(0x1fff_ffff_ffdb_9600), at: Level(3)) == .malformed)
        #expect(X86TwoLevel().linuxEntry(Entry(0x1234_5120), at: pmd) == .malformed)
    }

    @Test func `tables are tables`() {
        #expect(format.linuxEntry(Entry(0x1067), at: Level(3)) == .table)
        #expect(format.linuxEntry(Entry(0x8000_0000_0000_1067), at: Level(3)) == .table)
        #expect(format.linuxEntry(Entry(0x1067), at: pmd) == .table)
        #expect(X86PAE().linuxEntry(Entry(0x1001), at: pud) == .table)
        #expect(X86TwoLevel().linuxEntry(Entry(0x1067), at: pmd) == .table)
    }

    @Test func `a walk sees a PROT_NONE page only as Linux`() {
        let space = AddressSpace.x86LongMode(X86_64(), cr3: 0)
        let memory: VectorMemory = [0: 0x1067, 0x1000: 0x2067, 0x2000: 0x3067, 0x3000: 0x000f_ffff_edcb_a120]
        #expect(memory.outcome(space, 0x123) == .stopped(.invalid, pte))
        let seen = memory.page(space.linuxView, 0x123)
        #expect(seen?.physical == 0x1234_5123)
        #expect(seen?.rights == [])
        #expect(seen?.attributes.flags == .accessed)
    }

    @Test func `Linux's meaning of a present page agrees with hardware's for random entries`() {
        var random = SeededRandom(for: "x86 Linux")
        func compare<F: LinuxPageTableFormat>(_ format: F, _ value: UInt64, _ level: Level) {
            let entry = Entry(value)
            let replay: Comment = "\(F.self), \(entry), level \(level); \(SeededRandom.replay("X86LinuxVectorTests"))"
            let meaning = format.linuxEntry(entry, at: level)
            switch format.shape(of: entry, at: level) {
            case .leaf:
                guard let page = page(meaning) else {
                    Issue.record(replay)
                    return
                }
                let rights = format.rights(of: entry, at: level)
                #expect(page.flags.contains(.hardwareValid), replay)
                #expect(page.flags.contains(.write) == rights.canWrite, replay)
                #expect(page.flags.contains(.execute) == rights.canExecute, replay)
                #expect(page.flags.contains(.user) == rights.isUser, replay)
                #expect(page.frame == format.physical(of: entry, at: level, for: VirtualAddress(0)), replay)
            case .table: #expect(meaning == .table, replay)
            case .malformed: #expect(meaning == .malformed, replay)
            case .invalid:
                #expect(meaning != .table, replay)
                if let page = page(meaning) {
                    #expect(!page.flags.contains(.hardwareValid), replay)
                    #expect(page.flags.contains(.protNone) == page.flags.isDisjoint(with: [.read]), replay)
                    #expect(page.frame.rawValue & page.size.offsetMask == 0, replay)
                }
            }
        }
        for _ in 0..<20_000 {
            let value = random.next() & ~(random.sparse(2) & 0x000f_ffff_001f_e000)
            compare(format, value, Level(Int.random(in: 0...3, using: &random)))
            compare(
                X86PAE(), value & ~(random.sparse(1) & 0x7ff0_0000_0000_01e6),
                Level(Int.random(in: 0...2, using: &random)))
            compare(X86TwoLevel(), value & 0xffff_ffff, Level(Int.random(in: 0...1, using: &random)))
        }
    }
}
