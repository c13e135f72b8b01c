import Stress

/// Writes what a stress came to: JSON Lines, what is mapped first and the result last.
public struct StressReport: Sendable {
    public init() {}

    public func append(_ mapping: StressMapping, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.address("start", mapping.first)
            line.end("end", after: mapping.last)
            if let physical = mapping.physical { line.address("physical", physical) } else { line.null("physical") }
            line.flag("write", mapping.isWritable)
        }
    }

    public func append(_ outcome: StressOutcome, of plan: StressPlan, to buffer: inout ReportBuffer) {
        buffer.json { line in
            line.number("operations", outcome.counts.operations)
            line.number("mapped", outcome.counts.mapped)
            line.number("pinned", outcome.counts.pinned)
            line.number("retreats", outcome.counts.retreats)
            line.number("tablesFreed", outcome.counts.tablesFreed)
            line.number("growths", outcome.counts.growths)
            line.number("splits", outcome.counts.splits)
            line.number("faults", outcome.counts.faults)
            line.number("outOfMemory", outcome.counts.outOfMemory)
            line.number("rounds", outcome.rounds)
            line.number("violations", outcome.violations)
            line.string("paging", plan.paging.rawValue)
            line.string("reclaim", plan.reclaim.rawValue)
            line.flag("failBatches", plan.failsBatches)
            line.number("threads", plan.threads)
            line.seconds("seconds", outcome.seconds)
            line.address("root", outcome.rootRegister)
            // A string, because JSON's numbers lose bits.
            line.number("seed", plan.seed)
        }
    }
}
