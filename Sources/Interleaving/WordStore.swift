/// The words of one execution: what memory holds, and what words are called.
///
/// A store that waits in a buffer is not here yet; see `StoreBuffers.swift`.
final class WordStore {
    private struct Word: BitwiseCopyable {
        var value: UInt64
        var object: ObjectID
        var name: StaticString
        var index: Int
    }

    /// Words never move while an execution runs; their memory serves the next execution too.
    private let pointer: UnsafeMutablePointer<RawArray<Word>>

    init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: RawArray<Word>())
    }

    deinit {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }

    func removeAll() { pointer.pointee.removeAll() }

    func add(_ value: UInt64, _ object: ObjectID, _ name: StaticString, _ index: Int) -> Int {
        pointer.pointee.append(Word(value: value, object: object, name: name, index: index))
        return pointer.pointee.count - 1
    }

    @inline(__always)
    private func check(_ word: Int) {
        precondition(word < pointer.pointee.count, "a word of another execution")
    }

    @inline(__always)
    func load(_ word: Int, by thread: Int) -> UInt64 {
        check(word)
        return pointer.pointee.base[word].value
    }

    @inline(__always)
    func store(_ word: Int, _ value: UInt64, by thread: Int) {
        check(word)
        pointer.pointee.base[word].value = value
    }

    /// Replaces the value and returns the old one.
    @inline(__always)
    func exchange(_ word: Int, _ value: UInt64, by thread: Int) -> UInt64 {
        check(word)
        let old = pointer.pointee.base[word].value
        pointer.pointee.base[word].value = value
        return old
    }

    func name(of word: Int) -> String {
        let word = pointer.pointee.base[word]
        let name = word.name.utf8CodeUnitCount == 0 ? "\(word.object)" : "\(word.name)"
        return word.index < 0 ? name : "\(name)[\(word.index)]"
    }

    func name(of object: ObjectID) -> String {
        for word in 0..<pointer.pointee.count where pointer.pointee.base[word].object == object {
            return name(of: word)
        }
        return "\(object)"
    }
}
