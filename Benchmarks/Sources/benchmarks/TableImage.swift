import CReference
import PageTables

/// Numbers that are the same in every run (SplitMix64).
struct Sequence64 {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

/// Real x86-64 tables of four levels in one buffer, with leaf tables full of 4 KiB pages from address 0 upward.
final class TableImage {
    static let format = X86_64(physicalAddressBits: 46)

    let bytes: UnsafeMutableRawBufferPointer
    let tableCount: Int
    let pageCount: Int
    private static let tableBytes = 4096
    private static let root: UInt64 = 0

    /// - Parameters:
    ///   - leafTables: How many; the tables above them follow from it.
    ///   - runs: Whether pages form runs of consecutive frames with equal attributes, 38 pages long on average, as a
    ///     used machine has them; otherwise each page has a frame and attributes of its own.
    init(leafTables: Int, runs: Bool) {
        let directories = (leafTables + 511) / 512
        let pointers = (directories + 511) / 512
        precondition(pointers <= 256, "the tables fit the lower half")
        tableCount = 1 + pointers + directories + leafTables
        pageCount = leafTables * 512
        bytes = .allocate(byteCount: tableCount * Self.tableBytes, alignment: Self.tableBytes)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)

        var random = Sequence64(seed: 0x5041_4745)
        // The order of tables in memory is not that of addresses; the root stays first.
        var places = Array(1..<tableCount)
        for index in places.indices.reversed() { places.swapAt(index, random.below(index + 1)) }
        let pointerPlaces = places[..<pointers]
        let directoryPlaces = places[pointers..<(pointers + directories)]
        let leafPlaces = places[(pointers + directories)...]

        link(0, to: pointerPlaces)
        for (number, place) in pointerPlaces.enumerated() { link(place, to: part(number, of: directoryPlaces)) }
        for (number, place) in directoryPlaces.enumerated() { link(place, to: part(number, of: leafPlaces)) }
        fill(leafPlaces, runs: runs, with: &random)
    }

    deinit { bytes.deallocate() }

    private func part(_ number: Int, of places: ArraySlice<Int>) -> ArraySlice<Int> {
        places.dropFirst(number * 512).prefix(512)
    }

    private func store(_ entry: UInt64, in table: Int, at index: Int) {
        bytes.storeBytes(of: entry.littleEndian, toByteOffset: table * Self.tableBytes + index * 8, as: UInt64.self)
    }

    /// Entries that let everything through: present, writable, user, accessed.
    private func link(_ table: Int, to places: ArraySlice<Int>) {
        for (index, place) in places.enumerated() {
            store(UInt64(place * Self.tableBytes) | 0x27, in: table, at: index)
        }
    }

    private func fill(_ leafPlaces: ArraySlice<Int>, runs: Bool, with random: inout Sequence64) {
        var left = 0
        var frame: UInt64 = 0
        var flags: UInt64 = 0
        for place in leafPlaces {
            for index in 0..<512 {
                if left == 0 {
                    left = runs ? 1 + random.below(76) : 1
                    frame = random.next() >> 40
                    // Present; R/W, U/S, A, D as it comes; no-execute as well.
                    flags = 1 | random.next() & 0x66 | random.next() & 1 << 63
                }
                store(frame << 12 | flags, in: place, at: index)
                frame += 1
                left -= 1
            }
        }
    }

    /// Addresses of mapped bytes, in no order.
    func addresses(_ count: Int) -> [UInt64] {
        var random = Sequence64(seed: 0x5761_6c6b)
        return (0..<count).map { _ in UInt64(random.below(pageCount)) << 12 | random.next() & 0xfff }
    }

    var memory: FlatMemory { FlatMemory(UnsafeRawBufferPointer(bytes)) }

    var space: AddressSpace<X86_64> { .x86LongMode(Self.format, cr3: Self.root) }

    /// The same space for the reference in C.
    var reference: reference_space {
        let addressMask: UInt64 = (1 << 46) - 0x1000
        return reference_space(
            base: UnsafePointer(bytes.assumingMemoryBound(to: UInt8.self).baseAddress), size: UInt64(bytes.count),
            root: Self.root, addressMask: addressMask, reservedMask: Self.format.reservedMask)
    }
}
