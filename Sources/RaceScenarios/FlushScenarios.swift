import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// The steps of a flush, and what comes after it.
    static let flushes: [Scenario] = [
        Scenario(
            "flush-log-read-while-written",
            "Does a processor that looks into the log forget a range that is being written there?",
            rules: [.writeRangeBeforeNumber, .interruptKeepers, .lookAtFlushLog]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            // Not page 0: that is what an empty slot of the log says.
            try tables.mapNew(tables.pages(1), tag: 1)
            let program = try Program(tables)
            _ = try program.tag(1)
            execution.spawn(named: "program") {
                for _ in 0..<2 {
                    let tag = try program.tag(1)
                    try tables.require(tag == nil || tag == 1, "page 1 holds \(tag ?? 0)")
                }
            }
            execution.spawn(named: "owner") { try tables.unmap(1, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "flush-log-full-while-read",
            "Does a processor forget the oldest range of an almost full log, if the range's slot is used again meanwhile?",
            rules: [.recheckNumberAfterRanges, .lookAtFlushLog]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, processors: 3, format: MiniatureFormat(log2FrameBytes: 4), topLevel: Level(2))
            try tables.mapNew(tables.pages(1), tag: 1)
            for page in [2, 4] {
                try tables.addRegion(page, page + 1, .device(start: tables.devicePage(page)))
                _ = try tables.fault(page, on: 0)
            }
            let program = try Program(tables, on: 2)
            _ = try program.tag(1)
            // One range short of a full log, and page 1 is in the oldest.
            try tables.unmap(1, 1, on: 0)
            for _ in 0..<6 { try tables.unmap(0, 0, on: 0) }
            execution.spawn(named: "program") {
                let tag = try program.tag(1)
                try tables.require(tag == nil, "page 1 was unmapped, and holds \(tag ?? 0)")
            }
            for (processor, page) in [2, 4].enumerated() {
                execution.spawn(named: "walker") { _ = try tables.walkSplitting(page, page + 1, on: processor) }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "device-write-after-copy",
            "Does a processor read what a device has written to the copy of a page, as soon as it heard that the copy is there?",
            rules: [.flushBeforeEnd, .lookAtFlushLog]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, processors: 3)
            let tables = machine.tables
            let device = try ReturningDevice(tables)
            let program = try Program(tables, on: 2)
            _ = try program.tag(0)
            execution.spawn(named: "program") {
                let written = try device.written(on: 1)
                let tag = try program.tag(0)
                try tables.require(
                    written == nil || tag == written, "the device has written 7, and the processor reads \(tag ?? 9)")
            }
            execution.spawn(named: "writer") { try machine.write(2, word: 1, on: 0) }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "page-mapped-where-leaf-cleared",
            "Does a processor go to the old page by a large leaf that a walk has cleared, after another page was mapped there?",
            rules: [.invalidateClearedLeaf, .lookAtFlushLog]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, processors: 3)
            try tables.addRegion(0, 1, .device(start: tables.device))
            _ = try tables.fault(0, on: 0)
            let program = try Program(tables, on: 2)
            _ = try program.physical(of: 0)
            execution.spawn(named: "walker") { _ = try tables.walkSplitting(0, 1, on: 0) }
            execution.spawn(named: "owner") {
                let other = tables.devicePage(5)
                do throws(SpaceError<Abandoned>) {
                    try tables.space.map(tables.pages(0), to: other, tables.writable, in: tables.memory(1))
                } catch {
                    switch error {
                    case .memory(let abandoned): throw abandoned
                    // The leaf is still there.
                    case .refused: return
                    }
                }
                let found = try program.physical(of: 0)
                try tables.require(found == other, "page 0 is mapped anew, and the processor goes elsewhere")
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]
}

/// A device that looks where page 0 is when it first hears that a change is over, and writes 7 to it.
private final class ReturningDevice: InvalidationObserver, @unchecked Sendable {
    // Unchecked: an execution has one thread at a time.
    let range: VirtualRange
    private let tables: SpaceMachine<SoundStructure>
    private var hasReturned = false
    /// What it has written, for others to see.
    private let word = Word<UInt64>(PhysicalAddress(1 << 33))

    init(_ tables: SpaceMachine<SoundStructure>) throws {
        self.tables = tables
        range = tables.pages(0)
        let words = PhysicalRange(first: word.address, last: PhysicalAddress(word.address.rawValue + 7))
        try tables.memory(0).beginLife(of: words, as: .bookkeeping)
        try tables.space.add(self, in: tables.memory(0))
    }

    /// - Returns: `nil` if it has written nothing yet.
    func written(on processor: Int) throws -> UInt64? {
        let value = try tables.memory(processor).load(word, .acquire)
        return value == 0 ? nil : value
    }

    func beginInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {}

    func endInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        if hasReturned { return }
        hasReturned = true
        let found = try memory.withRCUReader { (section) throws(Memory.Failure) in
            try tables.space.view(in: section).translate(tables.address(0), in: section)
        }
        guard case .mapped(let mapping) = found else { return }
        try memory.store(7, to: Word<UInt64>(mapping.physical), .relaxed)
        try memory.store(7, to: word, .release)
    }
}
