import CReference
import PageTableWalk
import PageTables

/// A guest's tables, as `TableImage` makes them, under extended page tables: the guest's tables in small pages, in an order of the
/// second stage's own, and its other memory in pages of 2 MiB.
final class TwoStageImage {
    private let guest: TableImage
    private let bytes: UnsafeMutableRawBufferPointer
    private let stageRoot: UInt64
    private static let tableBytes = 4096
    /// Guest-physical memory in GiB: as much as the frames of the guest's leaves take.
    private static let gigabytes = 64

    /// - Parameter leafTables: Of the guest; with those above they fit into 2 MiB.
    init(leafTables: Int) {
        guest = TableImage(leafTables: leafTables, runs: false)
        let guestTables = guest.tableCount
        precondition(guestTables <= 512, "one table maps the guest's tables")
        let root = guestTables
        bytes = .allocate(byteCount: (root + 3 + Self.gigabytes) * Self.tableBytes, alignment: Self.tableBytes)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        stageRoot = UInt64(root * Self.tableBytes)
        var random = Sequence64(seed: 0x4550_5431)
        var places = Array(0..<guestTables)
        for index in places.indices.reversed() { places.swapAt(index, random.below(index + 1)) }
        for (table, place) in places.enumerated() {
            let from = UnsafeRawBufferPointer(guest.bytes)[table * Self.tableBytes..<(table + 1) * Self.tableBytes]
            bytes[place * Self.tableBytes..<(place + 1) * Self.tableBytes].copyBytes(from: from)
        }
        let (pointers, small, directories) = (root + 1, root + 2, root + 3)
        store(table(pointers), in: root, at: 0)
        for gigabyte in 0..<Self.gigabytes {
            store(table(directories + gigabyte), in: pointers, at: gigabyte)
            for index in 0..<512 {
                let page = UInt64(gigabyte * 512 + index) << 21
                store(page ^ 0x30_0000_0000 | 0xb7, in: directories + gigabyte, at: index)
            }
        }
        store(table(small), in: directories, at: 0)
        for index in 0..<512 {
            let place = index < guestTables ? places[index] : 0x10_0000 + index
            store(UInt64(place * Self.tableBytes) | 0x37, in: small, at: index)
        }
    }

    deinit { bytes.deallocate() }

    private func table(_ number: Int) -> UInt64 { UInt64(number * Self.tableBytes) | 7 }

    private func store(_ entry: UInt64, in table: Int, at index: Int) {
        bytes.storeBytes(of: entry.littleEndian, toByteOffset: table * Self.tableBytes + index * 8, as: UInt64.self)
    }

    func addresses(_ count: Int) -> [UInt64] { guest.addresses(count) }

    var memory: FlatMemory { FlatMemory(UnsafeRawBufferPointer(bytes)) }

    var space: TwoStageSpace<X86_64, X86EPT> {
        let stage = AddressSpace<X86EPT>.unsigned(
            X86EPT(), root: PhysicalAddress(stageRoot), topLevel: Level(3), bits: 48)
        return TwoStageSpace(guest: guest.space, stage: stage)
    }

    /// The same for the reference in C.
    var reference: reference_stages {
        var inner = guest.reference
        inner.base = UnsafePointer(bytes.assumingMemoryBound(to: UInt8.self).baseAddress)
        inner.size = UInt64(bytes.count)
        return reference_stages(guest: inner, stageRoot: stageRoot, stageReservedMask: X86EPT().reservedMask)
    }
}

@inline(never)
private func translateCall(
    _ address: VirtualAddress, _ space: TwoStageSpace<X86_64, X86EPT>, _ memory: FlatMemory
) throws(FlatMemory.Absent) -> TwoStageTranslation {
    try space.translate(address, in: memory)
}

@inline(never)
private func translateCalls(
    _ addresses: [UInt64], _ space: TwoStageSpace<X86_64, X86EPT>, _ memory: FlatMemory
) throws(FlatMemory.Absent) -> UInt64 {
    var sum: UInt64 = 0
    for address in addresses {
        guard case .mapped(let found) = try translateCall(VirtualAddress(address), space, memory) else { continue }
        sum &+= found.physical.rawValue &+ found.guest.physical.rawValue
        sum &+= found.guest.leaf.rawValue &+ found.stage.leaf.rawValue
        sum &+= UInt64(truncatingIfNeeded: found.guest.level.rawValue &+ found.stage.level.rawValue)
        sum &+= UInt64(found.rights.rawValue) &+ UInt64(found.pageSize.log2Bytes)
    }
    return sum
}

/// 24 loads an address, from tables that the caches hold.
func measureTwoStages(_ options: Options) throws {
    let name = "translate through two stages, calls"
    guard options.wants(name) else { return }
    let image = TwoStageImage(leafTables: 65)
    let addresses = image.addresses(8192)
    let (space, memory, reference) = (image.space, image.memory, image.reference)
    try withExtendedLifetime(image) {
        Output(json: options.json).show(
            try Pair(
                name: name, unit: "translation", count: addresses.count,
                swift: { try translateCalls(addresses, space, memory) },
                c: {
                    withUnsafePointer(to: reference) { reference_translate_two_stages($0, addresses, addresses.count) }
                }
            ).run(repetitions: options.repetitions))
    }
}
