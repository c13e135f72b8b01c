import PageTableWalk
import PageTables
import TableMemory

@testable import VirtualMemory

/// A processor that runs in a space for as long as random operations change it.
final class RunningProcessor<F: WritableFormat> {
    private var processor: VirtualProcessor<F, SoundStructure, SingleProcessorMemory>

    /// Few pages and tables, so that some are replaced and some are kept.
    init(_ run: SpaceRun<F>) throws {
        processor = try VirtualProcessor(run.space, log2Pages: 5, log2Tables: 2, in: run.memory)
    }

    func physical(
        of address: UInt64, for access: ProcessorAccess, _ mode: ProcessorMode
    ) throws -> PhysicalAddress? {
        processor.mode = mode
        return try processor.execute { (processor, section) throws(MemoryMisuse) in
            try processor.physical(of: VirtualAddress(address), for: access, in: section)
        }
    }

    var missCount: UInt64 { processor.missCount }
}

extension SpaceRun {
    /// Accesses addresses at random, several times each, and looks whether the processor does as the model says, although it
    /// keeps what it found before other operations.
    func useProcessor(_ count: Int) throws {
        guard let processor else { return }
        for _ in 0..<count {
            let address =
                chance(2) ? recent.randomElement(using: &random) ?? interestingAddress() : interestingAddress()
            if recent.count < 24 { recent.append(address) } else { recent[Int(random.next() % 24)] = address }
            guard let access = ProcessorAccess.allCases.randomElement(using: &random) else { continue }
            let mode: ProcessorMode = chance(3) ? .supervisor : .user
            let page = model.mappings.value(at: address)
            // Where entries know no user, what they say is of everybody.
            let right = access.right(F.notions.user ? mode : .supervisor)
            let isAllowed = page?.attributes.rights.contains(right) ?? false
            let found = try processor.physical(of: address, for: access, mode)
            try verify(
                found?.rawValue == (isAllowed ? page?.physical : nil),
                "\(access) at \(hexadecimal(address)) goes to \(String(describing: found))")
            if isAllowed { try noteUse(access, at: address) }
        }
    }

    /// A use is one of all that the leaf maps: how much that is, only the tables know.
    private func noteUse(_ access: ProcessorAccess, at address: UInt64) throws {
        guard case .mapped(let mapping) = try translate(address) else { throw failure("nothing is mapped any more") }
        let flags: EntryFlags = access == .write ? [.accessed, .dirty] : .accessed
        let leaf = format.range(of: VirtualAddress(address), at: mapping.level)
        model.mappings.change(leaf.first.rawValue, leaf.last.rawValue) {
            $0.attributes.flags.formUnion(flags.intersection(F.notions.flags))
        }
    }
}
