import Foundation
import HostMemory
import Interleaving
import RaceScenarios
import Synchronization
import TableMemory
import Testing

/// The line of source that a step names, from nothing but the step; and with two lines before it, where a long call may begin.
private func source(of step: Step) throws -> (line: String, statement: String) {
    let sources = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources")
    // A file's ID leaves out the folders below its module.
    let parts = step.fileID.split(separator: "/")
    let module = sources.appendingPathComponent(String(try #require(parts.first)))
    let files = FileManager.default.enumerator(at: module, includingPropertiesForKeys: nil)?.compactMap { $0 as? URL }
    let file = try #require(files?.first { $0.lastPathComponent == parts.last.map(String.init) }, "\(step)")
    let text = try String(contentsOf: file, encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(Int(step.line))
    try #require(lines.count == Int(step.line), "\(step)")
    return (String(lines[lines.count - 1]), lines.suffix(3).joined(separator: "\n"))
}

private func counterexample(of name: String, without rule: String) throws -> Counterexample {
    let scenario = try #require(Scenario.all.first { $0.name == name })
    let variation = try #require(scenario.variations.first { $0.name == rule })
    return try #require(scenario.explore(variation).exploration.counterexample)
}

/// A thread that makes arenas, which are mappings with a name, and drops them again.
private final class ArenaNeighbour: Sendable {
    private let isOver = Mutex(false)
    private let count = Mutex(0)
    private let hasEnded = DispatchSemaphore(value: 0)

    func begin() {
        let thread = Thread {
            while !self.isOver.withLock({ $0 }) {
                if (try? HostArena(byteCount: 1 << 16)) != nil { self.count.withLock { $0 += 1 } }
            }
            self.hasEnded.signal()
        }
        thread.start()
    }

    /// - Returns: How many arenas there were.
    func end() -> Int {
        isOver.withLock { $0 = true }
        hasEnded.wait()
        return count.withLock { $0 }
    }
}

@Suite("A counterexample of a scenario")
struct CounterexampleTests {
    @Test("shows what a lifted rule would have done at the step that is taken instead")
    func liftedRule() throws {
        let found = try counterexample(of: "frame-freed-while-pinned", without: "pinOnlyLiveFrame")
        let step = try #require(found.steps.first { $0.rule == "without pinOnlyLiveFrame" }, "\(found)")
        #expect(found.threads[step.thread] == "walker")
        #expect(step.label.hasPrefix("add 0x"))
        #expect(found.steps.filter { $0.rule.contains("pinOnlyLiveFrame") } == [step])
        let row = try #require(found.table.split(separator: "\n").first { $0.contains(step.rule) })
        #expect(row.contains("│ without pinOnlyLiveFrame │"))
    }

    /// The runtime looked for code in every mapping with a name, for each step, and met one that was just unmapped.
    @Test("is told in full while arenas come and go")
    func arenasMeanwhile() throws {
        let before = try counterexample(of: "frame-freed-while-pinned", without: "pinOnlyLiveFrame")
        let neighbour = ArenaNeighbour()
        neighbour.begin()
        for _ in 0..<20 {
            let found = try counterexample(of: "frame-freed-while-pinned", without: "pinOnlyLiveFrame")
            #expect(found == before)
        }
        #expect(neighbour.end() > 0, "no arena came")
    }

    @Test("shows the rules in force at the steps that they guard, and at no step of another thread")
    func ruleInForce() throws {
        let found = try counterexample(of: "block-reused-while-pinned", without: "forgetBlockBeforeReuse")
        let pinned = found.steps.filter { $0.rule == "pinOnlyLiveFrame" }
        #expect(!pinned.isEmpty)
        for step in pinned {
            #expect(found.threads[step.thread] == "walker")
            #expect(step.label.hasPrefix("add if positive 0x"))
        }
    }

    // What a stack tells is not read on Darwin; and functions that are inlined into another module keep no lines.
    #if DEBUG && !canImport(Darwin)
        @Test("names the protocol's own line for a step")
        func protocolLine() throws {
            let found = try counterexample(of: "frame-freed-while-pinned", without: "pinOnlyLiveFrame")
            let taken = try #require(found.steps.first { $0.rule == "without pinOnlyLiveFrame" })
            #expect(taken.fileID == "VirtualMemory/FrameReferences.swift")
            #expect(try source(of: taken).line.contains("memory.add(count, to: references"))
            let dropped = try #require(found.steps.first { found.threads[$0.thread] == "owner" })
            #expect(dropped.fileID == "VirtualMemory/FrameReferences.swift")
            #expect(try source(of: dropped).line.contains("memory.add(0 &- count"))
        }

        @Test(
            "names a line outside the machine that explores, for every step and for the violation",
            arguments: Scenario.all)
        func everyLine(_ scenario: Scenario) throws {
            for variation in scenario.variations.prefix(2) {
                let explorer = Explorer(model: scenario.models.last ?? .sequential)
                let found = try #require(scenario.explore(variation, with: explorer).exploration.counterexample)
                for step in found.steps {
                    #expect(!step.fileID.isEmpty && step.function.isEmpty, "\(step)")
                    #expect(!step.fileID.hasPrefix("ExploredMemory/") && !step.fileID.hasPrefix("TableMemory/"))
                    #expect(try source(of: step).statement.contains("try "), "\(step)")
                }
                #expect(!found.property.contains("ExploredMachine.swift"))
            }
        }
    #endif
}
