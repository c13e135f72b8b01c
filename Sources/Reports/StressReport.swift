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
            line.number("longTermPins", outcome.counts.longTermPins)
            line.number("accesses", outcome.counts.accesses)
            line.number("guestAccesses", outcome.counts.guestAccesses)
            line.number("deviceAccesses", outcome.counts.deviceAccesses)
            line.number("recordsTaken", outcome.counts.recordsTaken)
            line.number("retreats", outcome.counts.retreats)
            line.number("tablesFreed", outcome.counts.tablesFreed)
            line.number("growths", outcome.counts.growths)
            line.number("splits", outcome.counts.splits)
            line.number("faults", outcome.counts.faults)
            line.number("moves", outcome.counts.moves)
            line.number("collapses", outcome.counts.collapses)
            line.number("retractions", outcome.counts.retractions)
            line.number("fileWrites", outcome.counts.fileWrites)
            line.number("writebacks", outcome.counts.writebacks)
            line.number("truncations", outcome.counts.truncations)
            line.number("extensions", outcome.counts.extensions)
            line.number("pagesReclaimed", outcome.counts.pagesReclaimed)
            line.number("storeFailures", outcome.counts.storeFailures)
            line.number("unreadable", outcome.counts.unreadable)
            line.number("outOfMemory", outcome.counts.outOfMemory)
            line.number("rounds", outcome.rounds)
            line.number("violations", outcome.violations)
            line.string("paging", plan.paging.rawValue)
            line.string("reclaim", plan.reclaim.rawValue)
            line.flag("failBatches", plan.failsBatches)
            line.number("threads", plan.threads)
            line.seconds("seconds", outcome.seconds)
            if let lifted = plan.lifted { line.string("lifted", lifted) }
            line.address("root", outcome.root?.value ?? 0)
            line.strings("registers", (outcome.root?.others ?? []).map(\.argument))
            // A string, because JSON's numbers lose bits.
            line.number("seed", plan.seed)
        }
    }
}
