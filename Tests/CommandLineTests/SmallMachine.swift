import Foundation

/// A machine made for a test: words of physical memory, written as an ELF core.
struct SmallMachine {
    enum Kind {
        case amd64
        case s390x

        var elfMachine: UInt16 {
            switch self {
            case .amd64: 62
            case .s390x: 22
            }
        }
        var isBigEndian: Bool { self == .s390x }
    }

    let kind: Kind
    /// 4 KiB of memory by their address.
    private(set) var pages: [UInt64: [UInt8]] = [:]

    init(_ kind: Kind) { self.kind = kind }

    /// The doubleword at a physical address, in the machine's byte order.
    subscript(address: UInt64) -> UInt64 {
        get {
            let word = pages[address & ~0xfff]?[Int(address & 0xfff)...].prefix(8) ?? []
            return (kind.isBigEndian ? Array(word) : word.reversed()).reduce(0) { $0 << 8 | UInt64($1) }
        }
        set {
            var page = pages[address & ~0xfff] ?? [UInt8](repeating: 0, count: 4096)
            let offset = Int(address & 0xfff)
            page.replaceSubrange(offset..<offset + 8, with: bytes(newValue))
            pages[address & ~0xfff] = page
        }
    }

    /// Adds memory that is all zero.
    mutating func addZeros(_ first: UInt64, bytes: UInt64) {
        for page in stride(from: first, to: first + bytes, by: 4096) where pages[page] == nil {
            pages[page] = [UInt8](repeating: 0, count: 4096)
        }
    }

    private func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: kind.isBigEndian ? value.bigEndian : value.littleEndian) { Array($0) }
    }

    /// An ELF64 core with a program header for each page.
    func elfCore() -> [UInt8] {
        let places = pages.keys.sorted()
        var file: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, kind.isBigEndian ? 2 : 1, 1] + [UInt8](repeating: 0, count: 9)
        file += bytes(UInt16(4)) + bytes(kind.elfMachine) + bytes(UInt32(1)) + bytes(UInt64(0)) + bytes(UInt64(64))
        file += bytes(UInt64(0)) + bytes(UInt32(0)) + bytes(UInt16(64)) + bytes(UInt16(56))
        file += bytes(UInt16(places.count)) + bytes(UInt16(0)) + bytes(UInt16(0)) + bytes(UInt16(0))
        let start = UInt64(64 + 56 * places.count)
        for (number, place) in places.enumerated() {
            file += bytes(UInt32(1)) + bytes(UInt32(7)) + bytes(start + UInt64(number) * 4096) + bytes(UInt64(0))
            file += bytes(place) + bytes(UInt64(4096)) + bytes(UInt64(4096)) + bytes(UInt64(0))
        }
        for place in places { file += pages[place] ?? [] }
        return file
    }

    /// The memory from 0 to the last page, as a raw file.
    func rawMemory() -> [UInt8] {
        var file: [UInt8] = []
        for place in stride(from: 0, through: pages.keys.max() ?? 0, by: 4096) {
            file += pages[place] ?? [UInt8](repeating: 0, count: 4096)
        }
        return file
    }
}

extension SmallMachine {
    /// An x86-64 machine, CR3 0x1000, with one of everything:
    ///
    ///     0x0       -> 0x5000, user, writable
    ///     0x1000       nothing
    ///     0x2000       PROT_NONE of Linux: present to it, invalid to hardware
    ///     0x200000  -> 0x400000, a 2 MiB page that user code can write and execute
    ///     0x400000     its table is not in the image
    ///     0x40000000   malformed: a 1 GiB page with address bits below its size
    ///     0xffff800000000000 -> 0x5000, kernel, read only, with another memory type
    static func x86() -> SmallMachine {
        var machine = SmallMachine(.amd64)
        machine[0x1000] = 0x2000 | 0x67
        machine[0x1000 + 256 * 8] = 0x6000 | 0x63
        machine[0x2000] = 0x3000 | 0x67
        machine[0x2008] = 0x4000_2000 | 0xe7
        machine[0x3000] = 0x4000 | 0x67
        machine[0x3008] = 0x40_0000 | 0xe7
        machine[0x3010] = 0xdead_000 | 0x67
        machine[0x4000] = 0x8000_0000_0000_5000 | 0x67
        machine[0x4010] = ~0x7000 & 0x000f_ffff_ffff_f000 | 0x100 | 0x8000_0000_0000_0000
        // Content that would do as a table: with CR3 0x6000, address 0 is at 0x9000.
        machine[0x5000] = 0x9000 | 0x67
        machine[0x6000] = 0x7000 | 0x63
        machine[0x7000] = 0x8000 | 0x63
        machine[0x8000] = 0x8000_0000_0000_5000 | 0x171 | 0x8
        return machine
    }

    /// An s390x machine, ASCE 0x1000f: five levels, whose only page is the very last of 2^64 bytes and lies at 0x30000.
    static func s390x() -> SmallMachine {
        var machine = SmallMachine(.s390x)
        machine.addZeros(0x10000, bytes: 0x11000)
        for table in stride(from: 0x10000 as UInt64, to: 0x20000, by: 0x4000) {
            // Region entries are invalid (0x20) and carry their type, but for the last of each table.
            let type: UInt64 = [0xc, 0x8, 0x4, 0x0][Int((table - 0x10000) / 0x4000)]
            for index in 0..<2047 { machine[table + UInt64(index) * 8] = type | 0x20 }
        }
        machine[0x10000 + 2047 * 8] = 0x14000 | 0xf
        machine[0x14000 + 2047 * 8] = 0x18000 | 0xb
        machine[0x18000 + 2047 * 8] = 0x1c000 | 0x7
        machine[0x1c000 + 2047 * 8] = 0x20000
        for index in 0..<255 { machine[0x20000 + UInt64(index) * 8] = 0x400 }
        machine[0x20000 + 255 * 8] = 0x30000
        return machine
    }
}
