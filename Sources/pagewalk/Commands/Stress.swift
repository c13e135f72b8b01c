import ArgumentParser
import HostMemory
import Reports
import Stress
import VirtualMemory

struct Stress: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Changes a live address space with many threads, and looks for anything that is wrong.",
        discussion: """
            Threads map, unmap, protect, move, fault, pin, split, collapse, walk and grow at random, in areas that they share, \
            take back empty tables, write to files that are written back, truncated and extended meanwhile, and look what was \
            written. In some rounds a guest and a device use the pages by tables of their own. Every page says in its memory whose it \
            is, and every answer is compared with a plain model. The last line of standard output is one JSON object: the seed, the \
            violations, and how often each thing was done (operations, mapped, pinned, longTermPins, accesses, guestAccesses, \
            deviceAccesses, recordsTaken, retreats, tablesFreed, growths, splits, faults, moves, collapses, retractions, fileWrites, writebacks, truncations, \
            extensions, pagesReclaimed). Status 0 if nothing was wrong, 1 if something was.

            Examples:
              pagewalk stress --seconds 10 --threads 4
              pagewalk stress --paging s390x --reclaim direct --fail-batches
              pagewalk stress --threads 1 --operations 100000 --seed 7
              pagewalk stress --lift markDirtyBeforeWritable
              pagewalk stress --arena ram.bin --operations 5000 --keep
            """)

    @Option(
        help: ArgumentHelp(
            "One of \(StressedFormat.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "format"))
    var paging = StressedFormat.x86Long.rawValue

    @Option(help: ArgumentHelp("Threads, 1 to \(StressPlan.threadLimit).", valueName: "threads"))
    var threads = 2

    @Option(
        help: ArgumentHelp(
            "End after so many seconds (default: 5, or no limit if operations are limited).", valueName: "seconds"))
    var seconds: Double?

    @Option(help: ArgumentHelp("End after so many operations of each thread.", valueName: "operations"))
    var operations: Int?

    @Option(help: ArgumentHelp("Decides what is done (default: another one each time).", valueName: "number"))
    var seed: UInt64?

    @Option(
        help: ArgumentHelp(
            "Whom the freeing of tables waits for: direct (users of the space), interrupt (all), rcu.",
            valueName: "policy"))
    var reclaim = ReclaimPolicy.rcu.rawValue

    @Flag(help: "Refuse memory for half of the batches of tables to be freed.")
    var failBatches = false

    @Option(
        help: ArgumentHelp(
            "Keep the memory in this file, which other programs can look at; its content is lost.", valueName: "file"))
    var arena: String?

    @Option(help: ArgumentHelp("Lift this safety rule, to see whether that is noticed.", valueName: "rule"))
    var lift: String?

    @Flag(help: "Leave everything mapped in the end, and list it; needs --arena.")
    var keep = false

    func run() throws {
        let plan = try plan()
        let outcome: StressOutcome
        do throws(ArenaError) {
            outcome = try plan.run { announcement in
                // Now, because a freed frame that is freed again ends the process.
                StandardError.write(text: "pagewalk: seed \(plan.seed); to do it again: \(commandLine(plan))\n")
                guard let arena else { return }
                let registers = announcement.root.others.map { "--register \($0.argument) " }.joined()
                let root = "0x" + String(announcement.root.value, radix: 16)
                StandardError.write(
                    text: "pagewalk: to look at it: pagewalk dump \(arena) --raw-base 0 --paging \(paging) "
                        + "\(registers)--root \(root)\n")
            }
        } catch {
            throw InputError("\(error)")
        }
        for message in outcome.messages {
            StandardError.write(text: "pagewalk: seed \(plan.seed): \(message)\n")
        }
        var buffer = ReportBuffer()
        let report = StressReport()
        for mapping in outcome.mappings {
            report.append(mapping, to: &buffer)
            StandardOutput.flushIfLarge(&buffer)
        }
        report.append(outcome, of: plan, to: &buffer)
        StandardOutput.write(&buffer)
        guard outcome.violations > 0 else { return }
        StandardError.write(
            text: "pagewalk: \(outcome.violations) violations; to do it again: \(commandLine(plan))\n")
        throw ExitCode(1)
    }

    private func plan() throws -> StressPlan {
        var plan = StressPlan()
        guard let format = StressedFormat(rawValue: paging) else {
            let known = StressedFormat.allCases.map(\.rawValue).joined(separator: ", ")
            throw InputError("--paging \(paging): not one of \(known)")
        }
        guard let policy = ReclaimPolicy(rawValue: reclaim) else {
            let known = ReclaimPolicy.allCases.map(\.rawValue).joined(separator: ", ")
            throw InputError("--reclaim \(reclaim): not one of \(known)")
        }
        guard threads > 0, threads <= StressPlan.threadLimit else {
            throw InputError("--threads \(threads): expected 1 to \(StressPlan.threadLimit)")
        }
        if let operations, operations <= 0 {
            throw InputError("--operations \(operations): expected a positive number")
        }
        if let seconds, !(seconds > 0 && seconds <= 1e9) {
            throw InputError("--seconds \(seconds): expected a positive number")
        }
        if let lift, !StressPlan.canLift(lift, in: format) {
            throw InputError("--lift \(lift): not a rule that can be lifted in \(paging)")
        }
        if keep && arena == nil { throw InputError("--keep: leaves nothing without --arena") }
        plan.paging = format
        plan.reclaim = policy
        plan.threads = threads
        plan.operations = operations
        plan.seconds = seconds ?? (operations == nil ? 5 : nil)
        plan.seed = seed ?? UInt64.random(in: 0..<1 << 53)  // exact as a number in any JSON reader
        plan.failsBatches = failBatches
        plan.arenaPath = arena
        plan.keepsSpace = keep
        plan.lifted = lift
        return plan
    }

    /// The command that does the same again.
    private func commandLine(_ plan: StressPlan) -> String {
        var line = "pagewalk stress --paging \(paging) --threads \(threads) --reclaim \(reclaim) --seed \(plan.seed)"
        if let operations { line += " --operations \(operations)" }
        if let seconds = plan.seconds { line += " --seconds \(seconds)" }
        if failBatches { line += " --fail-batches" }
        if let lift { line += " --lift \(lift)" }
        if let arena { line += " --arena \(arena)" }
        if keep { line += " --keep" }
        return line
    }
}
