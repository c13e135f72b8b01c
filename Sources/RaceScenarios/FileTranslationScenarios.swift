import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Programs that keep translations of a file's page, while others take it from them.
    static let fileTranslations: [Scenario] = [
        Scenario(
            "kept-write-against-writeback",
            "Does everything reach the file that a processor writes by a translation that it keeps, if it is written back meanwhile?",
            rules: [.invalidateBeforeStoring, .interruptKeepers, .lookAtFlushLog, .protectBeforeCopying],
            races: ["F12", "F13"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            var value: UInt64 = 1
            execution.spawn(named: "program") {
                for new: UInt64 in 2...3 where try machine.program.write(new, to: 0) { value = new }
            }
            execution.spawn(named: "writeback") { try machine.files.writeBack(on: 0) }
            execution.atEnd {
                try machine.files.requireStored(value)
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "kept-write-moved-against-writeback",
            "Does a write by a kept translation reach the file, if the page moves and is written back meanwhile?",
            rules: [.flushUnderLock, .interruptKeepers, .lookAtFlushLog], races: ["F2"]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            var value: UInt64 = 1
            execution.spawn(named: "program") { if try machine.program.write(2, to: 0) { value = 2 } }
            execution.spawn(named: "owner") { try machine.files.tables.move(0, 0, to: 1, on: 0) }
            execution.spawn(named: "writeback") { try machine.files.writeBack(on: 1) }
            execution.atEnd {
                try machine.files.requireStored(value)
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "kept-write-against-truncation",
            "Does a processor write to a page by a translation that it keeps, after truncation has freed the page?",
            rules: [.invalidateBeforeTruncating, .interruptKeepers, .lookAtFlushLog]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            execution.spawn(named: "program") {
                for value: UInt64 in 2...3 { _ = try machine.program.write(value, to: 0) }
            }
            execution.spawn(named: "truncation") { try machine.files.resize(to: 0, on: 0) }
            execution.atEnd { try machine.files.requireAllFree() }
        },
        Scenario(
            "kept-read-against-copy",
            "Does a processor read the file's page by a kept translation, after its space has a copy and the page was given up?",
            rules: [.flushBeforeFree, .interruptKeepers, .lookAtFlushLog]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, processors: 3)
            let program = try Program(machine.tables, on: 2)
            _ = try program.tag(0)
            execution.spawn(named: "program") {
                for _ in 0..<2 {
                    let tag = try program.tag(0)
                    try machine.tables.require(tag == 0 || tag == 2, "page 0 holds \(tag ?? 9)")
                }
            }
            execution.spawn(named: "writer") { try machine.write(2, on: 0) }
            execution.spawn(named: "reclaim") { _ = try machine.file.reclaim(in: machine.tables.memory(1)) }
            execution.atEnd {
                let tag = try program.tag(0)
                try machine.tables.require(tag == 2, "2 was written, and the processor reads \(tag ?? 9)")
                try machine.requireAllFree()
            }
        },
    ]
}
