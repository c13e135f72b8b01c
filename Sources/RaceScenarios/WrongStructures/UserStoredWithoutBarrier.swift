import TableMemory
import VirtualMemory

/// A processor says with a plain store that it uses a space, and looks at the space while the store is still on its way.
enum UserStoredWithoutBarrier: WrongStructure {
    static var history: String {
        """
        Nothing said that setting the bit of the processor in the mask of a space was a barrier before its tables are read, and \
        not every flush that looks at the mask had one either (Linux on x86, until 4.5).
        """
    }

    static func addUser<Memory: SharedMemory>(
        _ processor: ProcessorSet, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) {
        let users = try memory.load(words.users, .relaxed)
        try memory.store(users | processor.rawValue, to: words.users, .relaxed)
    }
}
