import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

/// A walker tests one value of an entry and follows another.
enum EntryLoadedAgain: WrongStructure {
    static var history: String {
        """
        The page walker read an upper entry up to four times, and tests and use could disagree (Linux, reported in 2020, and \
        not changed then).
        """
    }

    static func descended<Format: WritableFormat, Memory: SharedMemory>(
        _ entry: Entry, from place: PhysicalAddress, _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Entry { try memory.load(format, place) }
}

/// The same mistake in a walk with callbacks.
struct LoadingAgain: PageWalkVisitor {
    typealias Format = MiniatureFormat

    static func descended<Memory: TableMemory & ~Copyable & ~Escapable>(
        _ entry: Entry, from place: PhysicalAddress, _ format: MiniatureFormat, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Entry { try memory.load(format, place) }
}
