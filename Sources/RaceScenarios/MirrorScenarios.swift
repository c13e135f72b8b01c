import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Devices use what spaces translate, through tables of their own.
    static let mirrors: [Scenario] = [
        Scenario(
            "device-programmed-while-unmapped",
            "Does a device write to a page that was unmapped and freed while the device was programmed with it?",
            rules: [
                .recheckSequenceUnderMirrorLock, .readSequenceBeforeFault, .forgetUnderMirrorLock, .tellObserversFirst,
            ]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let device = try MirroringDevice(tables, tables.pages(0, 1))
            execution.spawn(named: "driver") {
                guard try device.program(0, for: [.fault, .write], on: 1) else { return }
                _ = try device.write(7, to: 0, on: 1)
            }
            execution.spawn(named: "owner") {
                try tables.unmap(0, 0, on: 0)
                guard let other = try tables.newBlock(tag: 2) else { return }
                let tag = try tables.memory(0).load(Word<UInt64>(tables.layout.map.address(of: other)), .relaxed)
                try tables.require(tag == 2, "what was made of a freed page holds \(tag)")
                try tables.references.drop(on: other, in: tables.memory(0))
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "device-programmed-while-copied",
            "Does a device read the page of a file after the program has its own copy, if the lock is held for reading only?",
            rules: [.waitForInvalidations, .recheckSequenceUnderMirrorLock, .forgetUnderMirrorLock]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private)
            let device = try MirroringDevice(machine.tables, machine.tables.pages(0))
            execution.spawn(named: "driver") { _ = try device.program(0, for: .fault, on: 1) }
            execution.spawn(named: "program") {
                try machine.write(2, on: 0)
                let seen = try device.read(0, on: 0)
                try machine.tables.require(seen == nil || seen == 2, "2 was written, and the device reads \(seen ?? 0)")
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "device-writes-against-writeback",
            "Does everything that a device writes to a mirrored file reach the file, if it is written back meanwhile?",
            rules: [.recheckSequenceUnderMirrorLock, .markDirtyBeforeWritable]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .shared, written: 1)
            let device = try MirroringDevice(machine.tables, machine.tables.pages(0))
            var value: UInt64 = 1
            execution.spawn(named: "driver") {
                guard try device.program(0, for: [.fault, .write], on: 1) else { return }
                if try device.write(2, to: 0, on: 1) { value = 2 }
            }
            execution.spawn(named: "writeback") { try machine.writeBack(on: 0) }
            execution.atEnd {
                try machine.requireStored(value)
                try machine.requireAllFree()
            }
        },
        Scenario(
            "range-fault-against-split",
            "Is a range of a large leaf looked at as a whole, and its write recorded, if a walk splits the leaf meanwhile?",
            rules: [
                .lockTableOfLeaves, .revalidateUnderLock, .recordWriteBeforeDevice, .initialiseTableBeforePublishing,
            ]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0, 1), order: 1, tag: 1)
            execution.spawn(named: "driver") {
                let request = RangeRequest(
                    tables.pages(0, 1), log2PageBytes: tables.format.log2FrameBytes, demands: [[], [.fault, .write]])
                let answer = try tables.memory(1).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
                    try tables.space.faultRange(request, lock: lock)
                }
                try tables.require(answer.end == .complete && answer.pages.count == 2, "a range has no answer")
                for page in 0...1 {
                    let place = try tables.physical(of: page, on: 1)
                    guard case .mapped(let found) = answer.pages[page], found.physical == place else {
                        try tables.machine.violate("page \(page) is mapped, and the answer is another")
                    }
                    try tables.require(
                        page == 0 || found.isWritable, "page 1 can be written, and the answer is another")
                }
            }
            execution.spawn(named: "walker") {
                let walk = try tables.walkSplitting(0, 1, on: 0)
                try tables.require(walk == SplitPages(small: 2), "a walk over 2 pages came by \(walk)")
            }
            execution.atEnd {
                try tables.requireDirty(1)
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "range-fault-in-retracted-table",
            "Is a range looked at for a device in a table that is taken back, or mapped there?",
            rules: [.blockTableFreeing, .deferTableFree, .revalidateTableUnderLock], races: ["D9"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 0)
            try tables.unmap(0, 0, on: 0)
            try tables.addRegion(1, 1, .anonymous)
            execution.spawn(named: "driver") {
                let request = RangeRequest(
                    tables.pages(0, 1), log2PageBytes: tables.format.log2FrameBytes, demands: [[], .fault])
                let answer = try tables.memory(1).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
                    try tables.space.faultRange(request, lock: lock)
                }
                let page = try tables.physical(of: 1, on: 1)
                try tables.require(answer.end == .complete && answer.pages.count == 2, "a range has no answer")
                try tables.require(answer.pages[0] == .impossible, "nothing is mapped at page 0")
                guard case .mapped(let found) = answer.pages[1], found.physical == page else {
                    try tables.machine.violate("page 1 is not mapped by its fault")
                }
            }
            execution.spawn(named: "retraction") {
                _ = try tables.memory(0).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
                    try tables.space.reclaimEmptyTables(in: tables.pages(0, 1), lock: lock)
                }
            }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]
}
