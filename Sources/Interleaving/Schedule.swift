/// Which thread steps when, and what choices take: everything that decides an execution.
///
/// As text: `0x3,1,c2,0` is three steps of thread 0, one of thread 1, alternative 2 of a choice, one step of thread 0.
public struct Schedule: Hashable, Sendable, LosslessStringConvertible {
    public enum Decision: Hashable, Sendable {
        case step(Int)
        case choice(Int)
    }

    public var decisions: [Decision]

    public init(_ decisions: [Decision] = []) { self.decisions = decisions }

    /// Nil if the text is no schedule.
    public init?(_ description: String) {
        decisions = []
        if description.isEmpty { return }
        for part in description.split(separator: ",", omittingEmptySubsequences: false) {
            if part.first == "c" {
                guard let alternative = Self.number(part.dropFirst()) else { return nil }
                decisions.append(.choice(alternative))
                continue
            }
            let pieces = part.split(separator: "x", omittingEmptySubsequences: false)
            guard pieces.count <= 2, let thread = Self.number(pieces[0]), thread < Core.maximumThreads else {
                return nil
            }
            guard let times = pieces.count == 2 ? Self.number(pieces[1]) : 1, times > 0, times <= 1_000_000 else {
                return nil
            }
            decisions.append(contentsOf: repeatElement(.step(thread), count: times))
        }
    }

    private static func number(_ text: Substring) -> Int? {
        text.isEmpty || !text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? nil : Int(text)
    }

    public var description: String {
        var parts: [String] = []
        var index = 0
        while index < decisions.count {
            switch decisions[index] {
            case .choice(let alternative):
                parts.append("c\(alternative)")
                index += 1
            case .step(let thread):
                var end = index + 1
                while end < decisions.count, decisions[end] == .step(thread) { end += 1 }
                parts.append(end - index == 1 ? "\(thread)" : "\(thread)x\(end - index)")
                index = end
            }
        }
        return parts.joined(separator: ",")
    }

    /// How often the thread that steps changes.
    public var contextSwitches: Int {
        var switches = 0
        var previous: Int?
        for case .step(let thread) in decisions {
            if let previous, previous != thread { switches += 1 }
            previous = thread
        }
        return switches
    }
}

extension Execution {
    var schedule: Schedule {
        Schedule(
            (0..<core.pointee.decisions.count).map {
                let decision = Int(core.pointee.decisions.base[$0])
                return decision >= 0 ? .step(decision) : .choice(-1 - decision)
            })
    }
}
