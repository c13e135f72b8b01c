import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// Spaces with one mistake each, which the suite has to notice.
@Suite("The suite of live spaces notices")
struct SpaceSuiteMutationTests {
    private typealias Run = SpaceRun<SmallFormat<UInt64>>

    /// Runs operations at random; `mistake` happens after some of them.
    private func run(_ purpose: String, _ mistake: (Run) throws -> Void) throws {
        let run = try Run.plain(purpose)
        for _ in 0..<60 { try run.perform(.mapFrames) }
        try mistake(run)
        for operation in [SpaceOperation.fault, .protect, .pinFast, .mapDevice] { try run.perform(operation) }
        try run.finish()
    }

    @Test func `no mistake in a space that has none`() throws { try run("no mistake") { _ in } }

    @Test func `that new tables are not filled`() {
        #expect(throws: (any Error).self) {
            try run("lifted") { run in
                run.memory.lifted = .initialiseTableBeforePublishing
                for _ in 0..<100 { try run.perform(.mapDevice) }
            }
        }
    }

    @Test func `a page that is mapped elsewhere, or not at all`() {
        #expect(throws: (any Error).self) {
            try run("moved") { run in
                let page = try #require(run.model.mappings.intervals.first)
                let range = VirtualRange(
                    first: VirtualAddress(page.first), last: VirtualAddress(page.first + run.model.pageBytes - 1))
                try run.space.unmap(range, in: run.memory)
                try run.map(range, to: run.device(0))
            }
        }
        #expect(throws: (any Error).self) {
            try run("lost") { run in
                let page = try #require(run.model.mappings.intervals.last)
                run.model.mappings.remove(page.last, page.last)
            }
        }
    }

    @Test func `a reference too many, a page that changes, a frame that is lost`() {
        #expect(throws: (any Error).self) {
            try run("reference") { run in
                let head = try #require(run.model.blocks.keys.min())
                _ = try run.references.take(on: head, in: run.memory)
            }
        }
        #expect(throws: (any Error).self) {
            try run("contents") { run in
                let head = try #require(run.model.blocks.keys.min())
                let word = Word<UInt64>(run.layout.map.address(of: head))
                try run.memory.store(~(try run.memory.load(word, .relaxed)), to: word, .relaxed)
            }
        }
        #expect(throws: (any Error).self) {
            try run("lost frame") { run in _ = try run.references.allocator.allocate(in: run.memory) }
        }
    }
}
