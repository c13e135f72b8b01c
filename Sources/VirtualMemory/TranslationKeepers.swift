import PageTables
import TableMemory

/// Something that is made of a space's translations beside the processors' own: a device's tables, a guest's.
///
/// Both functions are called with the space's lock held, for reading at least, and perhaps inside an RCU section: they may take
/// locks of their own, with which nobody waits for the space's, and must not wait for grace periods.
public protocol InvalidationObserver: AnyObject, Sendable {
    /// What of the space it wants to hear of.
    var range: VirtualRange { get }

    /// Translations of a range are about to be taken away. When this returns, nothing that was made of them is in use, and
    /// nothing new is made of them until the end.
    func beginInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure)

    /// They are gone; the space may be asked again. Once for each beginning, in any order.
    func endInvalidation<Memory: SharedMemory>(
        of range: VirtualRange, in memory: borrowing Memory
    ) throws(Memory.Failure)
}

/// Who keeps what a space translates: changed with the space's lock held for writing.
@usableFromInline
struct TranslationKeepers {
    /// As often as they keep translations: a thread may run several virtual processors.
    private var processors: [ProcessorNumber] = []
    var observers: [any InvalidationObserver] = []
    @usableFromInline
    private(set) var set = ProcessorSet([])

    var isEmpty: Bool { processors.isEmpty && observers.isEmpty }

    mutating func add(_ processor: ProcessorNumber) {
        processors.append(processor)
        set.formUnion(ProcessorSet(processor))
    }

    mutating func remove(_ processor: ProcessorNumber) {
        guard let index = processors.firstIndex(of: processor) else { return }
        processors.remove(at: index)
        if !processors.contains(processor) { set.subtract(ProcessorSet(processor)) }
    }
}

extension LiveSpace {
    /// From now on an observer hears of changes.
    public func add<Memory: SharedMemory>(
        _ observer: any InvalidationObserver, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try changeKeepers(in: memory) { $0.observers.append(observer) }
    }

    /// An observer hears of no change that begins from now on.
    public func remove<Memory: SharedMemory>(
        _ observer: any InvalidationObserver, in memory: borrowing Memory
    ) throws(Memory.Failure) {
        try changeKeepers(in: memory) { $0.observers.removeAll { $0 === observer } }
    }

    /// A processor begins to keep translations, or another one.
    func addKeeper<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        let processor = memory.processor
        try changeKeepers(in: memory) { $0.add(processor) }
    }

    /// A processor has forgotten what it kept.
    func removeKeeper<Memory: SharedMemory>(in memory: borrowing Memory) throws(Memory.Failure) {
        let processor = memory.processor
        try changeKeepers(in: memory) { $0.remove(processor) }
    }

    private func changeKeepers<Memory: SharedMemory>(
        in memory: borrowing Memory, _ change: (inout TranslationKeepers) -> Void
    ) throws(Memory.Failure) {
        try memory.withWriteLock(words.lock) { (_) throws(Memory.Failure) in
            change(&keepers)
            isWatched = !keepers.isEmpty
        }
    }
}
