import CMeasure
import Foundation

/// One thing measured in both languages, in turns, in one run.
struct Pair {
    let name: String
    let unit: String
    /// Units of work in one run of either side.
    let count: Int
    /// Before each round of either side; not measured.
    var prepare: () throws -> Void = {}
    let swift: () throws -> UInt64
    let c: () -> UInt64
}

/// The least processor time of many runs, in nanoseconds a unit: on a shared machine everything but the least is noise.
struct PairResult {
    let name: String
    let unit: String
    let swiftNanoseconds: Double
    let cNanoseconds: Double
    let repetitions: Int

    var ratio: Double { swiftNanoseconds / cNanoseconds }
}

struct Disagreement: Error, CustomStringConvertible {
    let name: String
    var description: String { "\(name): the two sides have different answers" }
}

extension Pair {
    /// - Throws: `Disagreement` where the two sides' digests differ.
    func run(repetitions: Int) throws -> PairResult {
        var leastSwift = UInt64.max
        var leastC = UInt64.max
        // The first round warms caches and is not counted.
        for round in 0...repetitions {
            try prepare()
            let start = measure_thread_nanoseconds()
            let answerInC = c()
            let middle = measure_thread_nanoseconds()
            let answer = try swift()
            let end = measure_thread_nanoseconds()
            guard answer == answerInC else { throw Disagreement(name: name) }
            if round > 0 {
                leastC = min(leastC, middle - start)
                leastSwift = min(leastSwift, end - middle)
            }
        }
        return PairResult(
            name: name, unit: unit, swiftNanoseconds: Double(leastSwift) / Double(count),
            cNanoseconds: Double(leastC) / Double(count), repetitions: repetitions)
    }
}

/// A whole run of the program.
struct ProcessResult {
    let name: String
    let leastMilliseconds: Double
    let medianMilliseconds: Double
    let repetitions: Int
}

struct ProcessFailure: Error, CustomStringConvertible {
    let arguments: [String]
    let status: Int32
    var description: String { "\(arguments.joined(separator: " ")): exit status \(status)" }
}

/// Runs a program and returns its user and system time in nanoseconds.
func processorTime(_ arguments: [String], output: String?) throws -> UInt64 {
    var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    pointers.append(nil)
    var nanoseconds: UInt64 = 0
    let status = measure_child(arguments[0], pointers, output, &nanoseconds)
    guard status == 0 else { throw ProcessFailure(arguments: arguments, status: status) }
    return nanoseconds
}

func measureProcess(_ name: String, _ arguments: [String], output: String, repetitions: Int) throws -> ProcessResult {
    _ = try processorTime(arguments, output: output)
    let times = try (0..<repetitions).map { _ in try processorTime(arguments, output: output) }.sorted()
    return ProcessResult(
        name: name, leastMilliseconds: Double(times[0]) / 1e6, medianMilliseconds: Double(times[times.count / 2]) / 1e6,
        repetitions: repetitions)
}
