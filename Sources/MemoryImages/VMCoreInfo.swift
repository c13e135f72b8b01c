/// VMCOREINFO: what a Linux kernel tells tools about itself, lines of `KEY=value`.
///
/// Source: kernel/crash_core.c and the architectures' `arch_crash_save_vmcoreinfo`.
public struct VMCoreInfo: Hashable, Sendable {
    /// The text as the kernel wrote it.
    public let text: String
    private let values: [String: String]

    /// Takes the lines that have an `=`. Of two lines with the same key the first counts.
    public init(_ bytes: some Collection<UInt8>) {
        let lines = bytes.prefix { $0 != 0 }
        text = String(decoding: lines, as: UTF8.self)
        var values: [String: String] = [:]
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let key = String(decoding: line[..<equals], as: UTF8.self)
            if values[key] == nil {
                values[key] = String(decoding: line[line.index(after: equals)...], as: UTF8.self)
            }
        }
        self.values = values
    }

    /// The value of a whole key: `OSRELEASE`, `CONFIG_X86_PAE`.
    public subscript(key: String) -> String? { values[key] }

    /// `SYMBOL(name)`: the virtual address of a symbol.
    public func symbol(_ name: String) -> UInt64? { hex("SYMBOL(\(name))") }

    /// `NUMBER(name)`: decimal, perhaps negative, or hexadecimal after `0x`. A number that needs all 64 bits, as
    /// addresses do, comes as the negative number with the same bits.
    public func number(_ name: String) -> Int64? {
        guard let value = values["NUMBER(\(name))"] else { return nil }
        if value.hasPrefix("0x") { return UInt64(value.dropFirst(2), radix: 16).map { Int64(bitPattern: $0) } }
        return Int64(value) ?? UInt64(value).map { Int64(bitPattern: $0) }
    }

    /// A whole key whose value is hexadecimal, with or without `0x`: `KERNELOFFSET`.
    public func hex(_ key: String) -> UInt64? {
        guard let value = values[key] else { return nil }
        return UInt64(value.hasPrefix("0x") ? value.dropFirst(2) : Substring(value), radix: 16)
    }

    /// A whole key whose value is decimal: `PAGESIZE`, `SIZE(page)`, `OFFSET(page.flags)`, `LENGTH(mem_section)`.
    public func decimal(_ key: String) -> Int64? { values[key].flatMap { Int64($0) } }
}
