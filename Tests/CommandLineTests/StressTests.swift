import Foundation
import Testing

@Suite("pagewalk stress", .serialized)
struct StressTests {
    private static let formats = [
        "x86-64", "x86-64-5level", "x86-pae", "s390x", "arm64-4k", "arm64-16k", "arm64-64k", "riscv-sv39", "riscv-sv48",
        "riscv-sv57", "ppc64-radix-4k", "ppc64-radix-64k",
    ]
    private static let policies = ["direct", "interrupt", "rcu"]
    /// Of spaces that grow.
    private static let growing = ["s390x", "arm64-4k", "arm64-16k", "arm64-64k"]
    /// log2 of the bytes of a page.
    private static func log2PageBytes(_ format: String) -> Int {
        ["arm64-16k": 14, "arm64-64k": 16, "ppc64-radix-64k": 16][format] ?? 12
    }

    /// Addresses with consecutive memory behind them, and whether that may be written.
    private struct Piece: Equatable {
        var start: UInt64
        /// 0 where the end is that of all addresses.
        var end: UInt64
        /// `nil` for frames that nobody knows in advance.
        var physical: UInt64?
        var isWritable: Bool

        init(_ object: [String: JSONValue]) throws {
            start = try #require(Self.number(object["start"]))
            end = try #require(Self.number(object["end"]))
            physical = Self.number(object["physical"])
            isWritable = try #require(object["write"]?.flag as Bool?)
        }

        /// `0x10000000000000000` is 0.
        static func number(_ value: JSONValue?) -> UInt64? {
            guard let text = value?.text, text.hasPrefix("0x") else { return nil }
            return UInt64(text.dropFirst(2).suffix(16), radix: 16)
        }

        var bytes: UInt64 { end &- start }

        /// The first so many bytes; the rest stays.
        mutating func take(_ count: UInt64) -> Piece {
            var first = self
            first.end = start &+ count
            start = first.end
            physical = physical.map { $0 &+ count }
            return first
        }
    }

    private static func run(_ arguments: [String], status: Int32 = 0) async throws -> [[String: JSONValue]] {
        let outcome = try await PagewalkProgram.run(["stress"] + arguments)
        #expect(outcome.status == status, "\(outcome.errors)")
        return try outcome.objects()
    }

    @Test(arguments: formats, policies)
    func `finds nothing wrong`(format: String, policy: String) async throws {
        let more = policy == "interrupt" ? ["--fail-batches"] : []
        let arguments = ["--paging", format, "--reclaim", policy, "--threads", "3", "--operations", "450"] + more
        let result = try #require(try await Self.run(arguments).last)
        #expect(result["operations"]?.number == 1350)
        #expect(result["violations"]?.number == 0)
        for field in ["pinned", "retreats", "tablesFreed", "faults"] {
            #expect(result[field]?.number ?? 0 > 0, "\(field)")
        }
        #expect((result["growths"]?.number ?? 0 > 0) == Self.growing.contains(format))
        #expect(result["seed"]?.number != nil)
    }

    @Test(arguments: formats)
    func `does everything that a space can do`(format: String) async throws {
        // The round of this seed has a guest and a device.
        let arguments = ["--paging", format, "--threads", "3", "--operations", "2500", "--seed", "1"]
        let result = try #require(try await Self.run(arguments).last)
        var fields = [
            "mapped", "splits", "longTermPins", "moves", "collapses", "fileWrites", "writebacks", "truncations",
            "extensions", "pagesReclaimed", "deviceAccesses", "recordsTaken",
        ]
        // Where entries are in halves, tables are taken back by writers only, no processor records uses, and guests are none.
        if format != "x86-pae" { fields += ["retractions", "accesses", "guestAccesses"] }
        for field in fields { #expect(result[field]?.number ?? 0 > 0, "\(field)") }
    }

    /// Whether a run without a rule finds something wrong, or ends by a trap, with one of a few seeds.
    private static func isNoticed(without rule: String, _ arguments: [String]) async throws -> Bool {
        for seed in 1...12 {
            let outcome = try await PagewalkProgram.run(["stress", "--lift", rule, "--seed", "\(seed)"] + arguments)
            if outcome.wasKilled || outcome.status == 1 { return true }
        }
        return false
    }

    /// One thread is enough for these: the same is found each time.
    @Test(arguments: [
        "markDirtyBeforeWritable", "unmapBeforeTruncating", "unshareBeforeLongTermPin",
        "checkFileMappingBeforeLongTermPin", "protectBeforeCopying", "collapseOnlyUnreferenced",
        "initialiseTableBeforePublishing", "forgetBlockBeforeReuse", "flushTakenRecords", "recordWriteBeforeDevice",
    ])
    func `notices that a rule is lifted`(_ rule: String) async throws {
        #expect(try await Self.isNoticed(without: rule, ["--threads", "1", "--operations", "4000"]))
    }

    @Test func `notices that tables are freed under walkers`() async throws {
        #expect(try await Self.isNoticed(without: "deferTableFree", ["--threads", "8", "--operations", "2000"]))
    }

    @Test func `does the same again with one thread, a seed and a number of operations`() async throws {
        let folder = try ScratchFolder()
        var runs: [[[String: JSONValue]]] = []
        for number in 0..<2 {
            let arena = folder.path("arena-\(number)")
            var objects = try await Self.run(
                ["--threads", "1", "--operations", "3000", "--seed", "11", "--arena", arena, "--keep"])
            #expect(objects.count > 10)
            objects[objects.count - 1]["seconds"] = nil
            runs.append(objects)
        }
        #expect(runs[0] == runs[1])
    }

    @Test(arguments: formats, [1, 3])
    func `leaves tables that dump reads as what was mapped`(format: String, threads: Int) async throws {
        let folder = try ScratchFolder()
        let arena = folder.path("arena")
        var mapped = try await Self.run(
            ["--paging", format, "--threads", "\(threads)", "--operations", "2000", "--arena", arena, "--keep"])
        let result = mapped.removeLast()
        let replay = "replay: seed \(result["seed"]?.number ?? 0)"
        let root = try #require(result["root"]?.text)
        let registers = (result["registers"]?.list ?? []).flatMap { ["--register", $0.text ?? ""] }
        let dump = try await PagewalkProgram.run(
            ["dump", arena, "--raw-base", "0", "--paging", format, "--root", root, "--json"] + registers)
        #expect(dump.status == 0 && dump.errors.isEmpty, "\(dump.errors) \(replay)")
        try Self.compare(
            try mapped.map { try Piece($0) }, try dump.objects().map { try Piece($0) },
            memory: try Data(contentsOf: URL(fileURLWithPath: arena)),
            pageBytes: 1 << Self.log2PageBytes(format),
            replay)
    }

    /// Both name the same addresses, with the same rights, and the same memory where it is known. Of memory that is in the
    /// file, the second word of each page is its address.
    private static func compare(
        _ expected: [Piece], _ found: [Piece], memory: Data, pageBytes: UInt64, _ replay: String
    ) throws {
        var (expected, found) = (expected[...], found[...])
        var frames = 0
        while var left = expected.first, var right = found.first {
            try #require(left.start == right.start, "\(left) \(right) \(replay)")
            let bytes = min(left.bytes, right.bytes)
            let (model, dumped) = (left.take(bytes), right.take(bytes))
            expected[expected.startIndex] = left
            found[found.startIndex] = right
            if left.bytes == 0 { expected.removeFirst() }
            if right.bytes == 0 { found.removeFirst() }
            try #require(model.isWritable == dumped.isWritable, "\(model) \(dumped) \(replay)")
            try #require(model.physical == nil || model.physical == dumped.physical, "\(model) \(dumped) \(replay)")
            let physical = try #require(dumped.physical)
            guard physical < UInt64(memory.count) else { continue }
            for offset in stride(from: 0, to: bytes, by: Int(pageBytes)) {
                let place = Int(physical + offset) + 8
                let word = memory[place..<place + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let stamp = UInt64(littleEndian: 1) == 1 ? word : word.byteSwapped
                try #require(stamp == model.start + offset, "\(dumped) \(replay)")
                frames += 1
            }
        }
        #expect(expected.isEmpty && found.isEmpty, "\(expected.count) and \(found.count) are left; \(replay)")
        #expect(frames > 0)
    }

    @Test(arguments: formats)
    func `can be looked at while it runs`(format: String) async throws {
        let folder = try ScratchFolder()
        // The first root of a fresh arena is always at the same place.
        let first = try await PagewalkProgram.run(
            "stress", "--paging", format, "--operations", "1", "--arena", folder.path("first"))
        let words = try #require(first.errorLines.last?.split(separator: " ").map(String.init))
        let start = try #require(words.firstIndex(of: "dump"))
        let arena = folder.path("arena")
        let dumping = words[start...].map { $0 == folder.path("first") ? arena : $0 } + ["--json"]
        // A file that is not there yet, because making a file shorter would end whoever has it mapped.
        async let stress = Self.run(
            ["--paging", format, "--threads", "2", "--operations", "20000", "--seconds", "2", "--arena", arena])
        var readable = 0
        for _ in 0..<6 {
            let dump = try await PagewalkProgram.run(dumping)
            #expect(!dump.wasKilled && [0, 2].contains(dump.status), "\(dump.errors)")
            if dump.status == 0 { readable += 1 }
        }
        #expect(try await stress.last?["violations"]?.number == 0)
        #expect(readable > 0)
    }

    @Test func `says how to do it again and how to look at it`() async throws {
        let folder = try ScratchFolder()
        let outcome = try await PagewalkProgram.run(
            "stress", "--operations", "10", "--seed", "7", "--arena", folder.path("arena"))
        #expect(outcome.status == 0)
        #expect(outcome.errorLines.count == 2)
        #expect(outcome.errorLines.first?.contains("--seed 7 --operations 10") == true)
        let words = try #require(outcome.errorLines.last?.split(separator: " ").map(String.init))
        let start = try #require(words.firstIndex(of: "dump"))
        let dump = try await PagewalkProgram.run(Array(words[start...]))
        #expect(dump.status == 0)
    }

    @Test(
        arguments: [
            ["--paging", "vax"], ["--reclaim", "hope"], ["--threads", "0"], ["--threads", "33"], ["--operations", "0"],
            ["--seconds=-1"], ["--seconds", "0"], ["--keep"], ["--arena", "/nowhere/arena"], ["--arena", "/"],
            ["--lift", "gravity"], ["--lift", "deferTableFree", "--paging", "riscv-sv39"],
        ])
    func `answers bad use with one line and status 2`(_ arguments: [String]) async throws {
        let outcome = try await PagewalkProgram.run(["stress"] + arguments)
        #expect(outcome.status == 2)
        #expect(outcome.output.isEmpty)
        #expect(outcome.errorLines.count == 1)
    }
}
