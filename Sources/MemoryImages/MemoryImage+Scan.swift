import PageTables

extension MemoryImage {
    /// Looks for the kernel's VMCOREINFO text in memory, for images whose producer left out the note (QEMU's of riscv, ppc64,
    /// s390x and arm; raw memory).
    ///
    /// Linux keeps the text at the start of a page of its own, and a copy in another behind the header of an ELF note
    /// (`crash_save_vmcoreinfo_init`, kernel/vmcore_info.c).
    /// - Complexity: One look at each page of the image, compressed pages left out: they would all be decompressed.
    func scanForVMCoreInfo() -> VMCoreInfo? {
        guard case .segments(let memory) = contents else { return nil }
        let start = Array("OSRELEASE=".utf8)
        let shortest: UInt64 = 24
        let pageBytes: UInt64 = 4096
        for range in memory.ranges {
            let (rounded, overflow) = range.first.rawValue.addingReportingOverflow(pageBytes - 1)
            if overflow { break }
            var page = rounded & ~(pageBytes - 1)
            while page <= range.last.rawValue && range.last.rawValue - page >= shortest {
                // One word is compared before any bytes are copied.
                for (offset, first, header) in [(0, Self.textWord, 0), (12, Self.noteWord, 24)]
                    as [(UInt64, UInt64, Int)]
                {
                    guard let word = try? memory.load64(PhysicalAddress(page + offset), .big), word == first else {
                        continue
                    }
                    let bytes = memory.bytes(at: PhysicalAddress(page), count: Int(pageBytes)).dropFirst(header)
                    let text = VMCoreInfo(bytes.prefix { $0 != 0 })
                    if text.text.utf8.starts(with: start), text.symbol("swapper_pg_dir") != nil { return text }
                }
                let (next, overflow) = page.addingReportingOverflow(pageBytes)
                if overflow { break }
                page = next
            }
        }
        return nil
    }

    private static let textWord = word("OSRELEAS")
    private static let noteWord = word("VMCOREIN")

    private static func word(_ text: String) -> UInt64 { text.utf8.reduce(0) { $0 << 8 | UInt64($1) } }
}
