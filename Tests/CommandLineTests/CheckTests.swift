import Foundation
import Testing

@Suite("pagewalk check")
struct CheckTests {
    @Test func `finds every verdict as expected`() async throws {
        let outcome = try await PagewalkProgram.run("check", "--json")
        #expect(outcome.status == 0)
        let runs = try outcome.objects()
        let fields: Set<String> = [
            "scenario", "lifted", "model", "verdict", "expected", "executions", "steps", "seconds", "property",
            "replay",
        ]
        #expect(runs.count > 20)
        for run in runs {
            #expect(Set(run.keys) == fields)
            #expect(run["verdict"]?.text == run["expected"]?.text)
        }
    }

    @Test func `lists what can be lifted and which races are answered`() async throws {
        let listing = try await PagewalkProgram.run("check", "pin-range-in-folded-space", "--list")
        #expect(listing.output.contains("answers: A1, A2"))
        #expect(listing.output.contains("can be lifted: stepsFromCopy, indexesFromCopy"))
        let object = try #require(
            try await PagewalkProgram.run("check", "pin-range-in-folded-space", "--list", "--json").objects().first)
        #expect(Set(object.keys) == ["scenario", "question", "rules", "races", "expected"])
    }

    @Test func `shows a counterexample and replays it`() async throws {
        let rule = ["frame-freed-while-pinned", "--lift", "pinOnlyLiveFrame"]
        let found = try await PagewalkProgram.run(["check"] + rule + ["--json"]).objects()
        let schedule = try #require(found.first?["replay"]?.text)
        let again = try await PagewalkProgram.run(["check"] + rule + ["--replay", schedule])
        #expect(again.status == 0)
        #expect(again.output.contains("walker"))
        #expect(again.output.contains("violated:"))
        let command = (["pagewalk", "check"] + rule + ["--replay", schedule]).joined(separator: " ")
        #expect(again.output.hasSuffix("replay: \(command)\n"))
    }

    @Test func `is not exhausted where a budget ends it, and says so with its status`() async throws {
        let outcome = try await PagewalkProgram.run("check", "block-reused-while-pinned", "--budget", "2", "--json")
        #expect(outcome.status == 1)
        #expect(try outcome.objects().first?["verdict"]?.text == "notExhausted")
    }

    @Test func `explores the model that it is asked for, and replays in it`() async throws {
        let rule = ["table-freed-while-user-joins", "--lift", "orderUnlinkBeforeUsers"]
        let found = try await PagewalkProgram.run(["check"] + rule + ["--model", "all", "--json"])
        #expect(found.status == 0)
        let runs = try found.objects()
        #expect(runs.map { $0["model"]?.text } == ["sequentially consistent", "total store order"])
        #expect(runs.map { $0["verdict"]?.text } == ["none", "violation"])
        let schedule = try #require(runs.last?["replay"]?.text)
        let again = try await PagewalkProgram.run(
            ["check"] + rule + ["--model", "tso", "--replay", schedule])
        #expect(again.status == 0)
        #expect(again.output.contains("performs store"))
        #expect(again.output.contains("--model tso --replay \(schedule)"))
    }

    @Test(
        arguments: [
            ["--model", "power"], ["no-such-scenario"], ["--strategy", "clairvoyance"], ["--budget", "0"],
            ["--replay", "0"],
            ["frame-freed-while-pinned", "--replay", "sideways"], ["frame-freed-while-pinned", "--lift", "gravity"],
        ])
    func `answers bad use with one line and status 2`(_ arguments: [String]) async throws {
        let outcome = try await PagewalkProgram.run(["check"] + arguments)
        #expect(outcome.status == 2)
        #expect(outcome.errorLines.count == 1)
    }
}
