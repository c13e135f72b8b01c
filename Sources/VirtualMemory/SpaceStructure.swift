import PageTables
import TableMemory

/// The shapes of the protocol that are not steps: where a walker finds an entry, where a range ends, how depth and root are
/// published, where freeing keeps its links.
///
/// A rule can be lifted at run time, a shape cannot: it is chosen statically. `SoundStructure` is the right one, and costs
/// nothing. Wrong ones, each a mistake that was made, belong to a checker that shows what they lead to.
public protocol SpaceStructure: Sendable {
    /// The place of an entry that a lock-free walk is about to load.
    ///
    /// - Parameters:
    ///   - index: In the table.
    ///   - start: The index at which the walk came into this table.
    static func place<Format: WritableFormat, Memory: SharedMemory>(
        of index: Int, in table: PhysicalAddress, at level: Level, enteredAt start: Int, of root: SpaceRoot,
        _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> PhysicalAddress

    /// What decides where a lock-free walk descends to: the entry that was loaded.
    static func descended<Format: WritableFormat, Memory: SharedMemory>(
        _ entry: Entry, from place: PhysicalAddress, _ format: Format, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> Entry

    /// The root and the depth that go with each other.
    static func loadRoot<Memory: SharedMemory>(
        _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> SpaceRoot

    static func publish<Memory: SharedMemory>(
        _ root: SpaceRoot, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure)

    /// Adds a processor to the users of a space. What the processor then loads of the space it loads later.
    static func addUser<Memory: SharedMemory>(
        _ processor: ProcessorSet, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure)

    /// The link by which a frame waits to be freed.
    static func deferredLink(_ descriptor: FrameDescriptor) -> Word<UInt64>

    /// A frame was cut into fragments.
    static func frameWasCut<Memory: SharedMemory>(
        _ descriptor: FrameDescriptor, fragments: UInt32, _ memory: borrowing Memory
    ) throws(Memory.Failure)

    /// References of the frame that a fragment which was freed gives back.
    static func referencesOfFreedFragment(isLast: Bool) -> UInt32
}

/// The right one.
public enum SoundStructure: SpaceStructure {
    /// In the table itself: positions are never those of a copy.
    @inlinable
    @inline(__always)
    public static func place<Format: WritableFormat, Memory: SharedMemory>(
        of index: Int, in table: PhysicalAddress, at level: Level, enteredAt start: Int, of root: SpaceRoot,
        _ format: Format, _ memory: borrowing Memory
    ) -> PhysicalAddress {
        PhysicalAddress(table.rawValue &+ UInt64(truncatingIfNeeded: index &* Format.entryBytes))
    }

    /// The value that was tested is the value that is used.
    @inlinable
    @inline(__always)
    public static func descended<Format: WritableFormat, Memory: SharedMemory>(
        _ entry: Entry, from place: PhysicalAddress, _ format: Format, _ memory: borrowing Memory
    ) -> Entry { entry }

    /// One load of one word.
    @inlinable
    @inline(__always)
    public static func loadRoot<Memory: SharedMemory>(
        _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) -> SpaceRoot { SpaceRoot(word: try memory.load(words.root, .acquire)) }

    @inlinable
    public static func publish<Memory: SharedMemory>(
        _ root: SpaceRoot, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) { try memory.store(root.word, to: words.root, .release) }

    /// A full barrier.
    @inlinable
    public static func addUser<Memory: SharedMemory>(
        _ processor: ProcessorSet, _ words: SpaceWords, _ memory: borrowing Memory
    ) throws(Memory.Failure) {
        _ = try memory.update(words.users, clearing: 0, setting: processor.rawValue, .full)
    }

    /// A word that nothing else uses.
    @inlinable
    public static func deferredLink(_ descriptor: FrameDescriptor) -> Word<UInt64> { descriptor.deferredLink }

    /// Fragments are counted in words of their own: whoever looks at the references may have a speculative one.
    @inlinable
    public static func frameWasCut<Memory: SharedMemory>(
        _ descriptor: FrameDescriptor, fragments: UInt32, _ memory: borrowing Memory
    ) {}

    @inlinable
    public static func referencesOfFreedFragment(isLast: Bool) -> UInt32 { isLast ? 1 : 0 }
}
