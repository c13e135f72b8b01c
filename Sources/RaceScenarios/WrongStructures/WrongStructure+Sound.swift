import PageTables
import TableMemory
import VirtualMemory

// A wrong structure is right in everything but its mistake.

extension WrongStructure {
    static func place<Format: WritableFormat, Memory: SharedMemory>(
        of index: Int, in table: PhysicalAddress, at level: Level, enteredAt start: Int, of root: SpaceRoot,
        _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress {
        SoundStructure.place(of: index, in: table, at: level, enteredAt: start, of: root, format, memory)
    }

    static func descended<Format: WritableFormat, Memory: SharedMemory>(
        _ entry: Entry, from place: PhysicalAddress, _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Entry { SoundStructure.descended(entry, from: place, format, memory) }

    static func loadRoot<Memory: SharedMemory>(
        _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> SpaceRoot { try SoundStructure.loadRoot(words, memory) }

    static func publish<Memory: SharedMemory>(
        _ root: SpaceRoot, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) { try SoundStructure.publish(root, words, memory) }

    static func addUser<Memory: SharedMemory>(
        _ processor: ProcessorSet, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) { try SoundStructure.addUser(processor, words, memory) }

    static func deferredLink(_ descriptor: FrameDescriptor) -> Word<UInt64> { SoundStructure.deferredLink(descriptor) }

    static func frameWasCut<Memory: SharedMemory>(
        _ descriptor: FrameDescriptor, fragments: UInt32, _ memory: borrowing Memory
    ) throws(Memory.Failure) { SoundStructure.frameWasCut(descriptor, fragments: fragments, memory) }

    static func referencesOfFreedFragment(isLast: Bool) -> UInt32 {
        SoundStructure.referencesOfFreedFragment(isLast: isLast)
    }
}
