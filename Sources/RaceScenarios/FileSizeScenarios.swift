import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A file's size changes, while others write to the file, write it back, or change its size too.
    static let fileSizes: [Scenario] = [
        Scenario(
            "writeback-against-truncation",
            "Does what was cut off come back, if the file is truncated and grows again while it is written back?",
            rules: [.oneChangeAtATime]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            execution.spawn(named: "writeback") { try machine.writeBack(on: 1) }
            execution.spawn(named: "truncation") {
                try machine.resize(to: 0, on: 0)
                try machine.resize(to: 16, on: 0)
            }
            execution.atEnd {
                try machine.requireStored(0)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "growth-against-truncation",
            "Is what is written to a page that a file has got back lost to a truncation that came before?",
            rules: [.oneChangeAtATime]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, isMapped: false)
            var isWritten = false
            execution.spawn(named: "truncation") { try machine.resize(to: 0, on: 0) }
            execution.spawn(named: "program") {
                try machine.resize(to: 16, on: 1)
                isWritten = try machine.writeUnlessBeyond(2, on: 1)
            }
            execution.atEnd {
                let isTruncatedLast = machine.store.bytes.isEmpty
                try machine.tables.require(isWritten || isTruncatedLast, "a page of the file cannot be written")
                if !isTruncatedLast { try machine.requireStored(2) }
                try machine.requireAllFree()
            }
        },
        Scenario(
            "closing-against-writeback",
            "Is everything in the file when it is closed, if a writeback found the dirty pages first?",
            rules: [.oneChangeAtATime]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            try machine.tables.unmap(0, 0, on: 0)
            execution.spawn(named: "writeback") { try machine.writeBack(on: 1) }
            execution.spawn(named: "closing") {
                try machine.close(on: 0)
                let stored = machine.stored()
                try machine.tables.require(stored == 1, "1 was written before, and the file has \(stored)")
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "write-at-end-against-truncation",
            "Has a file zeros behind its former end when it grows, and all in front of it, if both are written meanwhile?",
            rules: [.zeroBehindEnd, .markDirtyBeforeWritable]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared)
            execution.spawn(named: "program") { try machine.write(5 << 32 | 2, on: 1) }
            execution.spawn(named: "truncation") { try machine.resize(to: 4, on: 0) }
            execution.atEnd {
                try machine.resize(to: 16, on: 0)
                let shown = try machine.tables.content(of: 0)
                try machine.tables.require(
                    shown == 2, "2 was written in front of the end, and the page has \(shown ?? 0)")
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
    ]
}
