import Dispatch

/// A line on standard error for work that takes longer than a second; nothing where nobody watches.
final class Progress {
    private let timer: (any DispatchSourceTimer)?

    /// Starts to watch. The line shows `what` and the seconds passed, until `done`.
    init(_ what: String) {
        guard StandardError.isTerminal else {
            timer = nil
            return
        }
        let timer = DispatchSource.makeTimerSource(queue: .global())
        let start = DispatchTime.now()
        timer.schedule(deadline: .now() + 1, repeating: .milliseconds(250))
        timer.setEventHandler {
            let seconds = (DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1_000_000_000
            StandardError.write(text: "\r\u{1b}[K\(what) … \(seconds) s")
        }
        timer.activate()
        self.timer = timer
    }

    func done() {
        guard let timer else { return }
        timer.cancel()
        StandardError.write(text: "\r\u{1b}[K")
    }
}
