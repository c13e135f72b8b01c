import HostMemory
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// A format whose spaces random operations on whole tables are tried on.
struct TableRunCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let run: @Sendable (_ failures: Bool) throws -> Set<String>

    init<F: WritableFormat>(_ name: String, _ format: F, filling: TableFilling = .single, steps: Int) {
        testDescription = name
        run = { failures in
            let run = try TableRun(
                format, "\(name), \(failures ? "failures" : "plain")", filling: filling, failures: failures)
            try run.run(steps: steps, until: failures ? [] : Self.operations)
            return Set(run.done.keys)
        }
    }

    /// What has to happen: a run in which nothing succeeds shows nothing.
    static let operations: Set = ["map", "unmap", "protect", "add", "fault", "move", "collapse", "retract"]

    static let all: [TableRunCase] = [
        TableRunCase("s390x", S390x(), steps: 250), TableRunCase("x86-64", X86_64(), steps: 200),
        TableRunCase("ppc64 radix, 64 KiB", PPC64Radix64K(), steps: 400),
        TableRunCase("s390x, frames of tables", S390x(), filling: .wholeFrame, steps: 250),
        TableRunCase("ppc64 radix, 64 KiB, frames of tables", PPC64Radix64K(), filling: .wholeFrame, steps: 400),
    ]
}

@Suite("Moving, collapsing and taking back tables")
struct TableRunTests {
    @Test("keeps every page as a plain dictionary has it", arguments: TableRunCase.all)
    func plain(space: TableRunCase) throws {
        #expect(try space.run(false).isSuperset(of: TableRunCase.operations))
    }

    @Test("leaves every page where it was if there is no memory", arguments: TableRunCase.all)
    func failures(space: TableRunCase) throws { _ = try space.run(true) }
}
