import PageTables
import TableMemory

/// Memory of a test: pages of bytes that keep count of what is asked of them.
///
/// What was never written is absent, and so is what a test takes away.
final class WordMemory: TableMemory {
    enum Failure: Error, Hashable {
        case absent(PhysicalAddress)
        /// Memory that is there and cannot be read.
        case broken(PhysicalAddress)
    }

    /// A table that was found is known by its address.
    struct Table {
        let address: PhysicalAddress
    }

    private final class Page {
        var bytes = [UInt8](repeating: 0, count: 4096)
        var loads = [UInt16](repeating: 0, count: 4096)
    }

    private var pages: [UInt64: Page] = [:]
    private var absent: [PhysicalRange] = []
    /// Loads from here fail in a way that is no absence.
    var broken: PhysicalRange?
    /// What `table(at:bytes:)` was asked for, in order.
    private(set) var lookups: [PhysicalAddress] = []
    /// Called after each load with its address and its number at that address, from 1: the place to be another thread.
    var afterLoad: ((WordMemory, UInt64, Int) -> Void)?

    // MARK: What tests say and ask

    func write(_ entry: Entry, bytes: Int = 8, _ order: ByteOrder = .little, at address: UInt64) {
        let (page, start) = (page(address / 4096), Int(address % 4096))
        for offset in 0..<bytes {
            let shift = UInt64(8 * (order == .little ? offset : bytes - 1 - offset))
            page.bytes[start + offset] = UInt8(truncatingIfNeeded: entry.rawValue >> shift)
        }
    }

    private func page(_ number: UInt64) -> Page {
        if let page = pages[number] { return page }
        let page = Page()
        pages[number] = page
        return page
    }

    /// Whether anything was written near an address.
    func isPresent(_ address: UInt64) -> Bool { pages[address / 4096] != nil }

    /// Takes `bytes` bytes away.
    func remove(_ address: UInt64, bytes: UInt64) {
        absent.append(
            PhysicalRange(first: PhysicalAddress(address), last: PhysicalAddress(address + bytes - 1)))
    }

    /// Entries loaded from `bytes` bytes at an address, each load counted.
    func loads(of address: UInt64, bytes: UInt64 = 1) -> Int {
        (0..<bytes).reduce(0) { $0 + loadCount(address + $1) }
    }

    /// The addresses from which something was loaded, with the number of loads.
    var loads: [UInt64: Int] {
        var result: [UInt64: Int] = [:]
        for (number, page) in pages {
            for (offset, count) in page.loads.enumerated() where count > 0 {
                result[number * 4096 + UInt64(offset)] = Int(count)
            }
        }
        return result
    }

    func forgetLoads() {
        for page in pages.values { page.loads = [UInt16](repeating: 0, count: 4096) }
        lookups = []
    }

    private func loadCount(_ address: UInt64) -> Int { Int(pages[address / 4096]?.loads[Int(address % 4096)] ?? 0) }

    // MARK: What walkers ask

    func load64(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt64 {
        try load(address.rawValue, 8, order)
    }

    func load32(_ address: PhysicalAddress, _ order: ByteOrder) throws(Failure) -> UInt32 {
        UInt32(truncatingIfNeeded: try load(address.rawValue, 4, order))
    }

    func table(at address: PhysicalAddress, bytes: Int) throws(Failure) -> Table {
        lookups.append(address)
        guard bytes > 0 else { try raise(.broken(address)) }
        let last = address.rawValue &+ UInt64(bytes) &- 1
        guard last >= address.rawValue else { try raise(.absent(address)) }
        for number in address.rawValue / 4096...last / 4096 where pages[number] == nil { try raise(.absent(address)) }
        let wanted = PhysicalRange(first: address, last: PhysicalAddress(last))
        if absent.contains(where: { $0.intersection(wanted) != nil }) { try raise(.absent(address)) }
        return Table(address: address)
    }

    func load64(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt64 {
        try load(table.address.rawValue &+ UInt64(8 * index), 8, order)
    }

    func load32(_ table: Table, index: Int, _ order: ByteOrder) throws(Failure) -> UInt32 {
        UInt32(truncatingIfNeeded: try load(table.address.rawValue &+ UInt64(4 * index), 4, order))
    }

    func isAbsence(_ failure: Failure) -> Bool {
        if case .absent = failure { true } else { false }
    }

    private func load(_ address: UInt64, _ bytes: Int, _ order: ByteOrder) throws(Failure) -> UInt64 {
        let (number, offset) = (address / 4096, Int(address % 4096))
        if let broken, broken.contains(PhysicalAddress(address)) { try raise(.broken(PhysicalAddress(address))) }
        guard let page = pages[number], !absent.contains(where: { $0.contains(PhysicalAddress(address)) }) else {
            try raise(.absent(PhysicalAddress(address)))
        }
        var value: UInt64 = 0
        for index in 0..<bytes {
            value = value << 8 | UInt64(page.bytes[offset + (order == .little ? bytes - 1 - index : index)])
        }
        page.loads[offset] += 1
        afterLoad?(self, address, Int(page.loads[offset]))
        return value
    }

    @inline(never)
    private func raise(_ failure: Failure) throws(Failure) -> Never { throw failure }
}
