import Foundation
import PageTables
import TableMemory

@testable import VirtualMemory

/// A device whose tables are a dictionary.
final class PlainDevice: MirroredDevice, @unchecked Sendable {
    // Unchecked: the pages are guarded by the lock.
    private let lock = NSLock()
    private var pages: [VirtualAddress: MirroredPage] = [:]
    private let pageBytes: UInt64

    init(log2PageBytes: UInt8) { pageBytes = 1 << UInt64(log2PageBytes) }

    func forget<Memory: SharedMemory>(_ range: VirtualRange, in memory: borrowing Memory) throws(Memory.Failure) {
        lock.withLock { pages = pages.filter { !range.contains($0.key) } }
    }

    func program<Memory: SharedMemory>(
        _ answers: [RangePage], from address: VirtualAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        lock.withLock {
            for (number, answer) in answers.enumerated() {
                let page = VirtualAddress(address.rawValue + UInt64(number) * pageBytes)
                if case .mapped(let found) = answer { pages[page] = found } else { pages[page] = nil }
            }
        }
    }

    /// What the device uses now.
    var table: [VirtualAddress: MirroredPage] { lock.withLock { pages } }

    /// Uses a page, if the device has it; nobody makes it forget the page meanwhile.
    @discardableResult
    func use<Result>(_ address: VirtualAddress, _ body: (MirroredPage) -> Result) -> Result? {
        lock.withLock { pages[address].map(body) }
    }
}
