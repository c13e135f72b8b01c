import PageTables
import TableMemory

/// The word of a processor's stack in which a walker keeps a copy of an entry: an object of its own, with nothing beside it.
///
/// A table of two entries that was at the same place would begin in front of it.
enum ProcessorStack {
    static func copy(of processor: ProcessorNumber) -> PhysicalAddress {
        PhysicalAddress(1 << 40 + UInt64(processor.rawValue) << 12 + 8)
    }
}

extension SpaceMachine {
    /// Gives each processor its word. Only scenarios with a structure that uses it need that.
    func beginStacks(processors: Int = 2) throws {
        for number in 0..<processors {
            let copy = ProcessorStack.copy(of: ProcessorNumber(number))
            let range = PhysicalRange(first: copy, last: PhysicalAddress(copy.rawValue + 7))
            try memory(number).beginLife(of: range, as: .frame)
        }
    }
}
