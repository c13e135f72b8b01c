import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Accesses of processors that fault, while what their faults give is taken away again.
    static let accesses: [Scenario] = [
        Scenario(
            "access-while-write-protected",
            "Is a program refused an access that its region allows, or its write forgotten, while the right is taken away?",
            rules: [.changeEntryAtomically]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            _ = try machine.cleanAndRecord(on: 0)
            _ = try machine.writeProtect(on: 0)
            execution.spawn(named: "program") { try machine.program.writeFaulting(2, to: 0) }
            execution.spawn(named: "protector") { try machine.writeProtect(0, on: 0) }
            execution.atEnd {
                try machine.requireRecorded(on: 0)
                try machine.files.requireStored(2)
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "access-to-freed-table",
            "Does an access that faults again and again read a table that was freed, for which only its own sections are waited?",
            rules: [.blockTableFreeing]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation, reclaiming: .direct)
            _ = try machine.writeProtect(on: 0)
            // What it is refused does not matter.
            execution.spawn(named: "program") { _ = try machine.program.tryWriting(2, to: 0) }
            execution.spawn(named: "owner") {
                try machine.writeProtect(0, on: 0)
                try machine.files.tables.unmap(0, 1, on: 0)
            }
            execution.atEnd { try machine.files.requireAllFree() }
        },
    ]
}
