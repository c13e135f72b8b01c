import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A page of a file that is shown in several places, and places that come and go, while the file looks for them.
    static let reverseMaps: [Scenario] = [
        Scenario(
            "two-regions-against-writeback",
            "Does every write reach the file, if a space shows the page twice and it is written at the other place?",
            rules: [.markDirtyBeforeWritable, .protectBeforeCopying, .cleanBeforeProtecting], races: ["F12", "F13"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            try machine.show(at: 1)
            execution.spawn(named: "program") { try machine.write(2, at: 1, on: 1) }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "two-spaces-against-writeback",
            "Does every write reach the file, if two spaces show the page and it is written in the other one?",
            rules: [.markDirtyBeforeWritable, .protectBeforeCopying, .cleanBeforeProtecting], races: ["F12", "F13"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, spaces: 2)
            try machine.show(at: 0, in: 1)
            execution.spawn(named: "program") { try machine.write(2, in: 1, on: 1) }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "space-joins-against-writeback",
            "Does every write reach the file, if the writer's space comes to show the file while it is written back?",
            rules: [.markDirtyBeforeWritable, .protectBeforeCopying, .cleanBeforeProtecting]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, spaces: 2)
            execution.spawn(named: "program") {
                try machine.show(at: 0, in: 1, on: 1)
                try machine.write(2, in: 1, on: 1)
            }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "space-torn-down-against-writeback",
            "Is a space locked that was torn down after a writeback has noted that it shows the file?",
            rules: [.waitForVisits]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, spaces: 2)
            try machine.show(at: 0, in: 1)
            execution.spawn(named: "owner") { try machine.tearDownLast(on: 1) }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(1)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "space-torn-down-against-truncation",
            "Is a space locked that was torn down after a truncation has noted that it showed the file?",
            rules: [.waitForVisits]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, spaces: 2)
            try machine.show(at: 0, in: 1)
            execution.spawn(named: "owner") {
                // The file has forgotten the space when it is torn down.
                try machine.unmap(0, in: 1, on: 1)
                try machine.tearDownLast(on: 1)
            }
            execution.spawn(named: "truncation") { try machine.resize(to: 0, on: 0) }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "space-torn-down-against-cleaning",
            "Is a space locked that was torn down after somebody has noted it who looks what was written to the file?",
            rules: [.waitForVisits]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, spaces: 2)
            try machine.show(at: 0, in: 1)
            execution.spawn(named: "owner") { try machine.tearDownLast(on: 1) }
            execution.spawn(named: "cleaner") {
                var written = PageBitmap(0...0)
                try machine.file.cleanAndRecord(0...0, into: &written, in: machine.tables.memory(0))
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "space-leaves-against-writeback",
            "Does every write reach the file, if the writer's space shows the file no more while it is written back?",
            rules: [.markDirtyBeforeWritable, .protectBeforeCopying, .cleanBeforeProtecting]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, spaces: 2)
            try machine.show(at: 0, in: 1)
            execution.spawn(named: "program") {
                try machine.write(2, in: 1, on: 1)
                try machine.unmap(0, in: 1, on: 1)
            }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
    ]
}
