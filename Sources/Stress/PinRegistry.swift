import Synchronization

/// Who says that it has pinned which frames: a frame that is listed must not lose its page to a copy.
///
/// A pin is listed after it was taken, and crossed out before it is given up.
final class PinRegistry: Sendable {
    private let counts = Mutex<[UInt32: Int]>([:])

    func add(_ frame: UInt32) { counts.withLock { $0[frame, default: 0] += 1 } }

    func remove(_ frame: UInt32) {
        counts.withLock { counts in
            guard let count = counts[frame] else { return }
            counts[frame] = count > 1 ? count - 1 : nil
        }
    }

    func isListed(_ frame: UInt32) -> Bool { counts.withLock { $0[frame] != nil } }
}
