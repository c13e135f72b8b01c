/// One step of a counterexample.
public struct Step: Sendable, Hashable {
    public var thread: Int
    /// What it did and saw.
    public var label: String
    /// The rule or protocol step that the access belongs to, or empty.
    public var rule: String
    public var fileID: String
    public var line: UInt
}

/// An execution that violates a property.
public struct Counterexample: Sendable, Hashable, CustomStringConvertible {
    public var kind: ViolationKind
    /// What is violated.
    public var property: String
    public var steps: [Step]
    /// Names of the threads, by number.
    public var threads: [String]
    /// Runs it again: ``Explorer/replay(_:_:)``.
    public var schedule: Schedule

    /// A table with a column for each thread and a row for each step, the violated property and a schedule to replay.
    public var description: String {
        var columns = threads.map { $0.count }
        for step in steps where step.thread < columns.count {
            columns[step.thread] = max(columns[step.thread], step.label.count)
        }
        func row(_ number: String, _ cells: [String], _ place: String) -> String {
            var text = String(repeating: " ", count: max(0, 4 - number.count)) + number
            for (cell, width) in zip(cells, columns) {
                text += " │ " + cell + String(repeating: " ", count: max(0, width - cell.count))
            }
            return text + " │ " + place
        }
        var lines = [row("step", threads, "where")]
        lines.append(
            String(repeating: "─", count: 5) + columns.map { "┼" + String(repeating: "─", count: $0 + 2) }.joined()
                + "┼" + "──────")
        for (number, step) in steps.enumerated() {
            if steps.count > 400, (200..<steps.count - 100).contains(number) {
                if number == 200 { lines.append("   … │ \(steps.count - 300) steps left out") }
                continue
            }
            let cells = threads.indices.map { $0 == step.thread ? step.label : "" }
            let rule = step.rule.isEmpty ? "" : "  [\(step.rule)]"
            lines.append(row("\(number + 1)", cells, step.fileID.isEmpty ? rule : "\(step.fileID):\(step.line)\(rule)"))
        }
        lines.append("violated: \(property)")
        lines.append("replay: \(schedule)")
        return lines.joined(separator: "\n")
    }
}
