import Foundation
import Synchronization

// A window of a few instructions is hit once in hours, if nobody stops a thread inside it. So a thread of its own sends signals to
// the others, and whoever gets one sleeps for a moment, wherever it is. What the threads run stays what production runs.

/// Stops threads now and then, at any instruction.
final class Interruptions: Sendable {
    private let threads = Mutex<[pthread_t]>([])
    private let isOver = Atomic(false)
    private let ended = DispatchSemaphore(value: 0)

    private static var pauseMicroseconds: UInt32 { 20 }

    /// Adds the calling thread, which must not end before `end()` returns.
    func addThread() { threads.withLock { $0.append(pthread_self()) } }

    /// Begins to interrupt the threads that were added, in an order that depends on a seed.
    ///
    /// SIGUSR2 is in use from then on: one that is late must not find what the signal does by default, which ends the process.
    func begin(seed: UInt64) {
        let threads = threads.withLock { $0 }
        signal(SIGUSR2) { _ in usleep(Interruptions.pauseMicroseconds) }
        Thread.detachNewThread {
            var random = SplitMix64(seed: seed)
            while !self.isOver.load(ordering: .relaxed) {
                pthread_kill(threads[random.below(threads.count)], SIGUSR2)
                usleep(UInt32(20 + random.below(200)))
            }
            self.ended.signal()
        }
    }

    /// Waits until no signal is sent any more.
    func end() {
        isOver.store(true, ordering: .relaxed)
        ended.wait()
    }
}
