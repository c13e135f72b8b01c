import CHostAtomics

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Waiting for another thread: first without giving up the processor, in case the other one runs; soon with, in case it does
/// not.
@usableFromInline
struct Backoff {
    private var rounds = 0

    /// About a microsecond of pauses.
    private static var patience: Int { 32 }

    @usableFromInline
    init() {}

    @usableFromInline
    mutating func pause() {
        if rounds < Self.patience {
            rounds += 1
            host_pause()
        } else {
            yieldProcessor()
        }
    }
}

func yieldProcessor() { sched_yield() }
