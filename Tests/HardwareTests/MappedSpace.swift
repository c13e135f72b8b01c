import Foundation
import HostMemory
import PageTableWalk
import PageTables
import SeededRandom
import Synchronization
import TableMemory
import VirtualMemory

/// A live space with random mappings of all sizes and rights, and a virtual processor that uses it. It is for one thread.
final class MappedSpace {
    /// Two neighbouring words of memory: the first is read and executed, the second written.
    private struct Spot {
        let address: UInt64
        /// The word that stands at the address.
        let word: UInt64
        let number: UInt32
    }

    let memory: HostMemory
    private let processors: HostProcessors
    private let space: VirtualMemory.Space<X86_64>
    private let processor: KVMProcessor
    private var random: SeededRandom
    private var spots: [Spot] = []
    private var usedMemory: Set<UInt64> = []
    /// First addresses of areas of 2 MiB whose odd pages are a neighbour's.
    private var sharedAreas: [UInt64] = []
    /// A GiB of addresses of which all is a neighbour's.
    private static let foreignStart: UInt64 = 0x2000_0000_0000

    private static let arenaBytes = 16 << 20
    private static let pageBytes: UInt64 = 1 << 12
    private static let hugeBytes: UInt64 = 1 << 21
    private static let gigabyte: UInt64 = 1 << 30

    init(random: SeededRandom) throws {
        self.random = random
        let arena = try HostArena(byteCount: Self.arenaBytes)
        processors = HostProcessors(arena: arena)
        memory = processors.attach()
        let layout = PhysicalLayout(log2FrameBytes: 12, byteCount: UInt64(Self.arenaBytes))!
        space = try .make(X86_64(), layout.makeReferences(), words: layout.spaceWords(), in: memory)
        processor = try KVMProcessor(arena: arena)
        for page in KVMProcessor.programPages {
            try space.map(page.range, to: page.physical, EntryAttributes(rights: page.rights), in: memory)
        }
        try mapPages()
        try mapLarge(Self.hugeBytes, count: 12, near: 0x3000_0000_0000)
        if processor.hasGigabytePages { try mapLarge(Self.gigabyte, count: 4, near: 0x4000_0000_0000) }
        try addFrames()
        addHoles()
        spots.shuffle(using: &self.random)
    }

    // MARK: what is mapped

    private func randomRights() -> Rights {
        var rights: Rights = [.supervisorRead]
        if Bool.random(using: &random) { rights.insert(.supervisorWrite) }
        if Bool.random(using: &random) { rights.insert(.supervisorExecute) }
        if Bool.random(using: &random) { rights.formUnion(Rights(rawValue: rights.rawValue << 3)) }
        return rights
    }

    private func range(_ start: UInt64, _ bytes: UInt64) -> VirtualRange {
        VirtualRange(first: VirtualAddress(start), last: VirtualAddress(start &+ bytes &- 1))
    }

    /// An area of 2 MiB in either half of the addresses, clear of what else is mapped.
    private func randomArea() -> UInt64 {
        let low = UInt64.random(in: 0x10_0000..<0x80_0000, using: &random) << 21
        return Bool.random(using: &random) ? low : low | 0xffff_8000_0000_0000
    }

    private func mapPages() throws {
        var pages = Array(0..<KVMProcessor.deviceBytes / Self.pageBytes).shuffled(using: &random)[...]
        for _ in 0..<8 {
            let area = randomArea()
            if sharedAreas.contains(area) { continue }
            sharedAreas.append(area)
            for page in Array(0..<256 as Range<UInt64>).shuffled(using: &random).prefix(16) {
                let address = area + 2 * page * Self.pageBytes
                let physical = KVMProcessor.deviceStart + (pages.popFirst() ?? 0) * Self.pageBytes
                try space.map(
                    range(address, Self.pageBytes), to: PhysicalAddress(physical),
                    EntryAttributes(rights: randomRights()), in: memory)
                addSpot(in: address, Self.pageBytes)
            }
        }
    }

    private func mapLarge(_ bytes: UInt64, count: UInt64, near start: UInt64) throws {
        for index in 0..<count {
            let address = start + (index * 3 + UInt64.random(in: 0..<2, using: &random)) * bytes
            let place = UInt64.random(in: 0..<KVMProcessor.deviceBytes / bytes, using: &random) * bytes
            try space.map(
                range(address, bytes), to: PhysicalAddress(KVMProcessor.deviceStart + place),
                EntryAttributes(rights: randomRights()), in: memory)
            for _ in 0..<4 { addSpot(in: address, bytes) }
        }
    }

    /// Anonymous memory, which faults have mapped.
    private func addFrames() throws {
        let area = range(0x5000_0000_0000, 32 * Self.pageBytes)
        try space.add(Region(area, .anonymous, space.format.attributes([.read, .write])), in: memory)
        for page in 0..<16 as Range<UInt64> {
            let address = area.first.rawValue + 2 * page * Self.pageBytes
            var pins: [Pin] = []
            try space.pin(range(address, Self.pageBytes), for: .write, in: memory, into: &pins)
            for pin in pins { space.unpin(pin, in: memory) }
            addSpot(in: address, Self.pageBytes)
        }
    }

    private func addHoles() {
        let holes = sharedAreas.flatMap { area in
            (0..<4).map { _ in area + 2 * UInt64.random(in: 0..<256, using: &random) * Self.pageBytes }
        }
        let notCanonical = (0..<4).map { _ in UInt64.random(in: 1..<0xffff, using: &random) << 47 }
        let far = (0..<8).map { _ in 0x6000_0000_0000 + UInt64.random(in: 0..<1 << 36, using: &random) & ~15 }
        for address in holes + notCanonical + far { addSpot(at: address) }
    }

    private func addSpot(in start: UInt64, _ bytes: UInt64) {
        addSpot(at: start + UInt64.random(in: 0..<bytes / 16, using: &random) * 16)
    }

    /// Puts something at the place that `translate` finds for an address, if it finds one.
    private func addSpot(at address: UInt64) {
        let number = UInt32(spots.count + 1)
        let word = GuestProgram.word(returning: number)
        if case .mapped(let found) = translate(address) {
            // Two addresses of one place would have two words there.
            guard usedMemory.insert(found.physical.rawValue).inserted else { return }
            processor[found.physical] = word
        }
        spots.append(Spot(address: address, word: word, number: number))
    }

    // MARK: what the processor finds

    private func translate(_ address: UInt64) -> Translation {
        memory.withInterruptsBlocked { section in
            space.view(in: section).translate(VirtualAddress(address), in: section)
        }
    }

    private var root: PhysicalAddress {
        memory.withInterruptsBlocked { section in space.view(in: section).lower?.table ?? PhysicalAddress(0) }
    }

    /// Has the processor use all spots.
    ///
    /// - Parameter beforeUse: Runs when `translate` has been asked, and the processor not yet.
    /// - Returns: Each spot with which it did not do what `translate` had said.
    func disagreements(
        _ access: KVMProcessor.Access, unprivileged: Bool, beforeUse: () -> Void = {}
    ) throws -> [String] {
        let addresses = spots.map { access == .write ? $0.address | 8 : $0.address }
        let expected = zip(spots, addresses).map { expectation(access, $0, at: $1, unprivileged) }
        beforeUse()
        let found = try processor.run(access, at: addresses, unprivileged: unprivileged, root: root)
        return addresses.indices.compactMap { index in
            var problems: [String] = []
            if found[index] != expected[index] { problems.append("\(found[index]) instead of \(expected[index])") }
            if access == .write, case .mapped(let place) = translate(addresses[index]) {
                let written = expected[index].fault == 0 ? addresses[index] : 0
                if processor[place.physical] != written {
                    problems.append("wrote \(hexadecimal(processor[place.physical]))")
                }
                processor[place.physical] = 0
            }
            if problems.isEmpty { return nil }
            let who = unprivileged ? "user" : "supervisor"
            return "\(access) by the \(who) at \(hexadecimal(addresses[index])): \(problems.joined(separator: ", "))"
        }
    }

    private func expectation(
        _ access: KVMProcessor.Access, _ spot: Spot, at address: UInt64, _ unprivileged: Bool
    ) -> KVMProcessor.Result {
        let (right, code, value): (Rights, UInt64, UInt64) =
            switch access {
            case .read: (.supervisorRead, 0, spot.word)
            case .write: (.supervisorWrite, 2, 0)
            case .execute: (.supervisorExecute, 16, UInt64(spot.number))
            }
        let needed = unprivileged ? Rights(rawValue: right.rawValue << 3) : right
        let cause = GuestProgram.isPageFault | code | (unprivileged ? 4 : 0)
        switch translate(address) {
        case .mapped(let found):
            return found.rights.contains(needed)
                ? KVMProcessor.Result(value: value, fault: 0, address: 0)
                : KVMProcessor.Result(value: 0, fault: cause | 1, address: address)
        case .unmapped(let fault):
            return fault.reason == .outOfRange
                ? KVMProcessor.Result(value: 0, fault: GuestProgram.isGeneralProtection, address: 0)
                : KVMProcessor.Result(value: 0, fault: cause, address: address)
        }
    }

    // MARK: what the processor records

    func paths(allowing right: Rights) -> [[TranslationPath.Step]] { paths { $0.contains(right) } }
    func paths(denying right: Rights) -> [[TranslationPath.Step]] { paths { !$0.contains(right) } }

    /// The entries that lead to each spot that is mapped with certain rights.
    private func paths(_ isWanted: (Rights) -> Bool) -> [[TranslationPath.Step]] {
        memory.withInterruptsBlocked { section in
            let view = space.view(in: section)
            return spots.compactMap { spot in
                var path = TranslationPath()
                let found = view.translate(VirtualAddress(spot.address), in: section, observer: &path)
                guard case .mapped(let mapping) = found, isWanted(mapping.rights) else { return nil }
                return path.steps
            }
        }
    }

    func flags(of step: TranslationPath.Step) -> EntryFlags {
        space.format.attributes(of: step.entry, at: step.position.level).flags
    }

    /// Changes bits of a leaf behind the space's back.
    func flip(_ bits: UInt64, inLeafOf steps: [TranslationPath.Step]) {
        let position = steps[steps.count - 1].position
        processor[PhysicalAddress(position.table.rawValue + UInt64(8 * position.index))] ^= bits
    }

    // MARK: what happens beside

    /// A thread that maps, protects and unmaps what is not a spot: odd pages of the tables of spots, and areas of its own.
    final class Neighbour: Sendable {
        private let isOver = Atomic(false)
        private let end = DispatchSemaphore(value: 0)
        private let changes = Atomic(0)

        fileprivate init(
            _ space: VirtualMemory.Space<X86_64>, _ processors: HostProcessors, _ areas: [UInt64],
            seed: UInt64
        ) {
            let begin = DispatchSemaphore(value: 0)
            let thread = Thread { [self] in
                var random = SeededRandom(seed: seed)
                processors.withProcessor { memory in
                    begin.signal()
                    while !isOver.load(ordering: .relaxed) {
                        Self.change(space, areas, &random, in: memory)
                        changes.add(1, ordering: .relaxed)
                    }
                }
                end.signal()
            }
            thread.start()
            begin.wait()
        }

        private static func change(
            _ space: VirtualMemory.Space<X86_64>, _ areas: [UInt64], _ random: inout SeededRandom, in memory: HostMemory
        ) {
            let isForeign = areas.isEmpty || Int.random(in: 0..<4, using: &random) == 0
            let (area, bytes) =
                isForeign
                ? (foreignStart + UInt64.random(in: 0..<512, using: &random) * hugeBytes, hugeBytes)
                : (areas[Int.random(in: 0..<areas.count, using: &random)], pageBytes)
            let page = isForeign ? 0 : 2 * UInt64.random(in: 0..<256, using: &random) + 1
            let first = VirtualAddress(area + page * pageBytes)
            let range = VirtualRange(first: first, last: VirtualAddress(first.rawValue + bytes - 1))
            let place = UInt64.random(in: 0..<gigabyte / bytes, using: &random) * bytes
            let largest = PageSize(log2Bytes: Bool.random(using: &random) ? 12 : 21)
            // What is refused is refused: no memory, or mapped already.
            switch Int.random(in: 0..<4, using: &random) {
            case 0: try? space.unmap(range, in: memory)
            case 1: try? space.protect(range, [.supervisorRead, .userRead], in: memory)
            default:
                try? space.map(
                    range, to: PhysicalAddress(KVMProcessor.deviceStart + place), EntryAttributes(rights: .all),
                    largestLeaf: largest, in: memory)
            }
        }

        /// How many changes there were.
        func stop() -> Int {
            isOver.store(true, ordering: .relaxed)
            end.wait()
            return changes.load(ordering: .relaxed)
        }
    }

    func startNeighbour() -> Neighbour { Neighbour(space, processors, sharedAreas, seed: random.next()) }
}
