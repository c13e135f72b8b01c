import PageTables
import TableMemory
import VirtualMemory

/// Where the top level of a walk is folded, the memory around the walker's copy of an entry is taken for the table, and the
/// index is applied to that.
enum IndexesFromCopy: WrongStructure {
    static var history: String {
        """
        With 16 KiB pages one level is folded by the build and the next at run time; the table was then looked for in the page \
        of the stack that held the copy (Linux on arm64, until 6.11).
        """
    }

    static func place<Format: WritableFormat, Memory: SharedMemory>(
        of index: Int, in table: PhysicalAddress, at level: Level, enteredAt start: Int, of root: SpaceRoot,
        _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress {
        let place = SoundStructure.place(of: index, in: table, at: level, enteredAt: start, of: root, format, memory)
        guard level == root.topLevel, level < format.topLevels.upperBound else { return place }
        let copy = ProcessorStack.copy(of: memory.processor)
        try memory.store(try memory.load(format, place), format, at: copy, .relaxed)
        let offset = UInt64(truncatingIfNeeded: format.tableBytes(level) &- 1)
        let around = PhysicalAddress(copy.rawValue & ~offset)
        return SoundStructure.place(of: index, in: around, at: level, enteredAt: start, of: root, format, memory)
    }
}
