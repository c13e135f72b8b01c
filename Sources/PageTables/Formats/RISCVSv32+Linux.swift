// Linux on 32-bit RISC-V (v6.19, arch/riscv/include/asm/pgtable.h and pgtable-32.h).

extension RISCVSv32: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        switch shape(of: entry, at: level) {
        case .table: return .table
        case .malformed: return .malformed
        case .leaf: return linuxPage(entry, at: level)
        case .invalid: break
        }
        switch RISCVBit.linuxInvalid(entry.rawValue, at: level, tracksSoftDirty: false) {
        case .none: return .none
        case .page: return linuxPage(entry, at: level)
        case .swap(let swap): return .swap(swap)
        case .malformed: return .malformed
        }
    }

    @inlinable
    func linuxPage(_ entry: Entry, at level: Level) -> LinuxEntry {
        .page(
            LinuxPage(
                frame: physical(of: entry, at: level, for: VirtualAddress(0)),
                size: leafSize(of: entry, at: level), flags: RISCVBit.linuxFlags(entry.rawValue)))
    }
}
