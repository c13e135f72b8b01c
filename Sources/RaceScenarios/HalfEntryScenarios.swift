import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension Scenario {
    /// Entries of 64 bits on a machine that accesses 32 bits at once.
    static let halfEntries: [Scenario] = [
        Scenario(
            "half-entry-of-table-set-while-read",
            "May a table appear in two halves while a walker goes down to it?",
            rules: [.setHighHalfFirst], races: ["B5"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.map(.first, 0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-of-page-set-while-read", "May a page appear in two halves while a walker looks for it?",
            rules: [.setHighHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.second, 1, 1)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.map(.first, 0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-cleared-while-read",
            "Does a walker see a page as it was, or none, while its entry is cleared in two halves?",
            rules: [.recheckLowHalf, .clearLowHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.unmap(0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-cleared-in-walk",
            "Does a walk over a range see a page as it was, or none, while its entry is cleared in two halves?",
            rules: [.recheckLowHalf, .clearLowHalfFirst], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walkRange(0, 1, expecting: [.first])
            execution.spawn(named: "owner") { try tables.unmap(0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-replaced-while-read",
            "Does a walker see a large page or its small ones while the entry becomes that of a table?",
            rules: [.recheckLowHalf, .clearLowHalfFirst, .setHighHalfFirst], races: ["B5", "B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 1)
            tables.walk(page: 0, expecting: [.first])
            execution.spawn(named: "owner") { try tables.protect(1, 1) }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-reused-while-read",
            "Does a walker see one of two pages, or none, if the second gets the entry, and the low half, of the first?",
            rules: [.waitBeforeEntryReuse], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walk(page: 0, expecting: [.first, .second])
            execution.spawn(named: "owner") {
                try tables.unmap(0, 0)
                try tables.map(.second, 0, 0)
            }
            execution.atEnd { try tables.requireAllFree() }
        },
        Scenario(
            "half-entry-reused-in-one-edit",
            "Does it, if the second page is mapped under the same lock?",
            rules: [.waitBeforeEntryReuse], races: ["B6"]
        ) { execution, variation in
            let tables = try HalfEntryMachine(execution, variation)
            try tables.map(.first, 0, 0)
            tables.walk(page: 0, expecting: [.first, .second])
            execution.spawn(named: "owner") { try tables.remap(.second, 0, 0) }
            execution.atEnd { try tables.requireAllFree() }
        },
    ]
}

/// A live space of entries in halves, and a walker that knows what it may see.
private final class HalfEntryMachine {
    /// Memory that is no frame, by its first address. The low halves of pages of both are the same.
    enum Device: UInt64 {
        case first = 0x4000_0000
        case second = 0x8000_0000
    }

    private let execution: Execution
    private let machine: ExploredMachine
    private let layout: PhysicalLayout
    private let references: FrameReferences
    private let space: Space<HalfEntryFormat>

    init(_ execution: Execution, _ variation: Variation) throws {
        self.execution = execution
        machine = ExploredMachine(execution, processors: 2, lifting: variation.rule)
        let format = HalfEntryFormat()
        layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, frameCount: 4)
        references = layout.makeReferences()
        try machine.processor(0).beginLife(of: layout.bookkeeping, as: .bookkeeping)
        space = try Space.make(format, references, words: layout.spaceWords(), in: machine.processor(0))
    }

    private func pages(_ first: Int, _ last: Int) -> VirtualRange {
        VirtualRange(first: VirtualAddress(UInt64(first) * 32), last: VirtualAddress(UInt64(last) * 32 + 31))
    }

    private var writable: EntryAttributes { space.format.attributes([.read, .write]) }

    func map(_ device: Device, _ first: Int, _ last: Int) throws {
        try space.map(pages(first, last), to: PhysicalAddress(device.rawValue), writable, in: machine.processor(0))
    }

    func unmap(_ first: Int, _ last: Int) throws { try space.unmap(pages(first, last), in: machine.processor(0)) }

    func protect(_ first: Int, _ last: Int) throws {
        let rights = space.format.attributes(.read).rights
        try space.protect(pages(first, last), rights, in: machine.processor(0))
    }

    /// Unmaps pages and maps others there, in one section of the lock.
    func remap(_ device: Device, _ first: Int, _ last: Int) throws {
        let refusal = try space.edit(in: machine.processor(0)) { (editor) throws(Abandoned) -> Refusal? in
            if let refusal = try editor.unmap(pages(first, last)) { return refusal }
            return try editor.map(pages(first, last), to: PhysicalAddress(device.rawValue), writable)
        }
        if let refusal { try machine.violate("the pages are not mapped again: \(refusal)") }
    }

    /// A thread that translates the address of a page once. It may be mapped to one of the devices, or not.
    func walk(page: Int, expecting devices: [Device]) {
        execution.spawn(named: "walker") { [self] in
            let memory = machine.processor(1)
            let translation = try memory.withInterruptsBlocked { (section) throws(Abandoned) in
                try space.view(in: section).translate(pages(page, page).first, in: section)
            }
            switch translation {
            case .mapped(let mapping):
                if !devices.contains(where: { $0.rawValue + UInt64(page) * 32 == mapping.physical.rawValue }) {
                    try machine.violate("page \(page) is at \(mapping.physical), where it never was")
                }
            case .unmapped(let fault):
                if fault.reason != .notPresent { try machine.violate("page \(page) has a malformed entry") }
            }
        }
    }

    /// A thread that walks over a range of pages once. Each may be mapped to one of the devices, or not.
    func walkRange(_ first: Int, _ last: Int, expecting devices: [Device]) {
        execution.spawn(named: "walker") { [self] in
            var visitor = LeafPlaces()
            try machine.processor(1).withInterruptsBlocked { (section) throws(Abandoned) in
                _ = try space.view(in: section).walk(pages(first, last), in: section, visitor: &visitor)
            }
            for (address, place) in visitor.places {
                if !devices.contains(where: { $0.rawValue + address.rawValue == place.rawValue }) {
                    try machine.violate("\(address) is at \(place), where it never was")
                }
            }
        }
    }

    func requireAllFree() throws {
        let memory = machine.processor(0)
        try space.tearDown(in: memory)
        let lost = try UInt64(layout.map.frameCount) - references.allocator.freeFrameCount(in: memory)
        if lost != 0 { try machine.violate("\(lost) frames are never freed") }
    }
}

/// Where the leaves are that a walk comes by.
private struct LeafPlaces: PageWalkVisitor {
    var places: [(VirtualAddress, PhysicalAddress)] = []

    mutating func leaf(
        _ entry: Entry, _ format: HalfEntryFormat, at index: Int, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        places.append((first, format.physical(of: entry, at: visit.level, for: first)))
        return .proceed
    }
}
