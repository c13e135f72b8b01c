import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Pages of a file: written through mappings and pins, written back, truncated, copied.
    static let files: [Scenario] = [
        Scenario(
            "write-against-writeback",
            "Does everything that a program writes to a mapped file reach the file, if it is written back meanwhile?",
            rules: [.markDirtyBeforeWritable, .protectBeforeCopying, .cleanBeforeProtecting], races: ["F12", "F13"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            execution.spawn(named: "program") { try machine.write(2, on: 1) }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "device-writes-late",
            "Does what a device writes through a pin reach the file, if the page is written back before?",
            rules: [.markDirtyBeforeUnpin], races: ["C9"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            var value: UInt64 = 1
            execution.spawn(named: "device") {
                guard let pin = try machine.pinFast(for: .write, on: 1) else { return }
                try machine.store(2, through: pin, on: 1)
                value = 2
                try machine.unpin(pin, dirty: true, on: 1)
            }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(value)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "long-term-pin-against-writeback",
            "Is what a device writes known to the file, if it keeps its pin and writes whenever it likes?",
            rules: [.checkFileMappingBeforeLongTermPin], races: ["C9"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            var value: UInt64 = 1
            var kept: Pin?
            execution.spawn(named: "device") {
                kept = try machine.pinForLong(for: .write, on: 1)
                guard let pin = kept else { return }
                try machine.store(2, through: pin, on: 1)
                value = 2
            }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(value)
                if let pin = kept { try machine.unpin(pin, on: 0) }
                try machine.requireAllFree()
            }
        },
        Scenario(
            "long-term-pin-against-truncation",
            "Is the page of a file pinned for long for writing, if it is truncated between the look at the entry and the pin?",
            rules: [.retreatWhenMappingGone], races: ["C9"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            execution.spawn(named: "device") {
                guard let pin = try machine.pinFast(for: .write, longTerm: true, on: 1) else { return }
                let owner = try machine.tables.memory(1).load(
                    machine.tables.layout.map.descriptor(of: pin.head).mapping, .relaxed)
                try machine.tables.machine.violate("a page of the file is pinned for long, and is now \(owner)'s")
            }
            execution.spawn(named: "truncation") { try machine.resize(to: 0, on: 0) }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "long-term-pin-kept-over-truncation",
            "Can who has a page of shared memory pinned for long see that it was truncated, and is nobody's?",
            rules: [.clearMappingBeforeRelease]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, kind: .sharedMemory)
            var kept: Pin?
            execution.spawn(named: "device") { kept = try machine.pinFast(for: .write, longTerm: true, on: 1) }
            execution.spawn(named: "truncation") { try machine.resize(to: 0, on: 0) }
            execution.atEnd {
                if let pin = kept {
                    let word = machine.tables.layout.map.descriptor(of: pin.head).mapping
                    let owner = FrameOwner(rawValue: try machine.tables.memory(0).load(word, .relaxed))
                    try machine.tables.require(
                        owner.kind == .none, "the page was truncated, and says that it is file \(owner.number)'s")
                    try machine.unpin(pin, on: 0)
                }
                try machine.requireAllFree()
            }
        },
        Scenario(
            "fault-against-truncation",
            "Is a page still mapped that its file has given up, if it is faulted in while the file is truncated?",
            rules: [.unmapBeforeTruncating]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, isMapped: false)
            let space = machine.tables.space
            execution.spawn(named: "program") {
                let memory = machine.tables.memory(1)
                try memory.withReadLock(space.words.lock) { (lock) throws(Abandoned) in
                    do throws(SpaceError<Abandoned>) {
                        try space.fault(machine.tables.address(0), for: .write, lock: lock)
                    } catch {
                        switch error {
                        case .memory(let abandoned): throw abandoned
                        case .refused(.beyondEnd): break
                        case .refused(let refusal): try machine.tables.machine.violate("a fault is refused: \(refusal)")
                        }
                    }
                }
            }
            execution.spawn(named: "truncation") { try machine.resize(to: 0, on: 0) }
            execution.atEnd {
                let isMapped = try machine.tables.physical(of: 0) != nil
                try machine.tables.require(!isMapped, "a page is mapped that is behind the end of its file")
                try machine.requireAllFree()
            }
        },
        Scenario(
            "copy-on-write-by-two",
            "Is a page of a private region copied once, if two programs write to it at once?",
            rules: [.revalidateUnderLock], races: ["B3"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private)
            for processor in 0...1 {
                execution.spawn(named: "program") {
                    try machine.write(UInt64(processor + 1), word: UInt64(processor), on: processor)
                }
            }
            execution.atEnd {
                guard let page = try machine.tables.physical(of: 0) else { return }
                for word in 0...1 {
                    let place = PhysicalAddress(page.rawValue + UInt64(8 * word))
                    let value = try machine.tables.memory(0).load(Word<UInt64>(place), .relaxed)
                    try machine.tables.require(value == UInt64(word + 1), "what was written to word \(word) is lost")
                    try machine.tables.require(machine.stored(word: word) == 0, "a private write is in the file")
                }
                try machine.requireAllFree()
            }
        },
        Scenario(
            "copy-on-write-against-pin",
            "Does a short pin for reading see the page of the file or the program's copy, and nothing else, if both go?",
            rules: [.recheckEntryAfterPin, .pinOnlyLiveFrame]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, frames: 5)
            execution.spawn(named: "reader") {
                guard let pin = try machine.pinFast(for: .read, on: 1) else { return }
                let value = try machine.load(through: pin, on: 1)
                try machine.tables.require(value == 0 || value == 2, "the pinned page has \(value)")
                try machine.unpin(pin, on: 1)
            }
            execution.spawn(named: "program") {
                try machine.write(2, on: 0)
                try machine.resize(to: 0, on: 0)
                var others: [Frame] = []
                while let other = try machine.tables.newBlock(tag: 9) { others.append(other) }
                for other in others { try machine.tables.references.drop(on: other, in: machine.tables.memory(0)) }
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "writebacks-at-once",
            "Is everything in the file when a writeback returns, if another one found the dirty pages first?",
            rules: [.oneChangeAtATime]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            for processor in 0...1 {
                execution.spawn(named: "writeback") {
                    try machine.writeBack(on: processor)
                    let stored = machine.stored()
                    try machine.tables.require(stored == 1, "1 was written before, and the file has \(stored)")
                }
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "late-write-against-reclaim",
            "Is a page given up that was written through its last pin, while reclaim looks whether it is dirty?",
            rules: [.freezeBeforeDirtyTest, .markDirtyBeforeUnpin]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            let pin = try machine.pinFast(for: .write, on: 1)
            try machine.writeBack(on: 0)
            try machine.tables.unmap(0, 0, on: 0)
            execution.spawn(named: "device") {
                guard let pin else { try machine.tables.machine.violate("the page is not pinned") }
                try machine.store(2, through: pin, on: 1)
                try machine.unpin(pin, dirty: true, on: 1)
            }
            execution.spawn(named: "reclaim") { _ = try machine.file.reclaim(in: machine.tables.memory(0)) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "reclaim-against-writeback",
            "Is a page given up that was cleaned and is not in the store yet, if nobody maps it any more?",
            rules: [.keepPageDuringWriteback]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            try machine.tables.unmap(0, 0, on: 0)
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.spawn(named: "reclaim") { _ = try machine.file.reclaim(in: machine.tables.memory(1)) }
            execution.atEnd {
                try machine.requireStored(1)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "unmap-against-writeback",
            "Does a write to a page reach the file, if the page is unmapped while it is written back?",
            rules: [.markDirtyBeforeWritable, .protectBeforeCopying, .cleanBeforeProtecting]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            execution.spawn(named: "program") {
                try machine.write(2, on: 1)
                try machine.tables.unmap(0, 0, on: 1)
            }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(2)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "unmap-under-translation-against-writeback",
            "Does a write by a translation that a processor keeps reach the file, if the page is unmapped and written back?",
            rules: [.flushBeforeLeavingFile, .interruptKeepers, .lookAtFlushLog], races: ["F9"]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1, processors: 3)
            let program = try Program(machine.tables, on: 1)
            var value: UInt64 = 1
            _ = try program.write(1, to: 0)
            execution.spawn(named: "program") { if try program.write(2, to: 0) { value = 2 } }
            execution.spawn(named: "owner") { try machine.tables.unmap(0, 0, on: 2) }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(value)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "long-term-read-pin-against-copy",
            "Does a pin for reading that is kept for long see what the program writes to its private page?",
            rules: [.unshareBeforeLongTermPin]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private)
            var kept: Pin?
            execution.spawn(named: "reader") { kept = try machine.pinForLong(for: .read, on: 1) }
            execution.spawn(named: "program") { try machine.write(2, on: 0) }
            execution.atEnd {
                guard let pin = kept else { try machine.tables.machine.violate("the page is not pinned") }
                let value = try machine.load(through: pin, on: 0)
                try machine.tables.require(value == 2, "the program has written 2, and the pin shows \(value)")
                try machine.unpin(pin, on: 0)
                try machine.requireAllFree()
            }
        },
    ]
}
