import CReference
import HostMemory
import PageTableWalk
import PageTables
import TableMemory

// Words of host memory and read sections, against the same protocols in C.

private let word = Word<UInt64>(PhysicalAddress(4096))
private let ticketLock = TicketLock(at: PhysicalAddress(8192))
private let readerWriterLock = ReaderWriterLock(at: PhysicalAddress(12_288))

@inline(never)
private func sections(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sections: UInt64 = 0
    while sections < count {
        memory.withInterruptsBlocked { _ in }
        sections &+= 1
    }
    return sections
}

@inline(never)
private func readers(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sections: UInt64 = 0
    while sections < count {
        memory.withRCUReader { _ in }
        sections &+= 1
    }
    return sections
}

@inline(never)
private func sectionsLoading(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count {
        sum &+= memory.withInterruptsBlocked { $0.load64(word.address, .host) }
    }
    return sum
}

@inline(never)
private func loads(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count { sum &+= memory.load(word, .acquire) }
    return sum
}

@inline(never)
private func stores(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    for number in 0..<count { memory.store(number, to: word, .release) }
    return memory.load(word, .relaxed)
}

@inline(never)
private func adds(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count { sum &+= memory.add(1, to: word, .full) }
    return sum
}

@inline(never)
private func addsIfPositive(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count { sum &+= memory.addIfPositive(1, to: word, .full) ?? 0 }
    return sum
}

@inline(never)
private func compareExchanges(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count {
        if memory.compareExchange(word, expected: sum, desired: sum &+ 1, .full).isExchanged { sum &+= 1 }
    }
    return sum
}

@inline(never)
private func ticketLocks(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count { memory.withLock(ticketLock) { _ in sum &+= 1 } }
    return sum
}

@inline(never)
private func readLocks(_ memory: HostMemory, _ count: UInt64) -> UInt64 {
    var sum: UInt64 = 0
    for _ in 0..<count { memory.withReadLock(readerWriterLock) { _ in sum &+= 1 } }
    return sum
}

@inline(never)
private func translateCall(
    _ address: VirtualAddress, _ space: Space, _ tables: borrowing InterruptsBlocked<HostMemory>
) -> Translation {
    space.translate(address, in: tables)
}

/// One call for each address, and a section around each call.
@inline(never)
private func translateInSections(_ addresses: [UInt64], _ space: Space, _ memory: HostMemory) -> UInt64 {
    var sum: UInt64 = 0
    for address in addresses {
        sum &+= memory.withInterruptsBlocked { digest(translateCall(VirtualAddress(address), space, $0)) }
    }
    return sum
}

/// The walker of images, with the witness of a section as its memory, against C without sections.
func measureTranslationsInSections(_ options: Options) throws {
    let name = "translate 272 KiB, in sections"
    guard options.wants(name) else { return }
    let image = TableImage(leafTables: 65, runs: false)
    let addresses = image.addresses(8192)
    let arena = try HostArena(byteCount: image.bytes.count)
    try HostProcessors(arena: arena).withProcessor { memory throws in
        for offset in stride(from: 0, to: image.bytes.count, by: 8) {
            let entry = image.bytes.load(fromByteOffset: offset, as: UInt64.self)
            memory.store(entry, to: Word(PhysicalAddress(UInt64(offset))), .relaxed)
        }
        let (space, reference) = (image.space, image.reference)
        let pair = Pair(
            name: name, unit: "translation", count: addresses.count,
            swift: { translateInSections(addresses, space, memory) },
            c: { translateCallsInC(addresses, reference) })
        try withExtendedLifetime(image) {
            Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
        }
    }
}

/// One thread, nobody in its way.
func measureSharedWords(_ options: Options) throws {
    let count: UInt64 = 1 << 20
    let processors = HostProcessors(arena: try HostArena(byteCount: 1 << 16))
    let memory = processors.attach()
    defer { memory.detach() }
    let reader = UnsafeMutablePointer<shared_reader>.allocate(capacity: 1)
    let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 16)
    defer {
        reader.deallocate()
        words.deallocate()
    }
    reader.initialize(to: shared_reader())
    reader.pointee.epoch = 1
    words.initialize(repeating: 0, count: 16)

    /// Both words start with the same value.
    func pair(
        _ name: String, from start: UInt64, _ swift: @escaping (HostMemory, UInt64) -> UInt64,
        _ c: @escaping () -> UInt64
    ) -> Pair {
        Pair(
            name: name, unit: "operation", count: Int(count),
            swift: {
                memory.store(start, to: word, .relaxed)
                return swift(memory, count)
            },
            c: {
                words[0] = start
                return c()
            })
    }
    let pairs = [
        pair("witness: interrupts blocked", from: 0, sections) { shared_sections(reader, count) },
        pair("witness: RCU reader", from: 0, readers) { shared_sections(reader, count) },
        pair("witness and one entry", from: 7, sectionsLoading) { shared_sections_loading(reader, words, count) },
        pair("word: load, acquire", from: 7, loads) { shared_loads(words, count) },
        pair("word: store, release", from: 0, stores) { shared_stores(words, count) },
        pair("word: add, full", from: 0, adds) { shared_adds(words, count) },
        pair("word: add if positive, full", from: 1, addsIfPositive) { shared_adds_if_positive(words, count) },
        pair("word: compare-exchange, full", from: 0, compareExchanges) { shared_compare_exchanges(words, count) },
        pair("ticket lock and unlock", from: 0, ticketLocks) {
            words.withMemoryRebound(to: UInt32.self, capacity: 2) { shared_ticket_locks($0, count) }
        },
        pair("read lock and unlock", from: 0, readLocks) { shared_read_locks(words, count) },
    ]
    for pair in pairs where options.wants(pair.name) {
        Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
    }
}
