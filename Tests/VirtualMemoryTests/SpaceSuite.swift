import PageTables
import Testing

@testable import VirtualMemory

/// A kind of live space that random operations are tried on.
struct SpaceCase: Sendable, CustomTestStringConvertible {
    let name: String
    /// Whether a processor can run in the space: it records uses in whole entries.
    let hasProcessors: Bool
    let run: @Sendable (ReclaimPolicy, SpaceSuite.Lot) throws -> Void
    let check: @Sendable (SpaceProperty) throws -> Void

    /// - Parameters:
    ///   - topLevel: How deep the space is at first; `nil` for the least.
    ///   - filling: What is made where a table is missing.
    ///   - steps: Fewer where tables are large: a step looks at every entry.
    init<F: WritableFormat>(
        _ name: String, _ format: F, topLevel: Level? = nil, filling: TableFilling = .single, steps: Int
    ) {
        self.name = name
        hasProcessors = !F.isAccessedInHalves
        run = { policy, lot in
            let purpose = "\(policy.rawValue), \(lot.rawValue)"
            let run = try SpaceRun(format, name, purpose, topLevel: topLevel, policy: policy, filling: filling)
            try SpaceSuite.check(run, steps: steps, lot)
        }
        check = { property in
            let run = try SpaceRun(format, name, property.rawValue, topLevel: topLevel, filling: filling)
            do { try SpaceCheck(run: run).check(property) } catch let misuse as MemoryMisuse {
                throw run.failure(misuse.description)
            }
        }
    }

    var testDescription: String { name }

    /// Add a line for each format.
    static let all: [SpaceCase] = [
        SpaceCase("small, 64-bit", SmallFormat<UInt64>(), steps: 600),
        SpaceCase("small, 32-bit", SmallFormat<UInt32>(), topLevel: Level(2), steps: 600),
        SpaceCase("s390x from two levels", S390x(), steps: 40),
        SpaceCase("s390x from three levels", S390x(), topLevel: Level(2), steps: 40),
        SpaceCase("s390x from five levels", S390x(), topLevel: Level(4), steps: 40),
        SpaceCase("x86-64", X86_64(), steps: 40),
        SpaceCase("x86-64, five levels", X86_64FiveLevel(), steps: 40),
        SpaceCase("x86 PAE, in halves", AccessedInHalves(X86PAE()), steps: 40),
        SpaceCase("arm64, 4 KiB", Arm64<Granule4K>(), steps: 30),
        SpaceCase(
            "arm64, 4 KiB, writes recorded", Arm64<Granule4K>(hardwareDirty: true), topLevel: Level(2), steps: 40),
        SpaceCase("arm64, 16 KiB", Arm64<Granule16K>(), steps: 30),
        SpaceCase("arm64, 16 KiB, writes recorded", Arm64<Granule16K>(hardwareDirty: true), steps: 30),
        SpaceCase("arm64, 64 KiB", Arm64<Granule64K>(), steps: 10),
        SpaceCase("arm64, 64 KiB, writes recorded", Arm64<Granule64K>(hardwareDirty: true), steps: 10),
        SpaceCase("riscv Sv39", RISCVSv39(), steps: 40),
        SpaceCase("riscv Sv48", RISCVSv48(), steps: 30),
        SpaceCase("riscv Sv57", RISCVSv57(), steps: 30),
        SpaceCase("ppc64 radix, 64 KiB", PPC64Radix64K(), steps: 40),
        SpaceCase("ppc64 radix, 4 KiB", PPC64Radix4K(), steps: 40),
        SpaceCase("x86 EPT", X86EPT(), steps: 30),
        SpaceCase("small, 64-bit, frames of tables", SmallFormat<UInt64>(), filling: .wholeFrame, steps: 600),
        SpaceCase("small, 32-bit, frames of tables", SmallFormat<UInt32>(), filling: .wholeFrame, steps: 600),
        SpaceCase("s390x, frames of tables", S390x(), topLevel: Level(2), filling: .wholeFrame, steps: 40),
        SpaceCase("ppc64 radix, 64 KiB, frames of tables", PPC64Radix64K(), filling: .wholeFrame, steps: 40),
        SpaceCase("ppc64 radix, 4 KiB, frames of tables", PPC64Radix4K(), filling: .wholeFrame, steps: 40),
    ]
}

@Suite("Every live space")
struct SpaceSuite {
    /// What happens beside the operations.
    enum Lot: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case plain = "with all the memory it wants"
        case failures = "with each allocation refused once"
        case batches = "without memory for batches"
        case processors = "under a processor that keeps translations"
        case processorsWithoutBatches = "under a processor, without memory for batches"

        var testDescription: String { rawValue }
    }

    @Test("is what the model says", arguments: SpaceCase.all, ReclaimPolicy.allCases)
    func operations(space: SpaceCase, policy: ReclaimPolicy) throws { try space.run(policy, .plain) }

    @Test("is unchanged by an operation that lacks memory", arguments: SpaceCase.all)
    func failures(space: SpaceCase) throws { try space.run(.rcu, .failures) }

    @Test("frees its tables without batches", arguments: SpaceCase.all, ReclaimPolicy.allCases)
    func batches(space: SpaceCase, policy: ReclaimPolicy) throws { try space.run(policy, .batches) }

    @Test(
        "is what a processor sees that keeps translations", arguments: SpaceCase.all.filter(\.hasProcessors),
        ReclaimPolicy.allCases)
    func processors(space: SpaceCase, policy: ReclaimPolicy) throws {
        try space.run(policy, .processors)
        try space.run(policy, .processorsWithoutBatches)
    }

    @Test(arguments: SpaceCase.all, SpaceProperty.allCases)
    func `uses leaves so that`(space: SpaceCase, property: SpaceProperty) throws { try space.check(property) }

    static func check<F: WritableFormat>(_ run: SpaceRun<F>, steps: Int, _ lot: Lot) throws {
        run.refusesEachAllocation = lot == .failures
        run.alwaysRefused = lot == .batches || lot == .processorsWithoutBatches ? [.batch] : []
        if lot == .processors || lot == .processorsWithoutBatches { run.processor = try RunningProcessor(run) }
        let steps = lot == .plain ? steps : steps / 2
        let comparisons = lot == .plain ? 8 : 2
        do {
            for number in 0..<steps {
                guard let operation = SpaceOperation.allCases.randomElement(using: &run.random) else { continue }
                try run.perform(operation)
                if number % max(steps / comparisons, 1) == 0 { try run.compare() }
                try run.compareSamples(2)
                try run.useProcessor(12)
            }
            try run.finish()
        } catch let misuse as MemoryMisuse {
            throw run.failure(misuse.description)
        }
    }
}
