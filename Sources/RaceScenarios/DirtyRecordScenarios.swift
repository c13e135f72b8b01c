import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Those who look which pages of a file were written, with the space's lock held for reading.
    static let dirtyRecords: [Scenario] = [
        Scenario(
            "page-protected-by-two",
            "Does a processor write to a page after the right was taken away by one of two who found it taken already?",
            rules: [.announceFlush, .flushWholeRangeWhenNested, .lookAtFlushLog], races: ["F4"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            execution.spawn(named: "first") { _ = try machine.writeProtect(on: 0) }
            execution.spawn(named: "second") {
                _ = try machine.writeProtect(on: 1)
                let isWritten = try machine.program.write(2, to: 0)
                try machine.require(!isWritten, "page 0 is written after it was protected")
            }
            execution.atEnd { try machine.files.requireAllFree() }
        },
        Scenario(
            "page-protected-while-others-end",
            "Does a flush that ends hide another one, that of an entry which is found protected already?",
            rules: [.countFlushes, .announceFlush, .flushWholeRangeWhenNested], races: ["F7"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            let tables = machine.files.tables
            // Nobody uses page 1: who looks at it has nothing to do, and leaves page 0 in the processor.
            try tables.addRegion(1, 1, .file(FileView(machine.files.file, .shared)))
            execution.spawn(named: "first") { try machine.writeProtect(0, on: 0) }
            execution.spawn(named: "second") {
                try machine.writeProtect(1, on: 1)
                try machine.writeProtect(0, on: 1)
                let isWritten = try machine.program.write(3, to: 0)
                try machine.require(!isWritten, "page 0 is written after it was protected")
            }
            execution.atEnd { try machine.files.requireAllFree() }
        },
        Scenario(
            "page-cleaned-by-two",
            "Is it recorded that a page is written after one of two who clean it was told that it is clean?",
            rules: [.announceFlush, .flushWholeRangeWhenNested]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            execution.spawn(named: "first") { _ = try machine.cleanAndRecord(on: 0) }
            execution.spawn(named: "second") {
                // Who finds the page clean comes after the first, which does not touch it again.
                if try machine.cleanAndRecord(on: 1) { return }
                _ = try machine.program.write(2, to: 0)
                try machine.requireRecorded(on: 1)
            }
            execution.atEnd { try machine.files.requireAllFree() }
        },
        Scenario(
            "write-against-cleaning",
            "Is every write recorded that comes after a page was cleaned, by a processor that writes all the time?",
            rules: [.interruptKeepers, .lookAtFlushLog], races: ["F13"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            var cleaned: UInt64?
            execution.spawn(named: "program") {
                for value: UInt64 in 2...3 { _ = try machine.program.write(value, to: 0) }
            }
            execution.spawn(named: "cleaner") {
                let isRecorded = try machine.cleanAndRecord(on: 0)
                try machine.require(isRecorded, "page 0 was written before, and nobody says so")
                cleaned = try machine.files.tables.content(of: 0)
            }
            execution.atEnd {
                let content = try machine.files.tables.content(of: 0)
                if content != cleaned { try machine.requireRecorded(on: 0) }
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "write-against-write-protection",
            "Is it recorded that a clean page is written while the right to do so is taken away?",
            rules: [.changeEntryAtomically, .recordUseAtomically], races: ["F12"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            _ = try machine.cleanAndRecord(on: 0)
            var isWritten = false
            execution.spawn(named: "program") { isWritten = try machine.program.write(2, to: 0) }
            execution.spawn(named: "protector") { _ = try machine.writeProtect(on: 0) }
            execution.atEnd {
                if isWritten { try machine.requireRecorded(on: 0) }
                let isWrittenLate = try machine.program.write(3, to: 0)
                try machine.require(!isWrittenLate, "page 0 is written after it was protected")
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "page-protected-while-unmapped",
            "Does a processor write to a page of a file after the file was protected, if the space was leaving it meanwhile?",
            rules: [.flushBeforeLeavingFile, .lookAtFlushLog], races: ["F9"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            execution.spawn(named: "owner") { try machine.files.tables.unmap(0, 0, on: 0) }
            execution.spawn(named: "protector") {
                _ = try machine.writeProtect(on: 1)
                let isWritten = try machine.program.write(2, to: 0)
                try machine.require(!isWritten, "page 0 is written after it was protected")
            }
            execution.atEnd { try machine.files.requireAllFree() }
        },
        Scenario(
            "device-write-against-cleaning",
            "Is every write recorded that a device makes after a page was cleaned?",
            rules: [.recordWriteBeforeDevice, .waitForInvalidations, .recheckSequenceUnderMirrorLock]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            let device = try MirroringDevice(machine.files.tables, machine.files.tables.pages(0))
            var cleaned: UInt64?
            execution.spawn(named: "driver") {
                guard try device.program(0, for: [.fault, .write], on: 1) else { return }
                _ = try device.write(2, to: 0, on: 1)
            }
            execution.spawn(named: "cleaner") {
                _ = try machine.cleanAndRecord(on: 0)
                cleaned = try machine.files.tables.content(of: 0)
            }
            execution.atEnd {
                let content = try machine.files.tables.content(of: 0)
                if content != cleaned { try machine.requireRecorded(on: 0) }
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "cleaning-in-retracted-table",
            "Is a table read that is taken back, by who looks which pages were written with the lock for reading?",
            rules: [.blockTableFreeing, .deferTableFree], races: ["D9"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared)
            try machine.tables.unmap(0, 0, on: 0)
            try machine.tables.addRegion(0, 0, .file(FileView(machine.file, .shared)))
            execution.spawn(named: "cleaner") {
                var written = PageBitmap(0...0)
                let count = try machine.file.cleanAndRecord(0...0, into: &written, in: machine.tables.memory(1))
                try machine.tables.require(count == 0 && written.isEmpty, "page 0 is not mapped")
            }
            execution.spawn(named: "retraction") {
                _ = try machine.tables.memory(0).withReadLock(machine.tables.space.words.lock) {
                    (lock) throws(Abandoned) in
                    try machine.tables.space.reclaimEmptyTables(in: machine.tables.pages(0, 1), lock: lock)
                }
            }
            execution.atEnd { try machine.requireAllFree() }
        },
    ]
}

/// A shared mapping of a file of one page, and a processor that has written 1 to it.
final class DirtyRecordMachine {
    let files: FileMachine
    let program: Program<SoundStructure>

    init(_ execution: Execution, _ variation: Variation, reclaiming policy: ReclaimPolicy = .rcu) throws {
        files = try FileMachine(
            execution, variation, .shared, isMapped: false, processors: 3, reclaiming: policy)
        program = try Program(files.tables, on: 2)
        try program.writeFaulting(1, to: 0)
    }

    /// - Returns: Whether the page is said to have been written, and its entry cannot say so any more.
    func writeProtect(on processor: Int) throws -> Bool {
        var written = PageBitmap(0...0)
        try files.file.writeProtect(0...0, into: &written, in: files.tables.memory(processor))
        return written.contains(0)
    }

    /// As `writeProtect(on:)`, for what the space has at a page.
    func writeProtect(_ page: Int, on processor: Int) throws {
        let tables = files.tables
        var written = PageBitmap(UInt64(page)...UInt64(page))
        try tables.memory(processor).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
            _ = try tables.space.writeProtect(tables.pages(page), into: &written, lock: lock)
        }
    }

    /// - Returns: Whether the page is said to have been written.
    func cleanAndRecord(on processor: Int) throws -> Bool {
        var written = PageBitmap(0...0)
        try files.file.cleanAndRecord(0...0, into: &written, in: files.tables.memory(processor))
        return written.contains(0)
    }

    func requireRecorded(on processor: Int) throws {
        guard let leaf = try files.tables.leaf(of: 0, on: processor) else {
            try files.tables.machine.violate("page 0 is not mapped")
        }
        let isDirty = files.tables.format.attributes(of: leaf, at: .leafTable).flags.contains(.dirty)
        try require(isDirty, "page 0 is written, and nothing says so")
    }

    func require(_ condition: Bool, _ property: @autoclosure () -> String) throws {
        try files.tables.require(condition, property())
    }
}
