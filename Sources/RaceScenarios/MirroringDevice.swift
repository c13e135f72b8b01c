import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

/// A device with tables of its own, and the mirror that fills them. It uses its tables with its own lock held, so that it can be
/// told to use no page of a range.
final class MirroringDevice: MirroredDevice, @unchecked Sendable {
    // Unchecked: an execution has one thread at a time.
    private let tables: SpaceMachine<SoundStructure>
    private let lock: TicketLock
    private var pages: [VirtualAddress: MirroredPage] = [:]
    private var mirror: DeviceMirror<MirroringDevice>?

    /// - Parameter range: What of the space it mirrors.
    init(_ tables: SpaceMachine<SoundStructure>, _ range: VirtualRange) throws {
        self.tables = tables
        let words = PhysicalRange(first: PhysicalAddress(1 << 34), last: PhysicalAddress(1 << 34 | 0x7f))
        try tables.memory(0).beginLife(of: words, as: .bookkeeping)
        lock = TicketLock(at: PhysicalAddress(1 << 34 | 0x40))
        let mirror = DeviceMirror(range, of: self, words: MirrorWords(at: words.first))
        self.mirror = mirror
        try tables.space.add(mirror, in: tables.memory(0))
    }

    // MARK: the driver

    /// Has the device use a page, with a fault if it has to be.
    ///
    /// - Returns: False if the space has nothing there.
    func program(_ page: Int, for demand: PageDemand, on processor: Int) throws -> Bool {
        guard let mirror else { return false }
        let request = RangeRequest(
            tables.pages(page), log2PageBytes: tables.format.log2FrameBytes, standard: demand)
        do throws(SpaceError<Abandoned>) {
            try tables.space.program(mirror, request, in: tables.memory(processor))
            return true
        } catch {
            switch error {
            case .memory(let abandoned): throw abandoned
            case .refused(.notMapped): return false
            case .refused(let refusal): try tables.machine.violate("the device is refused page \(page): \(refusal)")
            }
        }
    }

    func forget<Memory: SharedMemory>(
        _ range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.withLock(lock) { (_) throws(Memory.Failure) in
            pages = pages.filter { !range.contains($0.key) }
        }
    }

    func program<Memory: SharedMemory>(
        _ answers: [RangePage], from address: VirtualAddress, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.withLock(lock) { (_) throws(Memory.Failure) in
            for (number, answer) in answers.enumerated() {
                let page = VirtualAddress(address.rawValue + UInt64(number) * tables.pageBytes)
                if case .mapped(let found) = answer { pages[page] = found } else { pages[page] = nil }
            }
        }
    }

    // MARK: the device

    /// Reads a page; `nil` if the device's tables have none.
    func read(_ page: Int, on processor: Int) throws -> UInt64? {
        let memory = tables.memory(processor)
        return try memory.withLock(lock) { (_) throws(Abandoned) in
            guard let found = pages[tables.address(page)] else { return nil }
            return try memory.load(Word<UInt64>(found.physical), .relaxed)
        }
    }

    /// - Returns: Whether the device's tables let it write.
    func write(_ value: UInt64, to page: Int, on processor: Int) throws -> Bool {
        let memory = tables.memory(processor)
        return try memory.withLock(lock) { (_) throws(Abandoned) in
            guard let found = pages[tables.address(page)], found.isWritable else { return false }
            try memory.store(value, to: Word(found.physical), .relaxed)
            return true
        }
    }
}
