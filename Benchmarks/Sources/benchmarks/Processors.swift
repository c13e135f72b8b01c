import CReference
import HostMemory
import PageTables
import VirtualMemory

// An emulator's accesses: pages that a virtual processor keeps translations of, and pages that it has to walk to; many in one
// section, and each in a section of its own with faults as they come (`access`).

private typealias Processor = VirtualProcessor<X86_64, SoundStructure, HostMemory>

/// A processor of the space, and the same in C.
private final class Emulator {
    var processor: Processor
    let reference: UnsafeMutablePointer<processor_reference>

    init(_ machine: LiveMachine) {
        processor = Processor(machine.space, in: machine.memory)
        reference = processor_make(machine.reference)
    }

    deinit { processor_free(reference) }
}

@inline(never)
private func read(_ emulator: Emulator, _ addresses: [UInt64]) -> UInt64 {
    addresses.withUnsafeBufferPointer { addresses in
        emulator.processor.execute { processor, section in
            var sum: UInt64 = 0
            for address in addresses {
                guard let physical = processor.physical(of: VirtualAddress(address), for: .read, in: section) else {
                    continue
                }
                sum &+= physical.rawValue
            }
            return sum
        }
    }
}

@inline(never)
private func readInC(_ emulator: Emulator, _ addresses: [UInt64]) -> UInt64 {
    processor_read(emulator.reference, addresses, UInt64(addresses.count))
}

@inline(never)
private func access(_ processor: inout Processor, _ addresses: [UInt64]) throws -> UInt64 {
    var sum: UInt64 = 0
    for address in addresses {
        sum &+= try processor.access(VirtualAddress(address), for: .read) { physical throws(Never) in physical.rawValue
        }
    }
    return sum
}

@inline(never)
private func accessInC(_ emulator: Emulator, _ addresses: [UInt64]) -> UInt64 {
    processor_access(emulator.reference, addresses, UInt64(addresses.count))
}

func measureProcessors(_ options: Options) throws {
    guard ["processor, hits", "processor, misses", "access, hits"].contains(where: options.wants) else { return }
    let machine = try LiveMachine()
    machine.fill()
    let emulator = Emulator(machine)
    var state: UInt64 = 1
    func random() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state &>> 33
    }
    let count = 1 << 20
    let kept = (0..<count).map { _ in liveBase + random() % 200 * 4096 + random() % 512 * 8 }
    // The next page is never among those that are kept, and its table is.
    let walked = (0..<count).map { liveBase + UInt64($0) % 2048 * 4096 }
    for (name, addresses) in [("processor, hits", kept), ("processor, misses", walked)] where options.wants(name) {
        let pair = Pair(
            name: name, unit: "access", count: count, swift: { read(emulator, addresses) },
            c: { readInC(emulator, addresses) })
        Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
    }
    if options.wants("access, hits") {
        let pair = Pair(
            name: "access, hits", unit: "access", count: count, swift: { try access(&emulator.processor, kept) },
            c: { accessInC(emulator, kept) })
        Output(json: options.json).show(try pair.run(repetitions: options.repetitions))
    }
}
