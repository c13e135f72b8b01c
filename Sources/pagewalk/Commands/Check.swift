import ArgumentParser
import Interleaving
import RaceScenarios
import Reports
import TableMemory

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Decides by exploration whether the lock-free protocols are right.",
        discussion: """
            A scenario runs the production functions on a few explored processors, in every interleaving. With all safety rules in \
            force it must have no counterexample, and with any of its rules lifted it must have one. Without a name all scenarios \
            are run, each with every rule of its own lifted in turn. Status 0 if every verdict is the expected one, 1 if not.

            Examples:
              pagewalk check
              pagewalk check --list
              pagewalk check frame-freed-while-pinned --lift pinOnlyLiveFrame
              pagewalk check frame-freed-while-pinned --lift pinOnlyLiveFrame --replay 0,1x4,0
            """)

    @Argument(help: "Names of scenarios (default: all).")
    var names: [String] = []

    @Flag(help: "List scenarios and their rules, and run nothing.")
    var list = false

    @Option(help: ArgumentHelp("Lift this rule only, or none with 'none'.", valueName: "rule"))
    var lift: String?

    @Option(
        help: ArgumentHelp(
            "How schedules are found: reduced, unreduced, preemptions:N, random:SEED, priorities:DEPTH:SEED.",
            valueName: "strategy"))
    var strategy = "reduced"

    @Option(
        help: ArgumentHelp(
            "The memory model: sc (sequential consistency), tso (total store order), all (default: what each scenario is about).",
            valueName: "model"))
    var model: String?

    @Option(help: ArgumentHelp("Run one schedule of one scenario again.", valueName: "schedule"))
    var replay: String?

    @Option(help: ArgumentHelp("Executions of one exploration at most.", valueName: "executions"))
    var budget = 10_000_000

    @OptionGroup var jsonOptions: JSONOptions

    func run() throws {
        let scenarios = try selected()
        var buffer = ReportBuffer()
        let report = CheckReport(style: StandardOutput.style)
        if list {
            for scenario in scenarios { report.appendListing(scenario, json: jsonOptions.json, to: &buffer) }
            return StandardOutput.write(&buffer)
        }
        let models = try parsedModels()
        var explorer = Explorer(try parsedStrategy(), budget: Budget(executions: try positive(budget), seconds: 600))
        let schedule = try parsedSchedule(scenarios)
        var unexpected = 0
        for scenario in scenarios {
            let variations = try variations(of: scenario)
            for (variation, model) in variations.flatMap({ variation in
                (models ?? scenario.models).map { (variation, $0) }
            }) {
                explorer.model = model
                let progress = Progress("exploring \(scenario.name)")
                let outcome =
                    schedule.map { scenario.replay($0, variation, model: model) }
                    ?? scenario.explore(variation, with: explorer)
                progress.done()
                if !outcome.isExpected { unexpected += 1 }
                let isSingle = scenarios.count == 1 && (lift != nil || replay != nil)
                report.append(outcome, json: jsonOptions.json, withSteps: isSingle || !outcome.isExpected, to: &buffer)
                StandardOutput.write(&buffer)
            }
        }
        // A replayed schedule shows what it shows; only a search can be wrong about a claim.
        if unexpected > 0 && schedule == nil { throw ExitCode(1) }
    }

    private func selected() throws -> [Scenario] {
        let all = Scenario.all
        if names.isEmpty { return all }
        return try names.map { name in
            guard let scenario = all.first(where: { $0.name == name }) else {
                throw InputError("no scenario is named '\(name)'; `pagewalk check --list` lists them")
            }
            return scenario
        }
    }

    private func variations(of scenario: Scenario) throws -> [Variation] {
        switch lift {
        case nil: return replay == nil ? [.none] + scenario.variations : [.none]
        case "none"?: return [.none]
        case let name?:
            if let variation = scenario.variations.first(where: { $0.name == name }) { return [variation] }
            guard names.isEmpty else {
                let known = scenario.variations.compactMap(\.name).joined(separator: ", ")
                throw InputError("\(scenario.name) has no rule '\(name)'; it has \(known.isEmpty ? "none" : known)")
            }
            return []
        }
    }

    /// Nil for those that each scenario is about; a schedule is one of one model.
    private func parsedModels() throws -> [MemoryModel]? {
        guard let model else { return replay == nil ? nil : [.sequential] }
        if model == "all", replay == nil { return MemoryModel.allCases }
        guard let named = MemoryModel(rawValue: model) else { throw InputError("--model \(model): no such model") }
        return [named]
    }

    private func positive(_ count: Int) throws -> Int {
        guard count > 0 else { throw InputError("--budget \(count): expected a positive number") }
        return count
    }

    private func parsedStrategy() throws -> Strategy {
        let parts = strategy.split(separator: ":", omittingEmptySubsequences: false)
        switch (parts.first, parts.count) {
        case ("reduced", 1): return .reduced
        case ("unreduced", 1): return .unreduced
        case ("preemptions", 2): if let count = Int(parts[1]), count >= 0 { return .preemptions(atMost: count) }
        case ("random", 2): if let seed = UInt64(parts[1]) { return .random(seed: seed) }
        case ("priorities", 3):
            if let depth = Int(parts[1]), depth > 0, let seed = UInt64(parts[2]) {
                return .priorities(depth: depth, seed: seed)
            }
        default: break
        }
        throw InputError("--strategy \(strategy): no such strategy")
    }

    private func parsedSchedule(_ scenarios: [Scenario]) throws -> Schedule? {
        guard let replay else { return nil }
        guard scenarios.count == 1, !names.isEmpty else { throw InputError("--replay needs the name of one scenario") }
        guard let schedule = Schedule(replay) else { throw InputError("--replay \(replay): not a schedule") }
        return schedule
    }
}
