import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// A writable format, with what is checked of it.
struct WritableCase: Sendable, CustomTestStringConvertible {
    let name: String
    let check: @Sendable (WritableProperty) throws -> Void

    /// - Parameter physicalBits: Width of the addresses that leaves can hold.
    init<F: WritableFormat>(_ name: String, _ format: F, physicalBits: UInt64) {
        self.name = name
        check = { property in
            switch property {
            case .addressBits: try checkAddressBits(format, physicalBits)
            case .covers: checkCovers(format)
            case .life:
                let layout = PhysicalLayout(
                    log2FrameBytes: format.log2FrameBytes, frameCount: (4 << 20) >> UInt32(format.log2FrameBytes))
                for level in format.topLevels.lowerBound.rawValue...format.topLevels.upperBound.rawValue {
                    for filling in TableFilling.allCases {
                        let arena = try HostArena(byteCount: Int(layout.byteCount))
                        let memory = HostProcessors(arena: arena).attach()
                        defer { memory.detach() }
                        try WritableTrial(format, Level(level), filling, layout, memory).run(physicalBits)
                    }
                }
            }
        }
    }

    var testDescription: String { name }

    /// A line for each format, and one for each mode that moves bits.
    static let all: [WritableCase] = [
        WritableCase("x86-64", X86_64(), physicalBits: 52),
        WritableCase("x86-64, five levels", X86_64FiveLevel(), physicalBits: 52),
        WritableCase("x86 PAE", X86PAE(), physicalBits: 52),
        WritableCase("x86 PAE, in halves", AccessedInHalves(X86PAE()), physicalBits: 52),
        WritableCase("arm64, 4 KiB", Arm64<Granule4K>(), physicalBits: 48),
        WritableCase("arm64, 4 KiB, 40-bit", Arm64<Granule4K>(physicalAddressBits: 40), physicalBits: 40),
        WritableCase("arm64, 4 KiB, wide", Arm64<Granule4K>(wideAddresses: true), physicalBits: 52),
        WritableCase("arm64, 16 KiB", Arm64<Granule16K>(), physicalBits: 48),
        WritableCase("arm64, 16 KiB, wide", Arm64<Granule16K>(wideAddresses: true), physicalBits: 52),
        WritableCase("arm64, 64 KiB", Arm64<Granule64K>(), physicalBits: 48),
        WritableCase("arm64, 64 KiB, wide", Arm64<Granule64K>(wideAddresses: true), physicalBits: 52),
        WritableCase("arm64, 4 KiB, big-endian", Arm64<Granule4K>(byteOrder: .big), physicalBits: 48),
        WritableCase("riscv Sv39", RISCVSv39(), physicalBits: 56),
        WritableCase("riscv Sv48", RISCVSv48(), physicalBits: 56),
        WritableCase("riscv Sv57", RISCVSv57(), physicalBits: 56),
        WritableCase("ppc64 radix, 4 KiB", PPC64Radix4K(), physicalBits: 53),
        WritableCase("ppc64 radix, 64 KiB", PPC64Radix64K(), physicalBits: 53),
        WritableCase("ppc64 radix, 64 KiB, in halves", AccessedInHalves(PPC64Radix64K()), physicalBits: 53),
        WritableCase("ppc64 radix, 4 KiB, in halves", AccessedInHalves(PPC64Radix4K()), physicalBits: 53),
        WritableCase("s390x", S390x(), physicalBits: 64),
        WritableCase("x86 EPT", X86EPT(), physicalBits: 52),
        WritableCase("x86 EPT, five levels, 46-bit", X86EPTFiveLevel(physicalAddressBits: 46), physicalBits: 46),
        WritableCase("riscv Sv39x4", RISCVSv39x4(), physicalBits: 56),
        WritableCase("riscv Sv57x4", RISCVSv57x4(), physicalBits: 56),
    ]
}

enum WritableProperty: Sendable { case addressBits, covers, life }

@Suite("A writable format")
struct WritableFormatTests {
    @Test("puts every bit of an address where its encoding of leaves has it", arguments: WritableCase.all)
    func addressBits(_ format: WritableCase) throws { try format.check(.addressBits) }

    @Test("covers the addresses that its spaces translate, and no others", arguments: WritableCase.all)
    func covers(_ format: WritableCase) throws { try format.check(.covers) }

    @Test(
        "maps with leaves of every level, changes rights and nothing else, splits, unmaps, and gives all frames back",
        arguments: WritableCase.all)
    func life(_ format: WritableCase) throws { try format.check(.life) }
}

extension WritableFormat {
    fileprivate func levelsOfLeaves(_ topLevel: Level) -> [Level] {
        (0...topLevel.rawValue).map { Level($0) }.filter(canMapLeaf)
    }
}

private func checkAddressBits<F: WritableFormat>(_ format: F, _ physicalBits: UInt64) throws {
    let attributes = format.attributes([.read, .write])
    for level in format.levelsOfLeaves(format.topLevels.upperBound) {
        let size = PageSize(log2Bytes: Int(format.shift(level)))
        let zero = try format.leaf(PhysicalAddress(0), size, attributes, at: level).rawValue
        for bit in format.shift(level)..<physicalBits {
            let page = PhysicalAddress(1 << bit)
            let leaf = try format.leaf(page, size, attributes, at: level).rawValue
            #expect(zero | format.addressBits(page, at: level) == leaf, "level \(level), bit \(bit)")
        }
        guard physicalBits < 64 else { continue }
        let beyond = PhysicalAddress(1 << physicalBits)
        let wide = Entry(zero | format.addressBits(beyond, at: level))
        #expect(format.physical(of: wide, at: level, for: VirtualAddress(0)) != beyond, "level \(level)")
    }
}

private func checkCovers<F: WritableFormat>(_ format: F) {
    for number in format.topLevels.lowerBound.rawValue...format.topLevels.upperBound.rawValue {
        let level = Level(number)
        let space = format.addressSpace(root: PhysicalAddress(1 << 20), topLevel: level)
        var corners: [UInt64] = [0, .max, 1 << 63]
        for tree in space.trees {
            for edge in [tree.range.first.rawValue, tree.range.last.rawValue] {
                corners += [edge &- 1, edge, edge &+ 1]
            }
        }
        for corner in corners {
            let address = VirtualAddress(corner)
            let isTranslated = space.tree(for: address) != nil
            #expect(format.covers(address, topLevel: level) == isTranslated, "\(address), top \(level)")
            let range = VirtualRange(first: address, last: address)
            #expect(format.covers(range, topLevel: level) == isTranslated, "\(address), top \(level)")
        }
        if let lower = space.lower, let upper = space.upper {
            #expect(!format.covers(VirtualRange(first: lower.range.first, last: upper.range.last), topLevel: level))
        }
    }
}

/// One space from its making to its end.
private struct WritableTrial<F: WritableFormat, Memory: SharedMemory> {
    let format: F
    let topLevel: Level
    let memory: Memory
    let layout: PhysicalLayout
    let references: FrameReferences
    let space: Space<F>

    init(
        _ format: F, _ topLevel: Level, _ filling: TableFilling, _ layout: PhysicalLayout, _ memory: Memory
    ) throws {
        self.format = format
        self.topLevel = topLevel
        self.memory = memory
        self.layout = layout
        references = layout.makeReferences()
        space = try Space.make(
            format, topLevel: topLevel, references, words: layout.spaceWords(), filling: filling, in: memory)
    }

    func run(_ physicalBits: UInt64) throws {
        #expect(try topLevelNow() == topLevel)
        let starts = format.addressSpace(root: PhysicalAddress(0), topLevel: topLevel).trees.map(\.range.first.rawValue)
        for level in format.levelsOfLeaves(topLevel) {
            for start in starts { try checkLeaf(at: level, start, physicalBits) }
        }
        try checkFrames()
        try space.tearDown(in: memory)
        #expect(try references.allocator.freeFrameCount(in: memory) == UInt64(layout.map.frameCount))
    }

    func topLevelNow() throws -> Level? {
        try memory.withRCUReader { (section) throws(Memory.Failure) in try space.view(in: section) }.trees.first?
            .topLevel
    }

    func translate(_ address: UInt64) throws -> (mapping: Mapping?, path: TranslationPath) {
        var path = TranslationPath()
        let translation = try memory.withInterruptsBlocked { (section) throws(Memory.Failure) in
            try space.view(in: section).translate(VirtualAddress(address), in: section, observer: &path)
        }
        if case .mapped(let mapping) = translation { return (mapping, path) }
        return (nil, path)
    }

    /// One leaf at a level, as high in physical memory as it can be.
    func checkLeaf(at level: Level, _ start: UInt64, _ physicalBits: UInt64) throws {
        let shift = format.shift(level)
        guard shift < physicalBits else { return }
        // Index 1 of its table, and of those above where there is one.
        let bytes: UInt64 = 1 << shift
        let first = start &+ bytes
        let range = VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first &+ (bytes - 1)))
        guard format.covers(range, topLevel: topLevel) else { return }
        let physical: UInt64 = 1 << physicalBits &- bytes
        let attributes = format.attributes([.read, .write])
        try space.map(range, to: PhysicalAddress(physical), attributes, in: memory)
        for offset in [0, 1, bytes / 2, bytes - 1] {
            let mapping = try #require(try translate(first + offset).mapping)
            #expect(mapping.physical.rawValue == physical &+ offset)
            #expect(mapping.level == level)
            #expect(mapping.rights == format.effectiveRights(attributes.rights))
        }

        // Hardware records a use; taking the right to write away leaves it.
        let step = try #require(try translate(first).path.steps.last)
        let place = space.place(step.position.index, of: step.position.table)
        #expect(try memory.load64(place, format.byteOrder) == step.entry.rawValue)
        let used = Entry(step.entry.rawValue | format.recordBits(at: level))
        try memory.store(used, format, at: place, .release)
        #expect(format.shape(of: used, at: level) == .leaf)
        let read = format.attributes(.read).rights
        try space.protect(range, read, in: memory)
        let protected = try #require(try translate(first).mapping)
        #expect(protected.leaf.rawValue & format.recordBits(at: level) == format.recordBits(at: level))
        #expect(protected.rights == format.effectiveRights(read))
        #expect(protected.physical.rawValue == physical)

        // The last page alone gets the right back: the leaf is split down to it.
        let page: UInt64 = 1 << UInt64(format.log2FrameBytes)
        let lastPage = VirtualRange(first: VirtualAddress(range.last.rawValue - (page - 1)), last: range.last)
        try space.protect(lastPage, attributes.rights, in: memory)
        let small = try #require(try translate(lastPage.first.rawValue).mapping)
        #expect(small.level == .leafTable)
        #expect(small.physical.rawValue == physical &+ bytes &- page)
        #expect(small.rights == format.effectiveRights(attributes.rights))
        #expect(small.leaf.rawValue & format.recordBits(at: .leafTable) == format.recordBits(at: .leafTable))
        if level > .leafTable {
            for offset in [0, bytes / 2 - 1, bytes - page - 1] {
                let other = try #require(try translate(first + offset).mapping)
                #expect(other.physical.rawValue == physical &+ offset)
                #expect(other.rights == format.effectiveRights(read))
            }
        }
        try space.unmap(range, in: memory)
        for offset in [0, bytes - 1] {
            #expect(try translate(first + offset).mapping == nil)
            let entry = try #require(try translate(first + offset).path.steps.last?.entry)
            #expect(format.shape(of: entry, at: level) == .invalid)
        }
    }

    /// Frames are mapped, pinned, and mapped elsewhere at the same address.
    func checkFrames() throws {
        let page: UInt64 = 1 << UInt64(format.log2FrameBytes)
        let range = VirtualRange(first: VirtualAddress(page), last: VirtualAddress(2 * page - 1))
        for _ in 0..<2 {
            let frame = try #require(try references.allocator.allocate(in: memory))
            let address = layout.map.address(of: frame)
            try space.map(range, to: address, format.attributes([.read, .write]), in: memory)
            try references.drop(on: frame, in: memory)
            let pin = try memory.withInterruptsBlocked { (section) throws(Memory.Failure) in
                try space.pinFast(range.first, for: .write, in: section)
            }
            #expect(try #require(pin).range.first == address)
            try space.unpin(try #require(pin), in: memory)
            try space.unmap(range, in: memory)
        }
    }
}
