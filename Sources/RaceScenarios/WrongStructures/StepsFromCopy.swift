import PageTables
import TableMemory
import VirtualMemory

/// Where the top level of a walk is folded, the "table" is the entry that the level above has loaded, and the walker goes from
/// its own copy of it to the next entry.
enum StepsFromCopy: WrongStructure {
    static var history: String {
        """
        In a space with fewer levels than the build has, the lock-free pin was handed the address of its copy of an entry as \
        the table below, and stepped from there over its own stack (Linux on s390x, until 5.9).
        """
    }

    static func place<Format: WritableFormat, Memory: SharedMemory>(
        of index: Int, in table: PhysicalAddress, at level: Level, enteredAt start: Int, of root: SpaceRoot,
        _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress {
        let place = SoundStructure.place(of: start, in: table, at: level, enteredAt: start, of: root, format, memory)
        guard level == root.topLevel, level < format.topLevels.upperBound else {
            return SoundStructure.place(of: index, in: table, at: level, enteredAt: start, of: root, format, memory)
        }
        let copy = ProcessorStack.copy(of: memory.processor)
        try memory.store(try memory.load(format, place), format, at: copy, .relaxed)
        let steps = UInt64(truncatingIfNeeded: (index &- start) &* Format.entryBytes)
        return PhysicalAddress(copy.rawValue &+ steps)
    }
}
