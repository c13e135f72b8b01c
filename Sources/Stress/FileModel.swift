import Synchronization

// What should be in a file, in plain words: each thread notes what it writes, and the model what a change of the size has cut off.
//
// A file is looked at in halves of pages, and its size is a number of them: with an odd number the end is inside a page, a few
// bytes in front of its middle. In each half every thread has a word of its own, which nobody else writes, so the last value of
// a word is what its thread wrote last, unless that was cut off since.
//
// Threads write while sizes change. The epoch is odd while one does: a write that meets an odd epoch, or two different ones, is
// there or is zero, and nobody can say which. All others are exact.

final class FileModel: Sendable {
    private struct State {
        var epoch: UInt64 = 2
        var halves: UInt64
        /// For each half, the last epoch at which it was cut off or was not in the file; 0 if it always was.
        var cuts: [UInt64]
        var target: UInt64?
    }

    private let state: Mutex<State>
    /// The most there can be.
    let halfCount: UInt64

    init(pages: UInt64, halves: UInt64) {
        halfCount = 2 * pages
        state = Mutex(
            State(halves: halves, cuts: (0..<2 * pages).map { $0 < halves ? 0 : 1 }))
    }

    /// What is known about a half at a moment.
    struct Moment: Equatable {
        let epoch: UInt64
        let isInside: Bool
        let cut: UInt64
        /// Whether the size is not changing.
        var isStill: Bool { epoch & 1 == 0 }
    }

    func moment(_ half: UInt64) -> Moment {
        state.withLock { Moment(epoch: $0.epoch, isInside: half < $0.halves, cut: $0.cuts[Int(half)]) }
    }

    var epoch: UInt64 { state.withLock { $0.epoch } }
    var halves: UInt64 { state.withLock { $0.halves } }

    /// Says that the size will change.
    ///
    /// - Returns: The size before; `nil` if somebody else is changing it.
    func beginResize(to halves: UInt64) -> UInt64? {
        state.withLock { state in
            guard state.target == nil else { return nil }
            state.target = halves
            state.epoch += 1
            return state.halves
        }
    }

    /// Says that the size has changed, or not.
    func endResize(hasChanged: Bool) {
        state.withLock { state in
            guard let halves = state.target else { return }
            if hasChanged {
                // What was behind the end is zero when the file grows.
                for half in min(halves, state.halves)..<halfCount { state.cuts[Int(half)] = state.epoch }
                state.halves = halves
            }
            state.target = nil
            state.epoch += 1
        }
    }
}

/// The last write of a thread to its word of a half.
struct FileWrite {
    let value: UInt64
    /// The epochs before and after it.
    let begin: UInt64
    let end: UInt64

    /// What the word may hold, if the half is in the file and its size is not changing.
    static func expected(_ write: FileWrite?, _ moment: FileModel.Moment, original: UInt64) -> [UInt64] {
        guard let write else { return [moment.cut > 0 ? 0 : original] }
        if moment.cut > write.end { return [0] }
        let isExact = write.begin == write.end && write.begin & 1 == 0
        return isExact ? [write.value] : [write.value, 0]
    }
}
