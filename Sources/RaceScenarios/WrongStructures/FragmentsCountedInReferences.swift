import TableMemory
import VirtualMemory

/// The references of a table's frame are the number of its fragments.
enum FragmentsCountedInReferences: WrongStructure {
    static var history: String {
        """
        The references of a frame were set to the number of its fragments, whoever had taken one meanwhile (Linux until 4.18, \
        powerpc).
        """
    }

    static func frameWasCut<Memory: SharedMemory>(
        _ descriptor: FrameDescriptor, fragments: UInt32, _ memory: borrowing Memory
    ) throws(Memory.Failure) { try memory.store(fragments, to: descriptor.references, .relaxed) }

    static func referencesOfFreedFragment(isLast: Bool) -> UInt32 { 1 }
}
