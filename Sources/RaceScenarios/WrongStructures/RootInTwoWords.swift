import PageTables
import TableMemory
import VirtualMemory

// The top table and the depth of a space, each in a word of its own: a walker can load the one before a growth and the other
// after it, whichever of them is stored first.

/// A new top table is published first, and then its depth.
enum TableBeforeDepth: WrongStructure {
    static var history: String {
        """
        The root and the number of levels were two words, and a walker went through the new root with the old number (AMD's \
        IOMMU driver in Linux, until 6.17).
        """
    }

    static func loadRoot<Memory: SharedMemory>(
        _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> SpaceRoot { try loadRootOfTwoWords(words, memory) }

    static func publish<Memory: SharedMemory>(
        _ root: SpaceRoot, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.store(root.table.rawValue, to: words.root, .release)
        try memory.store(UInt64(truncatingIfNeeded: root.topLevel.rawValue), to: words.spare, .release)
    }
}

/// The new depth is published first, and then the table that has it.
enum DepthBeforeTable: WrongStructure {
    static var history: String { "The other order of two words does not help: see `tableBeforeDepth`." }

    static func loadRoot<Memory: SharedMemory>(
        _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> SpaceRoot { try loadRootOfTwoWords(words, memory) }

    static func publish<Memory: SharedMemory>(
        _ root: SpaceRoot, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) {
        try memory.store(UInt64(truncatingIfNeeded: root.topLevel.rawValue), to: words.spare, .release)
        try memory.store(root.table.rawValue, to: words.root, .release)
    }
}

private func loadRootOfTwoWords<Memory: SharedMemory>(
    _ words: SpaceWords, _ memory: borrowing Memory
) throws(Memory.Failure) -> SpaceRoot {
    let depth = try memory.load(words.spare, .acquire)
    let table = try memory.load(words.root, .acquire)
    return SpaceRoot(table: PhysicalAddress(table), topLevel: Level(Int(truncatingIfNeeded: depth)))
}
