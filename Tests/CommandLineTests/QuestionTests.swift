import Testing

/// What each command answers about an image, in the fields that programs rely on.
@Suite("pagewalk")
struct QuestionTests {
    static let formats = [
        "x86-64", "x86-64-5level", "x86-pae", "x86-2level", "s390x", "arm64-4k", "arm64-16k", "arm64-64k", "arm-short",
        "arm-lpae", "riscv-sv32", "riscv-sv39", "riscv-sv48", "riscv-sv57", "ppc64-radix-4k", "ppc64-radix-64k",
        "ppc64-linux-hash-64k", "mips64-4k", "um-3level", "um-4level",
    ]
    let sample = RepositoryImage.sample

    private func run(_ arguments: String...) async throws -> PagewalkProgram.Outcome {
        let outcome = try await PagewalkProgram.run(arguments)
        #expect(outcome.errors == "")
        #expect(outcome.status == 0)
        return outcome
    }

    // MARK: formats, info, roots, stats

    @Test func `formats lists every format with its geometry`() async throws {
        let text = try await run("formats")
        let names = text.lines.filter { !$0.hasPrefix(" ") }.compactMap {
            $0.split(separator: " ").first.map(String.init)
        }
        #expect(names == Self.formats)
        let objects = try await run("formats", "--json").objects()
        #expect(objects.map { $0["format"]?.text } == Self.formats)
        for object in objects {
            let levels = try #require(object["levels"]?.list)
            #expect(levels.map { $0.object?["level"]?.number } == (0..<levels.count).reversed().map { $0 })
            #expect(object["entryBytes"]?.number == 4 || object["entryBytes"]?.number == 8)
            #expect(object["views"] == .list([.text("hardware"), .text("linux")]))
        }
    }

    @Test func `info says what an image is`() async throws {
        let text = try await run("info", sample).output
        for part in ["ELF64 big-endian core, zstd", "s390x", "cpu0", "A.child"] { #expect(text.contains(part)) }
        let objects = try await run("info", sample, "--json").objects()
        #expect(objects.count == 1)
        let info = try #require(objects.first)
        #expect(info["architecture"]?.text == "s390x")
        #expect(info["roots"]?.list?.count == 6)
        #expect(info["cpus"]?.list?.count == 5)
        #expect(info["warnings"]?.list == [])
        for range in info["memory"]?.list ?? [] {
            #expect(range.object?["start"]?.isAddress == true && range.object?["end"]?.isAddress == true)
        }
    }

    @Test func `roots names each root with its registers, format, depth and source`() async throws {
        let objects = try await run("roots", sample, "--json").objects()
        #expect(objects.map { $0["name"]?.text } == ["cpu0", "kernel", "A", "A.child", "B", "C"])
        #expect(objects.map { $0["levels"]?.number } == [3, 3, 3, 3, 4, 5])
        #expect(objects.map { $0["process"]?.number } == [nil, nil, 125, 130, 126, 127])
        for object in objects {
            #expect(Set(object.keys).subtracting(["process"]) == ["name", "registers", "format", "levels", "source"])
            #expect(object["format"]?.text == "s390x")
            #expect(object["source"]?.text == "description")
            #expect(object["registers"]?.object?["ASCE"]?.isAddress == true)
        }
        let text = try await run("roots", sample).lines
        #expect(text.count == 7)
        #expect(text.last?.split(separator: " ") == ["C", "s390x", "5", "127", "description", "ASCE=0x340c1cf"])
    }

    @Test func `stats counts the tables and pages of every root`() async throws {
        let objects = try await run("stats", sample, "--json").objects()
        #expect(objects.map { $0["root"]?.text } == ["cpu0", "kernel", "A", "A.child", "B", "C"])
        for object in objects {
            let levels = (object["levels"]?.list ?? []).compactMap(\.object)
            #expect(levels.reduce(0) { $0 + ($1["tables"]?.number ?? 0) } == object["tables"]?.number)
            #expect(levels.reduce(0) { $0 + ($1["tableBytes"]?.number ?? 0) } == object["tableBytes"]?.number)
            let sizes = (object["sizes"]?.list ?? []).compactMap(\.object)
            #expect(sizes.reduce(0) { $0 + ($1["bytes"]?.number ?? 0) } == object["mappedBytes"]?.number)
        }
        let one = try await run("stats", sample, "--root", "C", "--json").objects()
        #expect(one == [objects[5]])
        #expect(try await run("stats", sample, "--root", "A").output.contains("2384 pages of 4 KiB"))
    }

    // MARK: dump

    private static let dumpFields: Set = [
        "start", "end", "physical", "pageBytes", "read", "write", "execute", "user", "global", "accessed", "dirty",
        "memoryType",
    ]

    private func check(_ object: [String: JSONValue]) {
        for name in ["start", "end", "physical"] { #expect(object[name]?.isAddress == true) }
        #expect((object["pageBytes"]?.number ?? 0) > 0)
        #expect(object["memoryType"]?.text != nil)
        for name in ["read", "write", "execute", "user", "global", "accessed", "dirty"] {
            if let value = object[name] { #expect(value.flag != nil) }
        }
    }

    @Test func `dump gives each range every field that its format knows`() async throws {
        let x86 = try await PagewalkProgram.run(
            ["dump"] + RepositoryImage.arguments("x86_64-4level") + ["--root", "A", "--json"])
        #expect(x86.status == 0)
        let objects = try x86.objects()
        #expect(objects.count > 300)
        for object in objects {
            #expect(Set(object.keys) == Self.dumpFields)
            check(object)
        }
    }

    @Test func `dump leaves out what a format has no notion of`() async throws {
        let hardware = try await run("dump", sample, "--root", "A", "--json").objects()
        #expect(!hardware.isEmpty)
        for object in hardware {
            #expect(Set(object.keys) == Self.dumpFields.subtracting(["user", "global", "accessed", "dirty"]))
            check(object)
        }
        let linux = try await run("dump", sample, "--root", "A", "--json", "--view", "linux").objects()
        for object in linux { #expect(Set(object.keys) == Self.dumpFields.subtracting(["user", "global"])) }
    }

    @Test func `dump with the view of Linux has the old pages of a child as well`() async throws {
        func pages(_ arguments: String...) async throws -> Int {
            let outcome = try await PagewalkProgram.run(["dump", sample, "--root", "A.child", "--json"] + arguments)
            return try outcome.objects().count
        }
        #expect(try await pages("--view", "linux") > pages("--view", "hardware"))
        #expect(try await pages("--view", "hardware") == pages())
    }

    @Test func `dump of all roots names the root of each range`() async throws {
        let all = try await run("dump", sample, "--all-roots", "--json").objects()
        var names: [String] = []
        for object in all {
            let name = try #require(object["root"]?.text)
            if names.last != name { names.append(name) }
        }
        #expect(names == ["cpu0", "kernel", "A", "A.child", "B", "C"])
        let one = try await run("dump", sample, "--root", "B", "--json").objects()
        #expect(all.filter { $0["root"]?.text == "B" }.map { $0.filter { $0.key != "root" } } == one)
        #expect(try await run("dump", sample, "--all-roots").lines.contains("root B, process 126, s390x, 4 levels"))
    }

    @Test func `dump of a range cuts what crosses its ends`() async throws {
        let folder = try ScratchFolder()
        let image = try folder.write(SmallMachine.x86().elfCore(), to: "image").path
        let asked = ["dump", image, "--register", "CR3=0x1000", "--json", "--range"]
        func dump(_ range: String) async throws -> [[String: JSONValue]] {
            try await PagewalkProgram.run(asked + [range]).objects()
        }
        let inner = try await dump("0x201000-0x203000")
        #expect(inner.map { $0["start"]?.text } == ["0x201000"])
        #expect(inner.map { $0["end"]?.text } == ["0x203000"])
        #expect(inner.map { $0["physical"]?.text } == ["0x401000"])
        #expect(inner.map { $0["pageBytes"]?.number } == [2 << 20])
        #expect(try await dump("0x1000-0x200000").isEmpty)
        #expect(
            try await dump("0x200000-0x10000000000000000").map { $0["start"]?.text }
                == ["0x200000", "0xffff800000000000"])
    }

    @Test func `dump of one half has the addresses of that half only`() async throws {
        let arguments = ["dump"] + RepositoryImage.arguments("x86_64-4level") + ["--root", "A", "--json"]
        let all = try await PagewalkProgram.run(arguments).objects()
        let user = try await PagewalkProgram.run(arguments + ["--user"]).objects()
        let kernel = try await PagewalkProgram.run(arguments + ["--kernel"]).objects()
        #expect(user + kernel == all)
        #expect(!user.isEmpty && !kernel.isEmpty)
        #expect(
            kernel.allSatisfy { ($0["start"]?.text ?? "") >= "0xffff800000000000" && $0["start"]?.text?.count == 18 })
        #expect(user.allSatisfy { ($0["start"]?.text?.count ?? 99) < 18 })
    }

    @Test func `dump with holes covers all addresses without a gap`() async throws {
        let objects = try await run("dump", sample, "--root", "C", "--holes", "--json").objects()
        #expect(objects.first?["start"]?.text == "0x0")
        #expect(objects.last?["end"]?.text == "0x10000000000000000")
        for (object, next) in zip(objects, objects.dropFirst()) { #expect(object["end"] == next["start"]) }
        let holes = objects.filter { $0["hole"] == .flag(true) }
        #expect(holes.allSatisfy { $0.count == 4 })
        // Up to where the leaf table ends nothing is mapped by its entries, and behind it by those of the table above.
        let near = try #require(holes.first { $0["start"]?.text == "0x1d000" })
        #expect(near["end"]?.text == "0x100000" && near["level"]?.number == 0)
        let far = try #require(holes.first { $0["start"]?.text == "0x100000" })
        #expect(far["end"]?.text == "0x1000000" && far["level"]?.number == 1)
    }

    @Test func `the end of the very last page is 2^64`() async throws {
        let folder = try ScratchFolder()
        let image = try folder.write(SmallMachine.s390x().elfCore(), to: "image").path
        let objects = try await run("dump", image, "--root", "0x1000f", "--json").objects()
        #expect(objects.map { $0["start"]?.text } == ["0xfffffffffffff000"])
        #expect(objects.map { $0["end"]?.text } == ["0x10000000000000000"])
        #expect(objects.map { $0["physical"]?.text } == ["0x30000"])
        let found = try await run("translate", image, "--root", "0x1000f", "--json", "0xffffffffffffffff").objects()
        #expect(found.map { $0["physical"]?.text } == ["0x30fff"])
        #expect(try await run("dump", image, "--root", "0x1000f").output.contains("..< 0x10000000000000000 "))
    }

    @Test(arguments: [("riscv64-sv48", "0x102a00000", "0x102a10000"), ("arm64-4k", "0x10ba00000", "0x10ba10000")])
    func `a run of pages that share a translation counts with its own size`(
        guest: String, start: String, end: String
    ) async throws {
        let image = RepositoryImage.arguments(guest) + ["--root", "A", "--json"]
        let run = try await PagewalkProgram.run(["dump"] + image + ["--range", "\(start)-\(end)"]).objects()
        #expect(run.map { $0["pageBytes"]?.number } == [65536])
        #expect(run.map { $0["end"]?.text } == [end])
        let place = try #require(run.first?["physical"]?.text.flatMap { UInt64($0.dropFirst(2), radix: 16) })
        let address = try #require(UInt64(start.dropFirst(2), radix: 16)) + 0x5678
        let page = try await PagewalkProgram.run(["translate"] + image + [String(address, radix: 16)]).objects()
        #expect(page.map { $0["pageBytes"]?.number } == [65536])
        #expect(page.map { $0["physical"]?.text } == ["0x" + String(place + 0x5678, radix: 16)])
    }

    // MARK: find, audit

    @Test func `find gives all virtual addresses of a physical address`() async throws {
        let folder = try ScratchFolder()
        let image = try folder.write(SmallMachine.x86().elfCore(), to: "image").path
        func find(_ target: String) async throws -> [[String: JSONValue]] {
            try await PagewalkProgram.run("find", image, "--register", "CR3=0x1000", "--json", target).objects()
        }
        let both = try await find("0x5123")
        #expect(both.map { $0["start"]?.text } == ["0x123", "0xffff800000000123"])
        #expect(both.map { $0["end"]?.text } == ["0x124", "0xffff800000000124"])
        #expect(both.map { $0["physical"]?.text } == ["0x5123", "0x5123"])
        for object in both {
            #expect(Set(object.keys) == Self.dumpFields)
            check(object)
        }
        let large = try await find("0x5ff000-0x700000")
        #expect(large.map { $0["start"]?.text } == ["0x3ff000"])
        #expect(large.map { $0["end"]?.text } == ["0x400000"])
        #expect(try await find("0x999000").isEmpty)
    }

    @Test func `find in all roots names the root of each mapping`() async throws {
        let dump = try await run("dump", sample, "--root", "A", "--json").objects()
        let place = try #require(dump.last?["physical"]?.text)
        let found = try await run("find", sample, "--all-roots", "--json", place).objects()
        #expect(found.contains { $0["root"]?.text == "A" && $0["physical"]?.text == place })
        #expect(try await run("find", sample, "--all-roots", place).lines.contains { $0.hasPrefix("A  0x") })
    }

    @Test func `audit reports what is dangerous, contradictory or broken`() async throws {
        let folder = try ScratchFolder()
        var machine = SmallMachine.x86()
        // User code may write the page with the second table, and one table contains itself.
        machine[0x4018] = 0x2000 | 0x67
        machine[0x6008] = 0x6000 | 0x63
        let image = try folder.write(machine.elfCore(), to: "image").path
        let findings = try await run("audit", image, "--register", "CR3=0x1000", "--json").objects()
        let kinds = findings.compactMap { $0["finding"]?.text }
        for kind in [
            "writableAndExecutable", "writablePageTables", "conflictingMemoryTypes", "malformed", "loop", "absentTable",
        ] {
            #expect(kinds.contains(kind), "\(kind) is missing")
        }
        let malformed = try #require(findings.first { $0["finding"]?.text == "malformed" })
        #expect(malformed["start"]?.text == "0x40000000")
        #expect(malformed["table"]?.text == "0x2000")
        #expect(malformed["index"]?.number == 1)
        #expect(malformed["level"]?.number == 2)
        let text = try await run("audit", image, "--register", "CR3=0x1000")
        #expect(text.lines.last?.contains("\(findings.count) findings") == true)
    }

    @Test func `audit of a machine without such things finds nothing and succeeds`() async throws {
        #expect(try await run("audit", sample, "--root", "A", "--json").output == "")
        #expect(try await run("audit", sample, "--root", "A").lines == ["A  0 findings in 59 tables"])
    }
}
