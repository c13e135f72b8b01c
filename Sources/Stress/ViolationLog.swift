import Synchronization

/// What was found wrong, by any thread.
final class ViolationLog: Sendable {
    private struct Entries {
        var count = 0
        var messages: [String] = []
    }

    private let entries = Guarded(Entries())
    private let isFullNow = Atomic(false)

    /// After so many a run ends: what comes next is most often a consequence.
    private static var limit: Int { 100 }
    private static var messageLimit: Int { 10 }

    func add(_ message: @autoclosure () -> String) {
        let text = message()
        let isFull = entries.withLock { entries in
            entries.count += 1
            if entries.messages.count < Self.messageLimit { entries.messages.append(text) }
            return entries.count >= Self.limit
        }
        if isFull { isFullNow.store(true, ordering: .relaxed) }
    }

    var isFull: Bool { isFullNow.load(ordering: .relaxed) }
    var count: Int { entries.withLock(\.count) }
    var messages: [String] { entries.withLock(\.messages) }
}
