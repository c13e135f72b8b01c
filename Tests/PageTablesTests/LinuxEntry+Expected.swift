@testable import PageTables

extension LinuxEntry {
    /// A page, as tests write it down.
    static func mapping(_ frame: UInt64, _ log2Bytes: Int, _ flags: LinuxPageFlags) -> LinuxEntry {
        .page(LinuxPage(frame: PhysicalAddress(frame), size: PageSize(log2Bytes: log2Bytes), flags: flags))
    }

    /// A place in swap, as tests write it down.
    static func swapped(_ type: UInt8, _ offset: UInt64, _ flags: LinuxSwapFlags = []) -> LinuxEntry {
        .swap(LinuxSwap(type: type, offset: offset, flags: flags))
    }
}
