import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Processors keep translations while the space changes.
    static let translations: [Scenario] = [
        Scenario(
            "page-freed-under-translation",
            "Does a processor use a page by a translation that it keeps, after the page was unmapped and freed?",
            rules: [.flushBeforeFree, .interruptKeepers, .lookAtFlushLog, .blockTableFreeing], races: ["F9"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for _ in 0..<2 {
                    let tag = try program.tag(0)
                    try tables.require(tag == nil || tag == 1, "page 0 holds \(tag ?? 0)")
                }
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 0, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "page-freed-without-batch",
            "Is a page that is freed at once, because there is no memory to note it, flushed before?",
            rules: [.flushWhenBatchFails]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, failing: [.batch])
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for _ in 0..<2 { _ = try program.tag(0) }
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 0, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "table-freed-under-kept-way",
            "Does a processor go through a table that it keeps the way to, after the table was freed without a batch?",
            rules: [.flushWhenBatchFails, .lookAtFlushLog], races: ["D8"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, reclaiming: .direct, failing: [.batch])
            try tables.mapDevice(0, 1)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for page in 0..<2 {
                    let found = try program.physical(of: page)
                    try tables.require(found == nil || found == tables.devicePage(page), "page \(page) is elsewhere")
                }
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "table-taken-back-under-kept-way",
            "Does a processor go through an empty table that it keeps the way to, after the table was taken back?",
            rules: [.flushBeforeFree, .lookAtFlushLog], races: ["D9"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 0)
            try tables.unmap(0, 0, on: 0)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for page in 0..<2 {
                    try tables.require(try program.physical(of: page) == nil, "page \(page) is mapped")
                }
            }
            execution.spawn(named: "owner") {
                _ = try tables.memory(0).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
                    try tables.space.reclaimEmptyTables(in: tables.pages(0, 1), lock: lock)
                }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "table-moved-over-kept-way",
            "Does a processor go through an empty table that it keeps the way to, after a table that moved took its place?",
            rules: [.lookAtFlushLog]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 2)
            try tables.unmap(2, 2, on: 0)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for page in 2..<4 {
                    let found = try program.physical(of: page)
                    let isRight = found == nil || found == tables.devicePage(page - 2)
                    try tables.require(isRight, "page \(page) is elsewhere")
                }
            }
            execution.spawn(named: "owner") { try tables.move(0, 1, to: 2, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "page-moved-under-translation",
            "Is a page that moved, and was unmapped and freed at its new address, used by its old one?",
            rules: [.flushUnderLock], races: ["F1"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, processors: 3)
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables, on: 2)
            execution.spawn(named: "mover") { try tables.move(0, 0, to: 1, on: 0) }
            execution.spawn(named: "owner") { try tables.unmap(1, 1, on: 1) }
            execution.spawn(named: "program") {
                for _ in 0..<2 { _ = try program.tag(0) }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "write-recorded-while-protected",
            "Is it recorded that a page was written while another thread took the right to write away?",
            rules: [.changeEntryAtomically, .recordUseAtomically], races: ["F12"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") { _ = try program.write(2, to: 0) }
            execution.spawn(named: "owner") {
                try tables.space.protect(
                    tables.pages(0), tables.format.attributes(.read).rights, in: tables.memory(0))
            }
            execution.atEnd {
                try tables.requireRecorded(0, unless: 1)
                guard let leaf = try tables.leaf(of: 0) else { return }
                let rights = tables.format.rights(of: leaf, at: .leafTable)
                try tables.require(!rights.canWrite, "a page can be written that was protected")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "write-after-protect",
            "Does a processor write to a page after the right to do so was taken away?",
            rules: [.interruptKeepers, .lookAtFlushLog], races: ["F4"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") {
                for value: UInt64 in 2...3 { _ = try program.write(value, to: 0) }
            }
            execution.spawn(named: "owner") {
                try tables.space.protect(
                    tables.pages(0), tables.format.attributes(.read).rights, in: tables.memory(0))
                let before = try tables.content(of: 0)
                let after = try tables.content(of: 0)
                try tables.require(before == after, "page 0 changes after it was protected")
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "write-recorded-while-moved",
            "Is it recorded that a page was written while it moved?",
            rules: [.changeEntryAtomically, .recordUseAtomically], races: ["F2"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") { _ = try program.write(2, to: 0) }
            execution.spawn(named: "owner") { try tables.move(0, 0, to: 1, on: 0) }
            execution.atEnd {
                try tables.requireRecorded(1, unless: 1)
                try tables.require(try tables.physical(of: 0) == nil, "page 0 is mapped again")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "write-recorded-while-split",
            "Is it recorded that a large page was written while another thread split it, with the lock for reading?",
            rules: [.changeEntryAtomically, .recordUseAtomically], races: ["F12"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0, 1), order: 1, tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") { _ = try program.write(5, to: 0) }
            execution.spawn(named: "walker") {
                let pages = try tables.walkSplitting(0, 1, on: 0)
                try tables.require(pages == SplitPages(small: 2), "a walk that splits finds \(pages)")
            }
            execution.atEnd {
                try tables.requireRecorded(0, unless: 1)
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "write-recorded-while-device-leaf-split",
            "Is it recorded that a device's large page was written while a walk split it, which clears what faults map again?",
            rules: [.changeEntryAtomically], races: ["F12"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.addRegion(0, 1, .device(start: tables.devicePage(0)))
            _ = try tables.fault(0, on: 0)
            let program = try Program(tables)
            var isWritten = false
            execution.spawn(named: "program") { isWritten = try program.physical(of: 0, for: .write) != nil }
            execution.spawn(named: "walker") { _ = try tables.walkSplitting(0, 1, on: 0) }
            execution.atEnd {
                let leaf = try tables.leaf(of: 0)
                let isDirty = leaf.map { tables.format.attributes(of: $0, at: .leafTable).flags.contains(.dirty) }
                try tables.require(!isWritten || isDirty == true, "page 0 was written, and nothing says so")
                try tables.require(isWritten || leaf == nil, "page 0 is mapped, and nobody has used it")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "write-recorded-while-split-for-unmap",
            "Is it recorded that a large page was written while part of it was unmapped?",
            rules: [.changeEntryAtomically, .recordUseAtomically], races: ["F12"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0, 1), order: 1, tag: 1)
            let program = try Program(tables)
            execution.spawn(named: "program") { _ = try program.write(5, to: 0) }
            execution.spawn(named: "owner") { try tables.unmap(1, 1, on: 0) }
            execution.atEnd {
                try tables.requireRecorded(0, unless: 1)
                try tables.require(try tables.physical(of: 1) == nil, "page 1 is mapped again")
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "page-freed-under-observer",
            "Does a device use a page by what it made of a translation, after the page was unmapped and freed?",
            rules: [.tellObserversFirst]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let device = try ObservingDevice(tables)
            execution.spawn(named: "device") {
                let tag = try device.tag(on: 1)
                try tables.require(tag == nil || tag == 1, "page 0 holds \(tag ?? 0)")
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 0, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
        Scenario(
            "write-kept-while-collapsed",
            "Is what a processor writes in the large page that took the place of small ones?",
            rules: [.clearBeforeCollapse, .interruptKeepers, .lookAtFlushLog], races: ["C5"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(
                execution, variation, format: MiniatureFormat(log2FrameBytes: 4))
            for page in 0..<2 { try tables.mapNew(tables.pages(page), tag: UInt64(page)) }
            let program = try Program(tables)
            var written: UInt64 = 0
            execution.spawn(named: "program") {
                for value: UInt64 in 8...9 where try program.write(value, to: 0) { written = value }
            }
            execution.spawn(named: "owner") {
                try tables.collapseIfPossible(0, on: 0)
            }
            execution.atEnd {
                try tables.require(try tables.content(of: 0) == written, "what was written last is not there")
                try tables.requireTablesFree()
            }
        },
    ]
}

/// A device that knows where a page is until it is told otherwise.
private final class ObservingDevice: InvalidationObserver, @unchecked Sendable {
    // Unchecked: an execution has one thread at a time.
    let range: VirtualRange
    private let lock: TicketLock
    private var page: PhysicalAddress?
    private let tables: SpaceMachine<SoundStructure>

    init(_ tables: SpaceMachine<SoundStructure>) throws {
        self.tables = tables
        range = tables.pages(0)
        let words = PhysicalRange(first: PhysicalAddress(1 << 33), last: PhysicalAddress(1 << 33 | 7))
        try tables.memory(0).beginLife(of: words, as: .bookkeeping)
        lock = TicketLock(at: words.first)
        page = try tables.physical(of: 0)
        try tables.space.add(self, in: tables.memory(0))
    }

    func tag(on processor: Int) throws -> UInt64? {
        let memory = tables.memory(processor)
        return try memory.withLock(lock) { (_) throws(Abandoned) in
            guard let page else { return nil }
            return try memory.load(Word<UInt64>(page), .relaxed)
        }
    }

    func beginInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.withLock(lock) { (_) throws(Memory.Failure) in page = nil }
    }

    func endInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure) {}
}
