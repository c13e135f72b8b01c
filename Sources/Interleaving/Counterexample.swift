/// One step of a counterexample.
public struct Step: Sendable, Hashable {
    public var thread: Int
    /// What it did and saw.
    public var label: String
    /// The rule or protocol step that the access belongs to, or empty.
    public var rule: String
    /// Where in the source it is, as `#fileID` and `#line` say it; empty if nothing tells.
    public var fileID: String
    public var line: UInt
    /// The function that it is in, where the optimiser has left that and no line; else empty.
    public var function: String
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

    /// ``table`` and a schedule to replay.
    public var description: String { "\(table)\nreplay: \(schedule)" }

    /// A column for each thread and a row for each step, with the rule and the line of source that it belongs to, and at the end
    /// the violated property. Where that would be wider than 160 characters, one column names the thread of each step.
    ///
    /// Of more than 400 steps only the first 200 and the last 100 are in it.
    public var table: String {
        let wide = table(withColumnForEachThread: true)
        let table = wide.width <= 160 ? wide : table(withColumnForEachThread: false)
        return (table.rows + ["violated: \(property)"]).joined(separator: "\n")
    }

    private func table(withColumnForEachThread isWide: Bool) -> (rows: [String], width: Int) {
        var cells = [["step"] + (isWide ? threads : ["thread", "what"]) + ["rule", "where"]]
        cells += steps.enumerated().map { number, step in
            let name = threads.indices.contains(step.thread) ? threads[step.thread] : "thread \(step.thread)"
            return ["\(number + 1)"]
                + (isWide ? threads.indices.map { $0 == step.thread ? step.label : "" } : [name, step.label])
                + [step.rule, step.fileID.isEmpty ? step.function : "\(step.fileID):\(step.line)"]
        }
        // The columns of rules and places are there if anything is in them.
        var widths = cells[0].indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        for column in widths.indices.suffix(2) where cells.dropFirst().allSatisfy({ $0[column].isEmpty }) {
            widths[column] = -1
        }
        let columns = widths.indices.filter { widths[$0] >= 0 }
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        var rows = cells.map { row in
            columns.map { column in
                if column == 0 { return String(repeating: " ", count: max(0, widths[0] - row[0].count)) + row[0] }
                return column == columns.last ? row[column] : padded(row[column], widths[column])
            }
            .joined(separator: " │ ")
        }
        if steps.count > 400 {
            let between = padded("", max(0, widths[0] - 1)) + "… │ \(steps.count - 300) steps left out"
            rows.replaceSubrange(201..<steps.count - 99, with: [between])
        }
        let line = columns.map { String(repeating: "─", count: widths[$0]) }.joined(separator: "─┼─")
        rows.insert(line, at: 1)
        return (rows, line.count)
    }
}
