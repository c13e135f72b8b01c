import Foundation
import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// A run is made of rounds. A round makes a space, lets all threads loose on it, and when they are done compares it with the
// model, takes it down and counts every frame. Memory and its allocator stay from round to round.

/// What somebody who watches a run may want to know when it begins.
public struct StressAnnouncement: Sendable {
    /// The registers that show the space. The root of a space that grows changes, and the old one shows the lower part from then
    /// on.
    public let root: StressRoot
}

extension StressPlan {
    /// Runs to the end.
    ///
    /// - Parameter announce: Is called when the first space is there and no thread runs yet.
    /// - Throws: Where the arena cannot be had.
    /// - Precondition: There are 1 to `threadLimit` threads. If a rule is lifted, `canLift` says that it can be.
    public func run(
        announcing announce: (StressAnnouncement) -> Void = { _ in }
    ) throws(ArenaError) -> StressOutcome {
        precondition(threads > 0 && threads <= Self.threadLimit, "a stress has 1 to \(Self.threadLimit) threads")
        return try withoutActuallyEscaping(announce) { announce throws(ArenaError) in
            guard let rule = Self.rule(lifted) else {
                return try paging.give(to: StressStarter(plan: self, announce: announce))
            }
            let outcome = try paging.giveLiftable(
                to: LiftingStarter(plan: self, rule: rule, announce: announce))
            guard let outcome else { preconditionFailure("no rule can be lifted in \(paging.rawValue)") }
            return outcome
        }
    }
}

/// Begins a run in the format that was chosen.
private struct StressStarter: StressFormatUser {
    let plan: StressPlan
    let announce: (StressAnnouncement) -> Void

    func use<Format: StressFormat>(_ format: Format) throws(ArenaError) -> StressOutcome {
        try StressRun(plan, format).run(announce) { $0 }
    }
}

/// Begins a run without one of the rules.
private struct LiftingStarter: StressFormatUser {
    let plan: StressPlan
    let rule: SafetyRule
    let announce: (StressAnnouncement) -> Void

    func use<Format: StressFormat>(_ format: Format) throws(ArenaError) -> StressOutcome {
        let rule = rule
        return try StressRun(plan, format).run(announce) { LiftingMemory(memory: $0, lifted: rule) }
    }
}

/// One run.
final class StressRun<Format: StressFormat> {
    let plan: StressPlan
    let format: Format
    let areas: StressAreas<Format>
    let arena: HostArena
    let layout: PhysicalLayout
    let references: FrameReferences
    let log = ViolationLog()
    private let deadline: ContinuousClock.Instant?
    private var outcome = StressOutcome()

    /// At least: enough for some large pages, and little enough to run out of now and then.
    private static var arenaBytes: Int { 48 << 20 }

    init(_ plan: StressPlan, _ format: Format) throws(ArenaError) {
        self.plan = plan
        self.format = format
        areas = StressAreas(format)
        let byteCount = max(Self.arenaBytes, 3 << (areas.largeOrder + Int(format.log2FrameBytes)))
        if let path = plan.arenaPath {
            arena = try HostArena(path: path, byteCount: byteCount)
        } else {
            arena = try HostArena(byteCount: byteCount)
        }
        let layout = PhysicalLayout(
            log2FrameBytes: format.log2FrameBytes, byteCount: UInt64(byteCount),
            fileCount: StressAreas<Format>.fileCount, mirrorCount: 2)
        guard let layout else { preconditionFailure("the arena has no room for a frame") }
        self.layout = layout
        references = layout.makeReferences()
        deadline = plan.seconds.map { .now + .seconds($0) }
    }

    private var isTimeOver: Bool { deadline.map { ContinuousClock.now >= $0 } ?? false }

    func run<Memory: StressMemory>(
        _ announce: (StressAnnouncement) -> Void, _ view: @escaping @Sendable (HostMemory) -> Memory
    ) -> StressOutcome {
        let begin = ContinuousClock.now
        HostProcessors(arena: arena).withProcessor { memory in
            memory.fill(frames, with: PageTags(format).poison)
        }
        var left = plan.operations ?? .max
        while true {
            let operations = plan.arenaPath == nil ? min(left, StressPlan.roundOperations) : left
            if left != .max { left -= operations }
            let isLast = playRound(operations, isLast: { left == 0 || self.isTimeOver }, announce, view)
            if isLast { break }
        }
        outcome.violations = log.count
        outcome.messages = log.messages
        outcome.seconds = (ContinuousClock.now - begin) / .seconds(1)
        return outcome
    }

    private var frames: PhysicalRange {
        let map = layout.map
        let start = map.address(of: map.first).rawValue
        let bytes = UInt64(map.frameCount) << UInt64(map.log2FrameBytes)
        return PhysicalRange(first: PhysicalAddress(start), last: PhysicalAddress(start + bytes - 1))
    }

    /// What fails in a round.
    private var failures: FailurePolicy {
        var random = SplitMix64(seed: plan.seed, for: UInt64(outcome.rounds), .max)
        return plan.failsBatches
            ? FailurePolicy(.random(seed: random.next(), oneIn: 2), of: .batches)
            : FailurePolicy(.random(seed: random.next(), oneIn: 1000), of: [.frames, .tables])
    }

    /// - Returns: Whether it was the last.
    private func playRound<Memory: StressMemory>(
        _ operations: Int, isLast: () -> Bool, _ announce: (StressAnnouncement) -> Void,
        _ view: @escaping @Sendable (HostMemory) -> Memory
    ) -> Bool {
        let processors = HostProcessors(arena: arena, failures: failures, poison: PageTags(format).poison)
        return processors.withProcessor { memory in
            let shared = makeRound(in: memory)
            shared.space.use(in: memory)
            if outcome.rounds == 0 { announce(StressAnnouncement(root: root(of: shared.space, memory))) }
            let results = runThreads(shared, processors, operations, view)
            for result in results { outcome.counts += result.counts }
            outcome.rounds += 1
            let accounts = FrameAccounts(shared, memory)
            accounts.compareWithModel()
            accounts.compareWithFrames()
            let keepers = KeeperAccounts(shared: shared, memory: memory)
            keepers.compareWithSpace()
            keepers.close()
            let files = FileAccounts(shared, results.map(\.writes), memory)
            files.compareStores()
            for file in shared.files where file.hasStore { outcome.counts.writebacks += file.store.pagesWritten }
            let isOver = isLast() || log.count > 0
            outcome.root = root(of: shared.space, memory)
            if isOver && plan.keepsSpace {
                outcome.mappings = keep(shared, memory)
            } else {
                files.compareMappings()
                shared.space.tearDown(in: memory)
                files.close()
                accounts.requireNothingLeft()
            }
            return isOver
        }
    }

    private func makeRound(in memory: HostMemory) -> StressSpace<Format> {
        var random = SplitMix64(seed: plan.seed, for: UInt64(outcome.rounds), .max - 3)
        let (hasGuest, hasMirror) = (random.once(in: 2), random.once(in: 2))
        let space = makeSpace(random.once(in: 2) ? .wholeFrame : .single, in: memory)
        let guest: StressGuest<Format>? =
            hasGuest && !Format.isAccessedInHalves
            ? StressGuest(of: areas, over: space, mirrorWords(0, in: memory), in: memory) : nil
        var mirror: DeviceMirror<StressDevice>?
        if hasMirror {
            let made = DeviceMirror(
                areas.mirrored, of: StressDevice(pageBytes: 1 << UInt64(format.log2FrameBytes)),
                words: mirrorWords(1, in: memory))
            space.add(made, in: memory)
            mirror = made
        }
        return StressSpace(areas, space, makeFiles(in: memory), guest, mirror, log)
    }

    private func mirrorWords(_ index: Int, in memory: HostMemory) -> MirrorWords {
        let words = layout.mirrorWords(index)
        memory.fill(words.range, with: 0)
        return words
    }

    /// Files with nothing in memory. Their locks are free, as the round before has left them.
    private func makeFiles(in memory: HostMemory) -> [StressFile<Format>] {
        (0..<StressAreas<Format>.fileCount).map { index in
            var random = SplitMix64(seed: plan.seed, for: UInt64(outcome.rounds), UInt64(index), .max - 2)
            return StressFile(
                index, areas, layout.fileWords(index), references, seed: random.next(), log, in: memory)
        }
    }

    private func makeSpace(_ filling: TableFilling, in memory: HostMemory) -> Space<Format> {
        let words = layout.spaceWords()
        memory.fill(words.range, with: 0)
        return insisting { () throws(SpaceError<Never>) in
            try Space<Format>.make(
                format, references, words: words, reclaiming: plan.reclaim, filling: filling, in: memory)
        }
    }

    private func root(of space: Space<Format>, _ memory: HostMemory) -> StressRoot {
        StressRoot(format, SpaceRoot(word: memory.load(space.words.root, .acquire)))
    }

    /// Runs all threads to their ends. All are attached before any of them begins.
    private func runThreads<Memory: StressMemory>(
        _ shared: StressSpace<Format>, _ processors: HostProcessors, _ operations: Int,
        _ view: @escaping @Sendable (HostMemory) -> Memory
    ) -> [ThreadResult] {
        let results = ThreadResults(plan.threads)
        let (attached, begin, end, leave) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0),
            DispatchSemaphore(value: 0)
        )
        let interruptions = Interruptions()
        let (plan, round, deadline) = (plan, outcome.rounds, deadline)
        for number in 0..<plan.threads {
            let thread = Thread {
                processors.withProcessor { memory in
                    interruptions.addThread()
                    attached.signal()
                    begin.wait()
                    let worker = StressWorker(
                        shared, view(memory), plan.reclaim, thread: number, threadCount: plan.threads,
                        SplitMix64(seed: plan.seed, for: UInt64(round), UInt64(number)),
                        meetingBy: SplitMix64(seed: plan.seed, for: UInt64(round), .max - 1))
                    worker.run(operations: operations) { deadline.map { ContinuousClock.now >= $0 } ?? false }
                    results.set(ThreadResult(counts: worker.counts, writes: worker.writes), of: number)
                }
                end.signal()
                leave.wait()
            }
            thread.name = "stress \(number)"
            thread.start()
            // One after the other, so that each has the same processor number in every run.
            attached.wait()
        }
        for _ in 0..<plan.threads { begin.signal() }
        if plan.threads > 1 { interruptions.begin(seed: plan.seed) }
        for _ in 0..<plan.threads { end.wait() }
        if plan.threads > 1 { interruptions.end() }
        for _ in 0..<plan.threads { leave.signal() }
        return results.all
    }
}

/// What makes a round, again and again: the failures that are injected hit there as well.
func insisting<Result>(_ body: () throws(SpaceError<Never>) -> Result) -> Result {
    while true {
        do throws(SpaceError<Never>) { return try body() } catch {
            switch error {
            case .refused(.outOfMemory): continue
            case .refused(let refusal): preconditionFailure("a new round was refused: \(refusal)")
            }
        }
    }
}
