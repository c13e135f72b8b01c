import Foundation
import HostMemory
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// What a region shows in the table.
private enum Shown: String, CaseIterable {
    /// Shared, it is shared memory that was zero at first, of a file that nobody else knows: see `mmap`.
    case anonymous
    case sharedMemory = "shared memory"
    /// A file whose store cannot be written: a shared region of it lets nobody write.
    case readOnlyFile = "read-only file"
    case file
    /// To a fast pin, a page that was truncated after its entry was loaded; to a slow one, a file that ends before the page.
    case truncatedFile = "truncated file"
}

/// Every cell of the table in Documentation/Protocols.md, "Pins of file pages". The fast column is a pin without a lock of a page
/// that was accessed in the same way before; the slow one is `pin`, of a page that nobody has accessed yet.
private let expected = """
    | anonymous      | private | read  | short | pin     | pin                 |
    | anonymous      | private | read  | long  | pin     | pin                 |
    | anonymous      | private | write | short | pin     | pin                 |
    | anonymous      | private | write | long  | pin     | pin                 |
    | anonymous      | shared  | read  | short | pin     | pin                 |
    | anonymous      | shared  | read  | long  | pin     | pin                 |
    | anonymous      | shared  | write | short | pin     | pin                 |
    | anonymous      | shared  | write | long  | pin     | pin                 |
    | shared memory  | shared  | read  | short | pin     | pin                 |
    | shared memory  | shared  | read  | long  | pin     | pin                 |
    | shared memory  | shared  | write | short | pin     | pin                 |
    | shared memory  | shared  | write | long  | pin     | pin                 |
    | shared memory  | private | read  | short | pin     | pin                 |
    | shared memory  | private | read  | long  | retreat | pin a copy          |
    | shared memory  | private | write | short | pin     | pin a copy          |
    | shared memory  | private | write | long  | pin     | pin a copy          |
    | read-only file | shared  | read  | short | pin     | pin                 |
    | read-only file | shared  | read  | long  | retreat | pin                 |
    | read-only file | shared  | write | short | retreat | accessDenied        |
    | read-only file | shared  | write | long  | retreat | notLongTermPinnable |
    | read-only file | private | read  | short | pin     | pin                 |
    | read-only file | private | read  | long  | retreat | pin a copy          |
    | read-only file | private | write | short | pin     | pin a copy          |
    | read-only file | private | write | long  | pin     | pin a copy          |
    | file           | shared  | read  | short | pin     | pin                 |
    | file           | shared  | read  | long  | retreat | pin                 |
    | file           | shared  | write | short | pin     | pin                 |
    | file           | shared  | write | long  | retreat | notLongTermPinnable |
    | file           | private | read  | short | pin     | pin                 |
    | file           | private | read  | long  | retreat | pin a copy          |
    | file           | private | write | short | pin     | pin a copy          |
    | file           | private | write | long  | pin     | pin a copy          |
    | truncated file | shared  | read  | short | pin     | beyondEnd           |
    | truncated file | shared  | read  | long  | retreat | beyondEnd           |
    | truncated file | shared  | write | short | pin     | beyondEnd           |
    | truncated file | shared  | write | long  | retreat | notLongTermPinnable |
    | truncated file | private | read  | short | pin     | beyondEnd           |
    | truncated file | private | read  | long  | retreat | beyondEnd           |
    | truncated file | private | write | short | pin     | beyondEnd           |
    | truncated file | private | write | long  | pin     | beyondEnd           |
    """

/// One row of the table.
private struct Row: CustomTestStringConvertible {
    let shown: Shown
    let sharing: FileSharing
    let access: PageAccess
    let longTerm: Bool
    let fast: String
    let slow: String

    init?(_ line: Substring) {
        let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        guard cells.count == 6, let shown = Shown(rawValue: cells[0]) else { return nil }
        self.shown = shown
        sharing = cells[1] == "shared" ? .shared : .private
        access = cells[2] == "write" ? .write : .read
        longTerm = cells[3] == "long"
        (fast, slow) = (cells[4], cells[5])
    }

    var testDescription: String {
        "\(shown.rawValue), \(sharing), \(access), \(longTerm ? "long" : "short")"
    }
}

private let address = VirtualAddress(0x40_0000)
private let page = VirtualRange(first: address, last: VirtualAddress(0x40_0fff))

@Suite("Pins that are kept for long")
struct LongTermPinTests {
    /// A space with the page that a row speaks of.
    private func machine(_ row: Row) throws -> HostMachine<MemoryStore> {
        let bytes = [UInt8](repeating: row.shown == .anonymous ? 0 : 7, count: 4096)
        let isSharedMemory = row.shown == .sharedMemory || row.shown == .anonymous
        let machine = try HostMachine(
            MemoryStore(bytes, isWritable: row.shown != .readOnlyFile), isSharedMemory ? .sharedMemory : .file)
        let isReadOnly = row.shown == .readOnlyFile && row.sharing == .shared
        let isOfFile = row.shown != .anonymous || row.sharing == .shared
        try machine.spaces[0].add(
            Region(
                page, isOfFile ? .file(FileView(machine.file, row.sharing)) : .anonymous,
                machine.spaces[0].format.attributes(isReadOnly ? [.read] : [.read, .write])), in: machine.memory)
        return machine
    }

    @Test("are taken without a lock only where nobody has to know", arguments: expected.split(separator: "\n"))
    func fast(_ line: Substring) throws {
        let row = try #require(Row(line))
        let machine = try machine(row)
        let (space, memory) = (machine.spaces[0], machine.memory)
        _ = machine.touch(address, for: row.access, in: space)
        let kept = row.shown == .truncatedFile ? try truncate(row, machine) : []
        let pin = memory.withInterruptsBlocked { section in
            space.pinFast(address, for: row.access, longTerm: row.longTerm, in: section)
        }
        #expect((pin == nil ? "retreat" : "pin") == row.fast)
        for pin in kept + [pin].compactMap({ $0 }) { space.unpin(pin, in: memory) }
        #expect(try machine.lostFrames() == 0)
    }

    /// Truncates the file, with the page pinned so that it stays, and maps it again as it was: what a fast pin goes by that has
    /// loaded the entry before.
    private func truncate(_ row: Row, _ machine: HostMachine<MemoryStore>) throws -> [Pin] {
        let space = machine.spaces[0]
        let kept = try machine.pin(page, for: row.access, longTerm: false, in: space).get()
        try machine.file.resize(to: 0, in: machine.memory)
        let attributes = space.format.attributes(row.access == .write ? [.read, .write] : [.read])
        try space.map(page, to: try #require(kept.first).range.first, attributes, in: machine.memory)
        return kept
    }

    @Test("are otherwise for the region to decide", arguments: expected.split(separator: "\n"))
    func slow(_ line: Substring) throws {
        let row = try #require(Row(line))
        let machine = try machine(row)
        let (space, memory) = (machine.spaces[0], machine.memory)
        if row.shown == .truncatedFile { try machine.file.resize(to: 0, in: memory) }
        switch machine.pin(page, for: row.access, longTerm: row.longTerm, in: space) {
        case .success(let pins):
            let head = try #require(pins.first).head
            let isOwn = row.shown == .anonymous && row.sharing == .private
            let isCopy = !isOwn && machine.file.pages[0] != head
            #expect((isCopy ? "pin a copy" : "pin") == row.slow)
            #expect(machine.bytes(1, at: pins[0].range.first) == [row.shown == .anonymous ? 0 : 7])
            space.unpin(pins[0], in: memory)
        case .failure(let refusal): #expect("\(refusal)".prefix { $0 != "(" } == row.slow)
        }
        #expect(try machine.lostFrames() == 0)
    }

    @Test("are documented in every case, once")
    func documentation() throws {
        let repository = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(
            contentsOf: repository.appendingPathComponent("Documentation/Protocols.md"), encoding: .utf8)
        #expect(text.contains(expected))
        let rows = expected.split(separator: "\n").compactMap(Row.init)
        // What is shown, shared or private, for reading or writing, short or long; each has two columns.
        let count = Shown.allCases.count * 2 * 2 * 2
        #expect(Set(rows.map(\.testDescription)).count == count)
        #expect(rows.count == count)
    }
}
