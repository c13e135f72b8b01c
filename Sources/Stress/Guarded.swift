import Foundation

/// A value that threads use one after the other.
///
/// By a lock of the system, since ThreadSanitizer does not know `Mutex` and would report what it guards.
final class Guarded<Value>: @unchecked Sendable {
    // Unchecked: the value is used with the lock held only.

    private let lock = NSLock()
    private var value: Value

    init(_ value: sending Value) { self.value = value }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        lock.lock()
        defer { lock.unlock() }
        return body(&value)
    }
}
