import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A page of a file in a private region is copied, and its file gives it up: all of it with the space's lock held for reading
    /// at most.
    static let copies: [Scenario] = [
        Scenario(
            "slow-pin-against-copy",
            "Does a pin under the lock get the page that is mapped, if it is copied and its frame used again meanwhile?",
            rules: [.recheckEntryAfterLockedPin]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, frames: 5)
            // Something else keeps the table, and a pin without the lock does not find the page.
            try machine.tables.mapDevice(1, 1)
            try machine.tables.unmap(0, 0, on: 0)
            try machine.tables.addRegion(0, 0, .file(FileView(machine.file, .private)))
            execution.spawn(named: "reader") { try machine.requirePin(longTerm: false, on: 1) }
            execution.spawn(named: "program") { try machine.copyAndReuse(on: 0) }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "slow-long-term-pin-against-copy",
            "Is a page pinned for long that was found to be no file's because its frame had been used again?",
            rules: [.recheckEntryAfterLockedPin]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, frames: 6)
            execution.spawn(named: "reader") { try machine.requirePin(longTerm: true, on: 1) }
            execution.spawn(named: "program") { try machine.copyAndReuse(on: 0) }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "copies-against-reclaim",
            "Can two programs write to a private page at once, if its file gives it up as soon as one has its copy?",
            rules: [.keepPageWhileCopying, .recheckEntryBeforeDenial]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, frames: 5)
            execution.spawn(named: "program") { try machine.write(1, word: 0, on: 1) }
            execution.spawn(named: "other program") {
                try machine.write(2, word: 1, on: 0)
                _ = try machine.file.reclaim(in: machine.tables.memory(0))
            }
            execution.atEnd {
                guard let page = try machine.tables.physical(of: 0) else { return }
                for word in 0...1 {
                    let place = PhysicalAddress(page.rawValue + UInt64(8 * word))
                    let value = try machine.tables.memory(0).load(Word<UInt64>(place), .relaxed)
                    try machine.tables.require(value == UInt64(word + 1), "what was written to word \(word) is lost")
                }
                try machine.requireAllFree()
            }
        },
    ]
}

extension FileMachine {
    /// Pins the page for reading, whatever it takes, and looks whether it is the file's or the program's copy.
    fileprivate func requirePin(longTerm: Bool, on processor: Int) throws {
        guard let pin = try pin(for: .read, longTerm: longTerm, on: processor) else {
            try tables.machine.violate("the page is not pinned")
        }
        let value = try load(through: pin, on: processor)
        try tables.require(value == 0 || value == 2, "the pinned page has \(value)")
        try unpin(pin, on: processor)
    }

    /// The program writes 2; the file gives its page up, and somebody uses the frame.
    fileprivate func copyAndReuse(on processor: Int) throws {
        try write(2, on: processor)
        _ = try file.reclaim(in: tables.memory(processor))
        if let other = try tables.newBlock(tag: 9, on: processor) {
            try tables.references.drop(on: other, in: tables.memory(processor))
        }
    }
}
