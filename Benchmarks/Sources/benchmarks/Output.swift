import Foundation

/// Prints results as they come: rows of a table, or JSON Lines.
struct Output {
    let json: Bool

    func title() {
        guard !json else { return }
        print(
            "\(pad("benchmark", 36)) \(pad("unit", 12))\(right("Swift ns", 10))\(right("C ns", 10))\(right("ratio", 8))"
        )
    }

    func show(_ result: PairResult) {
        if json {
            print(
                "{\"benchmark\":\"\(result.name)\",\"unit\":\"\(result.unit)\","
                    + "\"swiftNanoseconds\":\(fixed(result.swiftNanoseconds, 3)),"
                    + "\"cNanoseconds\":\(fixed(result.cNanoseconds, 3)),\"ratio\":\(fixed(result.ratio, 3)),"
                    + "\"repetitions\":\(result.repetitions)}")
        } else {
            print(
                "\(pad(result.name, 36)) \(pad(result.unit, 12))\(right(fixed(result.swiftNanoseconds, 2), 10))"
                    + "\(right(fixed(result.cNanoseconds, 2), 10))\(right(fixed(result.ratio, 2), 8))")
        }
    }

    func title(ours: String, other: String) {
        guard !json else { return }
        print("\(pad("benchmark", 44)) \(pad("unit", 14))\(right(ours, 12))\(right(other, 12))\(right("ratio", 8))")
    }

    func show(_ result: ContestResult) {
        if json {
            print(
                "{\"benchmark\":\"\(result.name)\",\"unit\":\"\(result.unit)\",\"ours\":\(fixed(result.ours, 3)),"
                    + "\"other\":\(fixed(result.other, 3)),\"ratio\":\(fixed(result.ratio, 3)),"
                    + "\"repetitions\":\(result.repetitions)}")
        } else {
            print(
                "\(pad(result.name, 44)) \(pad(result.unit, 14))\(right(fixed(result.ours, 1), 12))"
                    + "\(right(fixed(result.other, 1), 12))\(right(fixed(result.ratio, 2), 8))")
        }
    }

    func show(_ result: ProcessResult) {
        if json {
            print(
                "{\"benchmark\":\"\(result.name)\",\"leastMilliseconds\":\(fixed(result.leastMilliseconds, 2)),"
                    + "\"medianMilliseconds\":\(fixed(result.medianMilliseconds, 2)),"
                    + "\"repetitions\":\(result.repetitions)}")
        } else {
            print(
                "\(pad(result.name, 36)) processor time: least \(fixed(result.leastMilliseconds, 1)) ms, "
                    + "median \(fixed(result.medianMilliseconds, 1)) ms of \(result.repetitions) runs")
        }
    }

    private func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
    private func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
