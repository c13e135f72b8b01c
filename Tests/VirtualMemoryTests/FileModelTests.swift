import Foundation
import HostMemory
import PageTables
import SeededRandom
import TableMemory
import Testing

@testable import VirtualMemory

private let pageBytes = 4096

/// A region of the test: which space shows which pages of the file, and where.
private struct Shown {
    let space: Int
    let firstPage: Int
    let pageCount: Int
    let sharing: FileSharing
    let start: UInt64

    func address(_ page: Int) -> VirtualAddress { VirtualAddress(start + UInt64((page - firstPage) * pageBytes)) }
    func range(_ first: Int, _ last: Int) -> VirtualRange {
        VirtualRange(
            first: address(first), last: VirtualAddress(address(last).rawValue + UInt64(pageBytes - 1)))
    }
    var range: VirtualRange { range(firstPage, firstPage + pageCount - 1) }
}

private let regions = [
    Shown(space: 0, firstPage: 0, pageCount: 5, sharing: .shared, start: 0x10_0000),
    Shown(space: 0, firstPage: 0, pageCount: 5, sharing: .private, start: 0x3f_e000),
    Shown(space: 1, firstPage: 1, pageCount: 3, sharing: .shared, start: 0x10_0000),
    Shown(space: 1, firstPage: 1, pageCount: 4, sharing: .private, start: 0x20_0000),
]

/// What a pin is on: its bytes as the model has them.
private enum Pinned {
    /// The page of the file.
    case page(Int)
    /// The copy that a region has of a page.
    case copy(region: Int, page: Int)
    /// Nobody's any more but the pin's.
    case detached([UInt8])
}

private struct HeldPin {
    let pin: Pin
    let space: Int
    let access: PageAccess
    var target: Pinned
    var isWritten = false
}

/// A plain file and plain private copies, beside the real ones.
private struct Model {
    var size: Int
    /// All pages of the file, the last one up to its end.
    var content: [UInt8]
    /// Of each region, the pages that it has copied.
    var copies: [[Int: [UInt8]]] = regions.map { _ in [:] }
    var pins: [HeldPin] = []

    static func pages(_ size: Int) -> Int { (size + pageBytes - 1) / pageBytes }
    var pages: Int { Self.pages(size) }

    init(_ bytes: [UInt8]) {
        size = bytes.count
        content = bytes + [UInt8](repeating: 0, count: Self.pages(bytes.count) * pageBytes - bytes.count)
    }

    func page(_ page: Int) -> [UInt8] { Array(content[page * pageBytes..<(page + 1) * pageBytes]) }

    /// What a region shows of a page.
    func bytes(_ region: Int, _ page: Int) -> [UInt8] { copies[region][page] ?? self.page(page) }

    mutating func write(_ bytes: [UInt8], _ offset: Int, _ region: Int, _ page: Int) {
        if regions[region].sharing == .private {
            var copy = self.bytes(region, page)
            copy.replaceSubrange(offset..<offset + bytes.count, with: bytes)
            copies[region][page] = copy
        } else {
            content.replaceSubrange(page * pageBytes + offset..<page * pageBytes + offset + bytes.count, with: bytes)
        }
    }

    func bytes(_ pinned: Pinned) -> [UInt8] {
        switch pinned {
        case .page(let page): self.page(page)
        case .copy(let region, let page): copies[region][page] ?? []
        case .detached(let bytes): bytes
        }
    }

    /// Pins of pages that go keep what those held.
    mutating func detach(_ goes: (Pinned) -> Bool) {
        for index in pins.indices where goes(pins[index].target) {
            pins[index].target = .detached(bytes(pins[index].target))
        }
    }

    mutating func resize(_ newSize: Int) {
        let kept = Self.pages(newSize)
        detach {
            switch $0 {
            case .page(let page): page >= kept
            case .copy(_, let page): page >= kept
            case .detached: false
            }
        }
        for region in regions.indices { copies[region] = copies[region].filter { $0.key < kept } }
        let end = min(size, newSize)
        content.replaceSubrange(end..., with: [UInt8](repeating: 0, count: kept * pageBytes - end))
        size = newSize
    }

    mutating func forgetCopies(_ region: Int) {
        detach { if case .copy(region, _) = $0 { true } else { false } }
        copies[region] = [:]
    }
}

@Suite("A file that is mapped")
struct FileModelTests {
    static let sizes = [0, 1, 4095, 4096, 5000, 3 * 4096 + 17, 5 * 4096]

    @Test("is what a plain array of bytes would be, whatever is done to it", arguments: sizes, 0..<6)
    func inMemory(_ size: Int, _ run: Int) throws {
        let store = MemoryStore(Self.content(size))
        try Self.play(store, size, run) { store.bytes }
    }

    @Test("is in a file of the system what a plain array of bytes would be", arguments: [5000, 3 * 4096 + 17], 6..<8)
    func onDisk(_ size: Int, _ run: Int) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("mapped-\(UUID().uuidString)").path
        try Data(Self.content(size)).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Self.play(try HostFile(path: path), size, run) {
            Array(FileManager.default.contents(atPath: path) ?? Data())
        }
    }

    private static func content(_ size: Int) -> [UInt8] { (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 + 1) } }

    private static func play<Store: BackingStore>(
        _ store: Store, _ size: Int, _ run: Int, stored: () -> [UInt8]
    ) throws {
        var game = FileGame(machine: try HostMachine(store), size: size, run: run)
        try game.addRegions()
        for _ in 0..<400 { try game.step(stored: stored) }
        try game.end(stored: stored)
    }
}

/// Random steps on the real thing and on the model.
private struct FileGame<Store: BackingStore> {
    let machine: HostMachine<Store>
    let replay: Comment
    var model: Model
    var random: SeededRandom

    init(machine: HostMachine<Store>, size: Int, run: Int) {
        self.machine = machine
        replay = "replay: size \(size), run \(run)"
        model = Model((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 + 1) })
        random = SeededRandom(seed: UInt64(size * 100 + run))
    }

    private func requireEqual<Value: Equatable>(_ found: Value, _ expected: Value) {
        let isEqual = found == expected
        #expect(isEqual, replay)
    }

    private func add(_ shown: Shown) throws {
        let space = machine.spaces[shown.space]
        let view = FileView(machine.file, offset: UInt64(shown.firstPage * pageBytes), shown.sharing)
        try space.add(
            Region(shown.range, .file(view), space.format.attributes([.read, .write])), in: machine.memory)
    }

    func addRegions() throws { for shown in regions { try add(shown) } }

    mutating func step(stored: () -> [UInt8]) throws {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: try access(.write)
        case 30..<50: try access(.read)
        case 50..<64: try pin()
        case 64..<76: try usePin()
        case 76..<84: try unpin()
        case 84..<90: try writeBack(stored: stored)
        case 90..<94: try resize()
        case 94..<96: try protect()
        case 96: reclaim()
        default: try remap()
        }
    }

    private mutating func anyPage() -> (region: Int, page: Int) {
        let region = Int.random(in: regions.indices, using: &random)
        return (region, regions[region].firstPage + Int.random(in: 0..<regions[region].pageCount, using: &random))
    }

    private mutating func someBytes() -> (offset: Int, bytes: [UInt8]) {
        let count = Int.random(in: 1...40, using: &random)
        let offset = Int.random(in: 0...pageBytes - count, using: &random)
        return (offset, (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) })
    }

    private mutating func access(_ access: PageAccess) throws {
        let (region, page) = anyPage()
        let (offset, bytes) = someBytes()
        let address = VirtualAddress(regions[region].address(page).rawValue + UInt64(offset))
        let found = machine.touch(address, for: access, in: machine.spaces[regions[region].space])
        guard page < model.pages else { return requireEqual(found, .failure(.beyondEnd(address))) }
        let place = try found.get()
        if access == .write {
            machine.write(bytes, at: place)
            model.write(bytes, offset, region, page)
        }
        let there = machine.bytes(bytes.count, at: place)
        requireEqual(there, Array(model.bytes(region, page)[offset..<offset + bytes.count]))
    }

    private mutating func pin() throws {
        let (region, page) = anyPage()
        let shown = regions[region]
        let access: PageAccess = Bool.random(using: &random) ? .write : .read
        let longTerm = Bool.random(using: &random)
        let address = shown.address(page)
        let outcome = machine.pin(
            shown.range(page, page), for: access, longTerm: longTerm, in: machine.spaces[shown.space])
        if longTerm, access == .write, shown.sharing == .shared {
            return requireEqual(outcome, .failure(.notLongTermPinnable(address)))
        }
        guard page < model.pages else { return requireEqual(outcome, .failure(.beyondEnd(address))) }
        let pin = try #require(try outcome.get().first)
        if shown.sharing == .private, access == .write || longTerm { model.write([], 0, region, page) }
        let target: Pinned = model.copies[region][page] == nil ? .page(page) : .copy(region: region, page: page)
        model.pins.append(HeldPin(pin: pin, space: shown.space, access: access, target: target))
    }

    /// A device reads or writes.
    private mutating func usePin() throws {
        guard let index = model.pins.indices.randomElement(using: &random) else { return }
        let held = model.pins[index]
        let (offset, bytes) = someBytes()
        let place = PhysicalAddress(held.pin.range.first.rawValue + UInt64(offset))
        if held.access == .write {
            machine.write(bytes, at: place)
            model.pins[index].isWritten = true
            switch held.target {
            case .page(let page): model.write(bytes, offset, 0, page)
            case .copy(let region, let page): model.write(bytes, offset, region, page)
            case .detached(var all):
                all.replaceSubrange(offset..<offset + bytes.count, with: bytes)
                // Other pins on the same frame see it as well.
                for other in model.pins.indices where model.pins[other].pin.head == held.pin.head {
                    model.pins[other].target = .detached(all)
                }
            }
        }
        let there = machine.bytes(bytes.count, at: place)
        requireEqual(there, Array(model.bytes(model.pins[index].target)[offset..<offset + bytes.count]))
    }

    private mutating func unpin() throws {
        guard let index = model.pins.indices.randomElement(using: &random) else { return }
        let held = model.pins.remove(at: index)
        machine.spaces[held.space].unpin(held.pin, dirty: held.isWritten, in: machine.memory)
    }

    /// The store then has all that was written, but for what a device has not told yet.
    private mutating func writeBack(stored: () -> [UInt8]) throws {
        try machine.file.writeBack(in: machine.memory)
        var untold: Set<Int> = []
        for held in model.pins where held.isWritten { if case .page(let page) = held.target { untold.insert(page) } }
        let bytes = stored()
        #expect(bytes.count == model.size, replay)
        for page in 0..<model.pages where !untold.contains(page) {
            let range = page * pageBytes..<min((page + 1) * pageBytes, model.size)
            requireEqual(bytes[range], model.content[range])
        }
    }

    private mutating func resize() throws {
        let size = Int.random(in: 0...5 * pageBytes, using: &random)
        try machine.file.resize(to: UInt64(size), in: machine.memory)
        model.resize(size)
        #expect(machine.file.size(in: machine.memory) == UInt64(size), replay)
    }

    /// Nobody notices but the frames.
    private mutating func reclaim() {
        let before = (
            machine.file.cachedPageCount(in: machine.memory),
            machine.references.allocator.freeFrameCount(in: machine.memory)
        )
        let count = machine.file.reclaim(in: machine.memory)
        #expect(machine.file.cachedPageCount(in: machine.memory) == before.0 - count, replay)
        #expect(machine.references.allocator.freeFrameCount(in: machine.memory) == before.1 + UInt64(count), replay)
        // What is behind the end of the file is nowhere but in the page.
        if model.pages > 0, machine.file.pages[UInt64(model.pages - 1)] == nil { model.resize(model.size) }
    }

    private mutating func protect() throws {
        let (region, page) = anyPage()
        let space = machine.spaces[regions[region].space]
        let range = regions[region].range(page, page)
        let address = range.first
        try space.protect(range, space.format.attributes([.read]).rights, in: machine.memory)
        let denied = machine.touch(address, for: .write, in: space)
        requireEqual(denied, .failure(.accessDenied(address)))
        try space.protect(range, space.format.attributes([.read, .write]).rights, in: machine.memory)
    }

    private mutating func remap() throws {
        let region = Int.random(in: regions.indices, using: &random)
        try machine.spaces[regions[region].space].unmap(regions[region].range, in: machine.memory)
        model.forgetCopies(region)
        try add(regions[region])
    }

    mutating func end(stored: () -> [UInt8]) throws {
        while !model.pins.isEmpty { try unpin() }
        try writeBack(stored: stored)
        for region in regions.indices {
            for page in regions[region]
                .firstPage..<min(regions[region].firstPage + regions[region].pageCount, model.pages)
            {
                let place = try machine.touch(
                    regions[region].address(page), for: .read, in: machine.spaces[regions[region].space]
                ).get()
                requireEqual(machine.bytes(pageBytes, at: place), model.bytes(region, page))
            }
        }
        #expect(try machine.lostFrames() == 0, replay)
        requireEqual(stored(), Array(model.content[0..<model.size]))
    }
}
