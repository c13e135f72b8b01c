import ExploredMemory
import Interleaving
import PageTables
import TableMemory
import VirtualMemory

/// A virtual processor that threads of a scenario can use.
final class Program<Structure: SpaceStructure> {
    private var processor: VirtualProcessor<MiniatureFormat, Structure, ExploredMemory>
    private let tables: SpaceMachine<Structure>

    init(_ tables: SpaceMachine<Structure>, on number: Int = 1) throws {
        self.tables = tables
        processor = try VirtualProcessor(tables.space, log2Pages: 2, log2Tables: 1, in: tables.memory(number))
    }

    /// The tag of a page, without faults; `nil` if the page is not mapped.
    func tag(_ page: Int) throws -> UInt64? {
        let (address, memory) = (tables.address(page), processor.memory)
        return try processor.execute { (processor, section) throws(Abandoned) in
            guard let physical = try processor.physical(of: address, for: .read, in: section) else { return nil }
            return try memory.load(Word<UInt64>(physical), .relaxed)
        }
    }

    /// Where a page is, without faults.
    func physical(of page: Int) throws -> PhysicalAddress? {
        let address = tables.address(page)
        return try processor.execute { (processor, section) throws(Abandoned) in
            try processor.physical(of: address, for: .read, in: section)
        }
    }

    /// Writes to a page, without faults.
    ///
    /// - Returns: Whether the page could be written.
    func write(_ value: UInt64, to page: Int) throws -> Bool {
        let (address, memory) = (tables.address(page), processor.memory)
        return try processor.execute { (processor, section) throws(Abandoned) in
            guard let physical = try processor.physical(of: address, for: .write, in: section) else { return false }
            try memory.store(value, to: Word(physical), .relaxed)
            return true
        }
    }

    /// Writes to a page, with faults as they come.
    func writeFaulting(_ value: UInt64, to page: Int) throws {
        let memory = processor.memory
        do throws(SpaceError<Abandoned>) {
            try processor.access(tables.address(page), for: .write) { (physical) throws(Abandoned) in
                try memory.store(value, to: Word(physical), .relaxed)
            }
        } catch {
            switch error {
            case .memory(let abandoned): throw abandoned
            case .refused(let refusal): try tables.machine.violate("page \(page) cannot be written: \(refusal)")
            }
        }
    }
}

extension SpaceMachine {
    /// The leaf of a page.
    func leaf(of page: Int, on processor: Int = 0) throws -> Entry? {
        let mapping = try memory(processor).withRCUReader { (section) throws(Abandoned) in
            try space.view(in: section).translate(address(page), in: section)
        }
        guard case .mapped(let found) = mapping else { return nil }
        return found.leaf
    }

    /// What is in a page, for final checks.
    func content(of page: Int) throws -> UInt64? {
        guard let physical = try physical(of: page) else { return nil }
        return try memory(0).load(Word<UInt64>(physical), .relaxed)
    }

    /// Looks whether a page that has changed is recorded as dirty.
    func requireRecorded(_ page: Int, unless old: UInt64) throws {
        if try content(of: page) != old { try requireDirty(page) }
    }

    /// Looks whether a page is recorded as dirty.
    func requireDirty(_ page: Int) throws {
        guard let leaf = try leaf(of: page) else { try machine.violate("page \(page) is not mapped") }
        let isDirty = format.attributes(of: leaf, at: .leafTable).flags.contains(.dirty)
        try require(isDirty, "page \(page) was written, and nothing says so")
    }
}
