import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// What is told of pages, and what hardware has recorded of them.
    static let records: [Scenario] = [
        Scenario(
            "records-taken-under-hardware",
            "Is what hardware records of a page's use either taken or still there, if it is recorded at any moment?",
            rules: [.changeEntryAtomically]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 0)
            try tables.hardwareRecords(.accessed, of: 0, on: 0)
            var taken = TakenRecords()
            execution.spawn(named: "taker") { taken = try tables.take([.accessed, .dirty], 0, on: 0) }
            execution.spawn(named: "hardware") { try tables.hardwareRecords(.dirty, of: 0, on: 1) }
            execution.atEnd {
                let left = try tables.flags(of: 0)
                for (flag, runs) in [(EntryFlags.accessed, taken.accessed), (.dirty, taken.dirty)] {
                    try tables.require(
                        runs.contains(tables.address(0)) || left.contains(flag),
                        "page 0 was \(flag == .dirty ? "written" : "used"), and nobody knows")
                }
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "page-written-while-record-taken",
            "Is it recorded that a page was written after somebody took the record of an earlier write, and copied the page?",
            rules: [.flushTakenRecords, .interruptKeepers, .lookAtFlushLog], races: ["F12"]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let program = try Program(tables)
            _ = try program.write(2, to: 0)
            var copied: UInt64?
            execution.spawn(named: "taker") {
                guard try tables.take(.dirty, 0, on: 0).dirty.contains(tables.address(0)) else {
                    return try tables.require(false, "page 0 was written, and nobody knows")
                }
                copied = try tables.content(of: 0)
            }
            execution.spawn(named: "program") {
                for value: UInt64 in 3...4 { _ = try program.write(value, to: 0) }
            }
            execution.atEnd {
                try tables.requireRecorded(0, unless: copied ?? 0)
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "page-cleaned-beside-taker",
            "Is it recorded that a page is written after it was found clean, because somebody else just took the record?",
            rules: [.announceFlush, .flushWholeRangeWhenNested]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            execution.spawn(named: "taker") { _ = try machine.files.tables.take(.dirty, 0, on: 0) }
            execution.spawn(named: "cleaner") {
                // Who finds the page clean comes after the taker, who does not touch it again.
                if try machine.cleanAndRecord(on: 1) { return }
                _ = try machine.program.write(2, to: 0)
                try machine.requireRecorded(on: 1)
            }
            execution.atEnd { try machine.files.requireAllFree() }
        },
        Scenario(
            "device-write-while-record-taken",
            "Is every write recorded that a device makes after the record of a page was taken?",
            rules: [.recordWriteBeforeDevice, .waitForInvalidations, .recheckSequenceUnderMirrorLock]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            let tables = machine.files.tables
            let device = try MirroringDevice(tables, tables.pages(0))
            var copied: UInt64?
            execution.spawn(named: "driver") {
                guard try device.program(0, for: [.fault, .write], on: 1) else { return }
                _ = try device.write(2, to: 0, on: 1)
            }
            execution.spawn(named: "taker") {
                _ = try tables.take(.dirty, 0, on: 0)
                copied = try tables.content(of: 0)
            }
            execution.atEnd {
                if try tables.content(of: 0) != copied { try machine.requireRecorded(on: 0) }
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "records-taken-against-split",
            "Is the record of a large leaf taken once, as a whole or page by page, if the leaf is split meanwhile?",
            rules: [.lockTableOfLeaves, .revalidateUnderLock]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0, 1), order: 1, tag: 1)
            try tables.hardwareRecords(.dirty, of: 0, on: 0)
            var taken = TakenRecords()
            execution.spawn(named: "taker") { taken = try tables.take(.dirty, 0, on: 0) }
            execution.spawn(named: "walker") {
                let walk = try tables.walkSplitting(0, 1, on: 1)
                try tables.require(walk == SplitPages(small: 2), "a walk over 2 pages came by \(walk)")
            }
            execution.atEnd {
                for page in 0...1 {
                    let isTaken = taken.dirty.contains(tables.address(page))
                    let isLeft = try tables.flags(of: page).contains(.dirty)
                    try tables.require(isTaken || isLeft, "page \(page) was written, and nobody knows")
                    try tables.require(!isTaken || !isLeft, "page \(page) was written once, and is recorded twice")
                }
                try tables.requireTablesFree()
            }
        },
        Scenario(
            "page-record-against-copy",
            "Is a page recorded as what its frame has become, if the page is copied on a write and the frame given to somebody else?",
            rules: [.lockTableOfLeaves]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, frames: 5)
            let tables = machine.tables
            let page = try tables.physical(of: 0).flatMap { tables.layout.map.frame(of: $0) }
            execution.spawn(named: "reader") {
                var records: [PageRecord] = []
                try tables.space.readPageRecords(of: tables.pages(0), in: tables.memory(1), into: &records)
                for record in records where record.frameNumber == page.map({ UInt64($0.number) }) {
                    try tables.require(record.isFile, "page 0 is the file's, and recorded as anonymous")
                }
            }
            execution.spawn(named: "program") {
                try machine.write(2, on: 0)
                _ = try machine.file.reclaim(in: tables.memory(0))
                var others: [Frame] = []
                while let other = try tables.newBlock(tag: 9) { others.append(other) }
                for other in others { try tables.references.drop(on: other, in: tables.memory(0)) }
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "region-summary-against-copy",
            "Are the mappings of a page counted that its frame has elsewhere, if the page is copied on a write and its frame used again?",
            rules: [.recheckEntryAfterCounting]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private, frames: 5)
            let tables = machine.tables
            execution.spawn(named: "summary") {
                let summaries = try tables.space.regionSummaries(of: tables.pages(0), in: tables.memory(1))
                for frames in summaries.compactMap(\.summary.frames) {
                    try tables.require(
                        frames.sharedCleanBytes + frames.sharedDirtyBytes == 0,
                        "page 0 is mapped nowhere else, and is shared")
                }
            }
            execution.spawn(named: "program") {
                let memory = tables.memory(0)
                try machine.write(2, on: 0)
                _ = try machine.file.reclaim(in: memory)
                guard let other = try tables.newBlock(tag: 9) else { return }
                for page in 2...3 {
                    try tables.space.map(
                        tables.pages(page), to: tables.layout.map.address(of: other), tables.writable, in: memory)
                }
                try tables.references.drop(on: other, in: memory)
            }
            execution.atEnd { try machine.requireAllFree() }
        },
        Scenario(
            "page-counted-against-reuse",
            "Are the mappings of a page counted that its frame has elsewhere, after the page was unmapped and the frame used again?",
            rules: [.recheckEntryAfterCounting]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation, frames: 4, topLevel: Level(2))
            try tables.mapDevice(4, 4)
            try tables.mapNew(tables.pages(0), tag: 1)
            execution.spawn(named: "summary") {
                let memory = tables.memory(1)
                let summary = try memory.withRCUReader { (section) throws(Abandoned) in
                    try tables.space.summary(of: tables.pages(0), countingFrames: true, in: section)
                }
                let share = summary.mappedBytes << SpaceSummary.log2Share
                try tables.require(
                    summary.frames?.share == share && summary.frames?.privateCleanBytes == summary.mappedBytes,
                    "page 0 is mapped nowhere else, and is shared")
            }
            execution.spawn(named: "owner") {
                let memory = tables.memory(0)
                try tables.space.unmap(tables.pages(0), in: memory)
                guard let other = try tables.newBlock(tag: 2) else { return }
                // Device memory has a leaf table there already.
                try tables.space.unmap(tables.pages(4), in: memory)
                for page in 4...5 {
                    try tables.space.map(
                        tables.pages(page), to: tables.layout.map.address(of: other), tables.writable, in: memory)
                }
                try tables.references.drop(on: other, in: memory)
            }
            execution.atEnd { try tables.requireAllFree() }
        },
    ]
}

extension SpaceMachine {
    func take(_ flags: EntryFlags, _ page: Int, on processor: Int) throws -> TakenRecords {
        try memory(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            try space.takeRecords(flags, in: pages(page), lock: lock)
        }
    }

    /// What a page's leaf says of its use.
    fileprivate func flags(of page: Int) throws -> EntryFlags {
        let memory = memory(0)
        let found = try memory.withRCUReader { (section) throws(Abandoned) in
            try space.view(in: section).translate(address(page), in: section)
        }
        guard case .mapped(let mapping) = found else { return [] }
        return format.attributes(of: mapping.leaf, at: mapping.level).flags
    }

    /// What a processor does with the leaf of a page that a program uses: sets flags with one update, if it still is the leaf that
    /// was found.
    fileprivate func hardwareRecords(_ flags: EntryFlags, of page: Int, on processor: Int) throws {
        let memory = memory(processor)
        while true {
            var path = TranslationPath()
            let found = try space.view(ofHardware: memory).translate(address(page), in: memory, observer: &path)
            guard case .mapped(let mapping) = found, let position = path.steps.last?.position else { return }
            var decoded = format.decode(mapping.leaf, at: mapping.level)
            decoded.attributes.flags.formUnion(flags)
            let offset = UInt64(position.index * MiniatureFormat.entryBytes)
            let place = PhysicalAddress(position.table.rawValue + offset)
            let new = format.encode(decoded, at: mapping.level)
            let outcome = try memory.compareExchange(
                expected: mapping.leaf, desired: new, format, at: place, .full)
            if outcome.isExchanged { return }
        }
    }
}

extension LiveSpace {
    /// The tables as hardware reads them, which is in no section.
    fileprivate func view(ofHardware memory: ExploredMemory) throws(Abandoned) -> AddressSpace<Format> {
        let root = try Structure.loadRoot(words, memory)
        return format.addressSpace(root: root.table, topLevel: root.topLevel)
    }
}
