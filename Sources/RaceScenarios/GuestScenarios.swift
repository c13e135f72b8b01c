import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// A guest's tables over a space that changes.
    static let guests: [Scenario] = [
        Scenario(
            "page-freed-under-guest",
            "Does a guest use a page by its own entry after the page was unmapped from its parent and freed?",
            rules: [.tellObserversFirst, .holdGuestWhileUsing]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let guest = try GuestMachine(tables)
            _ = try guest.fault(0, on: 0)
            execution.spawn(named: "guest") {
                let tag = try guest.tag(0, on: 1)
                try tables.require(tag == nil || tag == 1, "page 0 holds \(tag ?? 0)")
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 0, on: 0) }
            execution.atEnd { try guest.requireAllFree() }
        },
        Scenario(
            "guest-fault-under-unmap",
            "Has a guest an entry of a page that was unmapped from its parent while the guest's fault was handled?",
            rules: [.tellObserversFirst]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapNew(tables.pages(0), tag: 1)
            let guest = try GuestMachine(tables)
            execution.spawn(named: "guest") {
                if try guest.fault(0, on: 1) {
                    let tag = try guest.tag(0, on: 1)
                    try tables.require(tag == nil || tag == 1, "page 0 holds \(tag ?? 0)")
                }
            }
            execution.spawn(named: "owner") { try tables.unmap(0, 0, on: 0) }
            execution.atEnd {
                try tables.require(try guest.physical(of: 0) == nil, "the guest has a page that its parent has not")
                try guest.requireAllFree()
            }
        },
        Scenario(
            "guest-fault-under-copy",
            "Is a guest shown the page of before, if its fault meets a program's write that copies the page?",
            rules: [.recheckSequenceUnderMirrorLock, .waitForInvalidations, .forgetUnderMirrorLock]
        ) { execution, variation in
            let machine = try FileMachine(execution, variation, .private)
            let guest = try GuestMachine(machine.tables)
            execution.spawn(named: "guest") { _ = try guest.fault(0, on: 1) }
            execution.spawn(named: "program") { try machine.write(7, on: 0) }
            execution.atEnd {
                let (shown, current) = (try guest.physical(of: 0), try machine.tables.physical(of: 0))
                try machine.tables.require(shown == nil || shown == current, "the guest is shown another page")
                try guest.guest.tearDown(in: machine.tables.memory(0))
                try machine.requireAllFree()
            }
        },
        Scenario(
            "guest-write-while-record-taken",
            "Is every write recorded in the parent's leaf that a guest makes after the record of a page was taken?",
            rules: [.recordWriteBeforeDevice, .waitForInvalidations, .recheckSequenceUnderMirrorLock]
        ) { execution, variation in
            let machine = try DirtyRecordMachine(execution, variation)
            let tables = machine.files.tables
            let guest = try GuestMachine(tables)
            var copied: UInt64?
            execution.spawn(named: "guest") {
                guard try guest.fault(0, for: .write, on: 1) else { return }
                try guest.write(2, to: 0, on: 1)
            }
            execution.spawn(named: "taker") {
                _ = try tables.take(.dirty, 0, on: 0)
                copied = try tables.content(of: 0)
            }
            execution.atEnd {
                if try tables.content(of: 0) != copied { try machine.requireRecorded(on: 0) }
                try guest.guest.tearDown(in: tables.memory(0))
                try machine.files.requireAllFree()
            }
        },
        Scenario(
            "guest-faults-in-one-table",
            "Do two faults of a guest keep each other's page, and lose no table, if both make the tables?",
            rules: [.revalidateUnderLock]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 1)
            let guest = try GuestMachine(tables)
            for page in 0...1 {
                execution.spawn(named: "fault at \(page)") { _ = try guest.fault(page, on: page) }
            }
            execution.atEnd {
                for page in 0...1 {
                    let found = try guest.physical(of: page)
                    try tables.require(found == tables.devicePage(page), "page \(page) is not mapped by its fault")
                }
                try guest.requireAllFree()
            }
        },
        Scenario(
            "guest-and-parent-halves-freed",
            "Is a frame freed once, of which a guest's table and one of its parent's are halves, if both are freed at once?",
            rules: [.releaseFragmentUnderLock]
        ) { execution, variation in
            let tables = try SpaceMachine<SoundStructure>(execution, variation)
            try tables.mapDevice(0, 0)
            let guest = try GuestMachine(tables)
            _ = try guest.fault(0, on: 0)
            execution.spawn(named: "guest") { try guest.guest.tearDown(in: tables.memory(1)) }
            execution.spawn(named: "owner") { try tables.unmap(0, 1, on: 0) }
            execution.atEnd { try tables.requireTablesFree() }
        },
    ]
}

/// A guest that sees the first two pages of a space where the space has them.
private final class GuestMachine {
    let tables: SpaceMachine<SoundStructure>
    let guest: GuestSpace<MiniatureFormat, SoundStructure>

    init(_ tables: SpaceMachine<SoundStructure>) throws {
        self.tables = tables
        let start: UInt64 = 1 << 33
        let words = PhysicalRange(
            first: PhysicalAddress(start), last: PhysicalAddress(start + GuestWords.byteCount - 1))
        try tables.memory(0).beginLife(of: words, as: .bookkeeping)
        guest = try .make(over: tables.space, words: GuestWords(MirrorWords(at: words.first)), in: tables.memory(0))
        try guest.show(tables.pages(0, 1), from: tables.address(0), in: tables.memory(0))
    }

    /// - Returns: Whether the parent had a page to show.
    func fault(_ page: Int, for access: PageAccess = .read, on processor: Int) throws -> Bool {
        try tables.memory(processor).withReadLock(tables.space.words.lock) { (lock) throws(Abandoned) in
            do throws(SpaceError<Abandoned>) {
                try guest.fault(tables.address(page), for: access, lock: lock)
                return true
            } catch {
                switch error {
                case .memory(let abandoned): throw abandoned
                case .refused(.notMapped): return false
                case .refused(let refusal): try tables.machine.violate("the guest's fault is refused: \(refusal)")
                }
            }
        }
    }

    /// What the guest reads from its page.
    func tag(_ page: Int, on processor: Int) throws -> UInt64? {
        let memory = tables.memory(processor)
        return try guest.access(tables.address(page), for: .read, in: memory) { (place) throws(Abandoned) in
            try memory.load(Word<UInt64>(place), .relaxed)
        }
    }

    /// Writes, if the guest has an entry that allows it.
    func write(_ value: UInt64, to page: Int, on processor: Int) throws {
        let memory = tables.memory(processor)
        let _: Void? = try guest.access(tables.address(page), for: .write, in: memory) { (place) throws(Abandoned) in
            try memory.store(value, to: Word<UInt64>(place), .relaxed)
        }
    }

    func physical(of page: Int) throws -> PhysicalAddress? {
        try tables.memory(0).withRCUReader { (section) throws(Abandoned) in
            let found = try guest.view(in: section).translate(tables.address(page), in: section)
            return if case .mapped(let mapping) = found { mapping.physical } else { nil }
        }
    }

    func requireAllFree() throws {
        try guest.tearDown(in: tables.memory(0))
        try tables.requireTablesFree()
    }
}
