// Linux on 64-bit RISC-V (v6.19, arch/riscv/include/asm/pgtable.h and pgtable-64.h).

extension RISCV: LinuxPageTableFormat {
    @inlinable
    public func linuxEntry(_ entry: Entry, at level: Level) -> LinuxEntry {
        let value = entry.rawValue
        switch shape(of: entry, at: level) {
        case .table: return .table
        case .malformed: return .malformed
        case .leaf: return linuxPage(entry, at: level)
        case .invalid: break
        }
        switch RISCVBit.linuxInvalid(value, at: level, tracksSoftDirty: softwareBits59And60) {
        case .none: return .none
        case .page: return linuxPage(entry, at: level)
        case .swap(let swap): return .swap(swap)
        case .malformed: return .malformed
        }
    }

    @inlinable
    func linuxPage(_ entry: Entry, at level: Level) -> LinuxEntry {
        var flags = RISCVBit.linuxFlags(entry.rawValue)
        if softwareBits59And60 {
            if entry.rawValue & 1 << 59 != 0 { flags.insert(.softDirty) }
            if entry.rawValue & 1 << 60 != 0 { flags.insert(.userfaultWriteProtect) }
        }
        return .page(
            LinuxPage(
                frame: physical(of: entry, at: level, for: VirtualAddress(0)),
                size: leafSize(of: entry, at: level), flags: flags))
    }
}
