import PageTables

/// Random numbers that a seed replays: SplitMix64.
struct CaseRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ limit: Int) -> Int { limit > 0 ? Int(next() % UInt64(limit)) : 0 }
    mutating func chance(_ one: Int, in many: Int) -> Bool { below(many) < one }
}

/// Damages a file where it hurts.
struct Mutator {
    let seed: MutationSeed
    var random: CaseRandom
    var bytes: [UInt8]

    init(_ seed: MutationSeed, _ random: CaseRandom) {
        self.seed = seed
        self.random = random
        bytes = seed.bytes
    }

    mutating func run() {
        for _ in 0..<1 + random.below(6) {
            guard !bytes.isEmpty else { return }
            let inTables = !seed.tables.isEmpty && random.chance(2, in: 3)
            if inTables { damageTables() } else { damageStructure() }
        }
        if random.chance(1, in: 8) { bytes.removeLast(random.below(bytes.count)) }
        if random.chance(1, in: 24) { splice() }
    }

    // MARK: structure

    private mutating func place() -> Int {
        if !seed.structure.isEmpty && random.chance(5, in: 6) {
            let part = seed.structure[random.below(seed.structure.count)]
            return min(part.lowerBound + random.below(part.count), bytes.count - 1)
        }
        return random.below(bytes.count)
    }

    private mutating func damageStructure() {
        let place = place()
        switch random.below(9) {
        case 0: bytes[place] ^= 1 << UInt8(random.below(8))
        case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 2: write(interesting(), bytes: 1 << random.below(4), at: place & ~3)
        case 3: write(interesting(), bytes: 8, at: place & ~7)
        case 4: write(interesting(), bytes: 2, at: place & ~1)
        case 5: copy(from: self.place() & ~7, to: place & ~7, count: 8 << random.below(4))
        case 6: damageProgramHeaders()
        case 7: damageCounts()
        default: write(random.next(), bytes: 8, at: place & ~7)
        }
    }

    /// Numbers at which arithmetic and bounds go wrong.
    private mutating func interesting() -> UInt64 {
        let size = UInt64(bytes.count)
        switch random.below(14) {
        case 0: return 0
        case 1: return 1
        case 2: return .max
        case 3: return .max - UInt64(random.below(4096))
        case 4: return UInt64(Int64.max) &+ UInt64(random.below(3)) &- 1
        case 5: return size &+ UInt64(random.below(3)) &- 1
        case 6: return size / UInt64(1 + random.below(64))
        case 7: return 1 << UInt64(random.below(64))
        case 8: return (1 << UInt64(random.below(64))) &- 1
        case 9: return 0xffff_ffff
        case 10: return 0x7fff_ffff
        case 11: return 0xffff
        case 12: return seed.tableAddresses.randomElement(using: &random) ?? 4096
        default: return UInt64(random.below(bytes.count))
        }
    }

    private mutating func write(_ value: UInt64, bytes count: Int, at place: Int) {
        // Nobody knows which order a field has.
        let ordered = random.chance(1, in: 2) ? value.littleEndian : value.bigEndian
        let shifted = random.chance(1, in: 2) ? ordered : value.littleEndian
        for index in 0..<count where place + index < bytes.count {
            bytes[place + index] = UInt8(truncatingIfNeeded: shifted >> UInt64(8 * index))
        }
    }

    private mutating func copy(from source: Int, to target: Int, count: Int) {
        guard source < bytes.count, target < bytes.count else { return }
        let count = min(count, bytes.count - max(source, target))
        let piece = bytes[source..<source + count]
        bytes.replaceSubrange(target..<target + count, with: piece)
    }

    /// Program headers twice, swapped, overlapping: where the file is an ELF file.
    private mutating func damageProgramHeaders() {
        guard seed.structure.count > 1, bytes.count > 64, bytes[0] == 0x7f else { return }
        let wide = bytes[4] == 2
        let stride = wide ? 56 : 32
        let first = wide ? 64 : 52
        let count = max(1, (seed.structure[1].upperBound - first) / stride)
        let one = first + random.below(count) * stride
        let other = first + random.below(count) * stride
        switch random.below(3) {
        case 0: copy(from: one, to: other, count: stride)
        case 1:
            // The same physical address, or one a little beside it.
            let field = wide ? 24 : 12
            copy(from: one + field, to: other + field, count: wide ? 8 : 4)
            if random.chance(1, in: 2), other + field < bytes.count { bytes[other + field] ^= 0x10 }
        default:
            let field = (wide ? [8, 24, 32, 40] : [4, 12, 16, 20])[random.below(4)]
            write(interesting(), bytes: wide ? 8 : 4, at: other + field)
        }
    }

    /// Counts and sizes of the known headers.
    private mutating func damageCounts() {
        let fields: [(Int, Int)] =
            if bytes[0] == 0x7f {
                bytes.count > 5 && bytes[4] == 2
                    ? [(56, 2), (54, 2), (32, 8), (40, 8), (44, 4), (16, 2), (18, 2), (4, 1), (5, 1)]
                    : [(44, 2), (42, 2), (28, 4), (32, 4), (16, 2), (18, 2), (4, 1), (5, 1)]
            } else if bytes[0] == 0x4b || bytes[0] == 0x44 {
                [(428, 4), (432, 4), (436, 4), (440, 4), (416, 4), (420, 4), (424, 4), (8, 4), (272, 8)]
            } else {
                [(4096, 8), (4104, 8), (4112 + 428, 4), (4112 + 440, 4), (16, 8), (8, 8), (4112 + 436, 4)]
            }
        let (place, count) = fields[random.below(fields.count)]
        write(interesting(), bytes: count, at: place)
    }

    private mutating func splice() {
        guard bytes.count > 16 else { return }
        let place = random.below(bytes.count)
        if random.chance(1, in: 2) {
            bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(64)))
        } else {
            let source = random.below(bytes.count)
            let piece = bytes[source..<min(bytes.count, source + 1 + random.below(4096))]
            bytes.insert(contentsOf: piece, at: place)
        }
    }

    // MARK: tables

    private func entry(at place: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<seed.entryBytes where place + index < bytes.count {
            let shift = seed.order == .little ? index : seed.entryBytes - 1 - index
            value |= UInt64(bytes[place + index]) << UInt64(8 * shift)
        }
        return value
    }

    private mutating func setEntry(_ value: UInt64, at place: Int) {
        for index in 0..<seed.entryBytes where place + index < bytes.count {
            let shift = seed.order == .little ? index : seed.entryBytes - 1 - index
            bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * shift))
        }
    }

    /// A word of a table; one that is not zero, if one is near.
    private mutating func word(used: Bool) -> Int {
        let end = min(seed.tables.upperBound, bytes.count)
        let count = max(1, (end - seed.tables.lowerBound) / seed.entryBytes)
        let first = random.below(count)
        guard used else { return seed.tables.lowerBound + first * seed.entryBytes }
        for index in 0..<min(512, count) {
            let place = seed.tables.lowerBound + (first + index) % count * seed.entryBytes
            if entry(at: place) != 0 { return place }
        }
        return seed.tables.lowerBound + first * seed.entryBytes
    }

    /// An entry that leads to `address`, with the other bits of one that is there.
    private mutating func pointer(to address: UInt64) -> UInt64 {
        let model = entry(at: word(used: true))
        if seed.name.hasPrefix("riscv") { return model & 0x3ff | address >> 2 }
        let kept: UInt64 = seed.entryBytes == 4 ? 0xfff : 0xfff0_0000_0000_0fff
        return model & kept | address
    }

    private mutating func damageTables() {
        let place = word(used: random.chance(3, in: 4))
        let table = seed.tableAddresses.randomElement(using: &random) ?? 0
        switch random.below(10) {
        case 0, 1: setEntry(pointer(to: table), at: place)
        case 2: setEntry(entry(at: word(used: true)), at: place)
        case 3: setEntry(entry(at: place) ^ 1 << UInt64(random.below(seed.entryBytes * 8)), at: place)
        case 4: setEntry(random.next(), at: place)
        case 5: setEntry(pointer(to: random.next() & 0x000f_ffff_ffff_f000), at: place)
        case 6: setEntry(pointer(to: table ^ UInt64(8 << random.below(9))), at: place)
        case 7:
            // Many ways to one table: the number of paths grows with the power of the depth.
            let value = pointer(to: table)
            for index in 0..<8 << random.below(7) { setEntry(value, at: place + index * seed.entryBytes) }
        case 8:
            // The same, with rights and software bits that differ.
            let value = pointer(to: table)
            for index in 0..<8 << random.below(6) {
                setEntry(value ^ UInt64(random.below(0x1000)), at: place + index * seed.entryBytes)
            }
        default: copy(from: word(used: true), to: place, count: 4096 >> random.below(9))
        }
    }
}
