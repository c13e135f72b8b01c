import PageTables
import TableMemory
import VirtualMemory

/// A device of a round, whose tables are a dictionary.
final class StressDevice: MirroredDevice {
    private let pages = Guarded([VirtualAddress: MirroredPage]())
    private let pageBytes: UInt64

    init(pageBytes: UInt64) { self.pageBytes = pageBytes }

    /// Waits for whoever uses a page.
    func forget<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        pages.withLock { pages in
            for page in pages.keys where range.contains(page) { pages[page] = nil }
        }
    }

    func program<Memory: SharedMemory>(
        _ answers: [RangePage], from address: VirtualAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        pages.withLock { pages in
            for (number, answer) in answers.enumerated() {
                let page = VirtualAddress(address.rawValue + UInt64(number) * pageBytes)
                if case .mapped(let found) = answer { pages[page] = found } else { pages[page] = nil }
            }
        }
    }

    /// Uses a page, if the device has it; nobody makes it forget the page meanwhile.
    func use(_ page: VirtualAddress, _ body: (MirroredPage) -> Void) {
        pages.withLock { pages in
            if let found = pages[page] { body(found) }
        }
    }

    var table: [VirtualAddress: MirroredPage] { pages.withLock { $0 } }
}
