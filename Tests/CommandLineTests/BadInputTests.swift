import Foundation
import Testing

/// Bad use and bad input: status 2, one line on standard error that says where, and whatever could still be answered.
@Suite("pagewalk, given something bad,")
struct BadInputTests {
    private let folder: ScratchFolder
    private let sample = RepositoryImage.sample

    init() throws { folder = try ScratchFolder() }

    /// Runs, and expects status 2 and one line that has all of `parts`.
    @discardableResult
    private func expectComplaint(
        _ arguments: [String], _ parts: String..., input: String = "", location: SourceLocation = #_sourceLocation
    ) async throws -> PagewalkProgram.Outcome {
        let outcome = try await PagewalkProgram.run(arguments, input: input)
        #expect(!outcome.wasKilled, sourceLocation: location)
        #expect(outcome.status == 2, sourceLocation: location)
        #expect(outcome.errorLines.count == 1, "\(outcome.errors)", sourceLocation: location)
        #expect(outcome.errors.hasPrefix("pagewalk: "), sourceLocation: location)
        for part in parts {
            #expect(outcome.errors.contains(part), "no '\(part)' in \(outcome.errors)", sourceLocation: location)
        }
        return outcome
    }

    // MARK: files

    @Test(arguments: ["info", "roots", "dump", "stats", "audit", "translate", "find"])
    func `says that a file is missing, in every command`(command: String) async throws {
        let path = folder.path("nothing-here")
        let rest = command == "find" ? ["0x1000"] : []
        let outcome = try await expectComplaint([command, path] + rest, path, "No such file or directory")
        #expect(outcome.output == "")
    }

    @Test func `says that a folder is no image`() async throws {
        try await expectComplaint(["info", folder.url.path], folder.url.path, "is a directory")
    }

    @Test func `says that a device is no image`() async throws {
        try await expectComplaint(["info", "/dev/null"], "/dev/null", "not a regular file")
    }

    @Test func `says that a file is empty`() async throws {
        let path = try folder.write([], to: "empty").path
        try await expectComplaint(["info", path], path, "empty")
    }

    @Test func `says that a file is no image it knows`() async throws {
        let path = try folder.write(Array("hello, world".utf8), to: "text").path
        try await expectComplaint(["dump", path], path, "offset 0x0", "not a memory image")
    }

    @Test func `names the field of an ELF file that makes no sense`() async throws {
        var bytes = SmallMachine.x86().elfCore()
        bytes[4] = 7
        let path = try folder.write(bytes, to: "class").path
        try await expectComplaint(["info", path], path, "offset 0x4", "EI_CLASS")
        bytes[4] = 2
        bytes[56] = 0
        try folder.write(bytes, to: "class")
        try await expectComplaint(["info", path], path, "offset 0x38", "e_phnum")
    }

    @Test func `answers from what a truncated core still has, then complains`() async throws {
        let whole = SmallMachine.x86().elfCore()
        let path = try folder.write(whole.dropLast(2 * 4096 + 2048), to: "truncated").path
        let asked = ["dump", path, "--register", "CR3=0x1000", "--json"]
        let outcome = try await PagewalkProgram.run(asked)
        #expect(outcome.status == 2)
        #expect(try outcome.objects().map { $0["start"]?.text } == ["0x0", "0x200000"])
        #expect(outcome.errorLines.last?.contains("\(path): offset 0x") == true)
        #expect(outcome.errorLines.last?.contains("p_filesz") == true)
        #expect(outcome.errorLines.filter { $0.contains(path) }.count == 1)

        let info = try await PagewalkProgram.run("info", path)
        #expect(info.status == 2)
        #expect(info.lines.filter { $0.hasPrefix("warning") }.count == 3)
    }

    @Test func `says that the memory of a root is among what is missing`() async throws {
        let path = try folder.write(SmallMachine.x86().elfCore().dropLast(8 * 4096), to: "headers").path
        let rest = try Array(Data(contentsOf: URL(fileURLWithPath: path))) + [UInt8](repeating: 0, count: 8)
        try folder.write(rest, to: "headers")
        try await expectComplaint(
            ["dump", path, "--register", "CR3=0x2000"], path, "top table 0x2000 is not in the image", "offset 0x",
            "p_filesz")
        try await expectComplaint(["dump", path], path, "names no root", "p_filesz")
    }

    @Test func `lists what a table has before the image ends within it`() async throws {
        var machine = SmallMachine(.amd64)
        machine[0x1000] = 0x2000 | 0x67
        machine[0x2000] = 0x3000 | 0x67
        machine[0x3000] = 0x4000 | 0x67
        machine[0x4000] = 0x1_0000 | 0x67
        machine[0x4ff8] = 0x2_0000 | 0x67
        // The last table is the end of the file, and half of it is missing.
        let path = try folder.write(machine.elfCore().dropLast(2048), to: "half").path
        let outcome = try await PagewalkProgram.run("dump", path, "--register", "CR3=0x1000", "--json")
        #expect(outcome.status == 2)
        #expect(try outcome.objects().map { $0["start"]?.text } == ["0x0"])
        #expect(
            outcome.errorLines.first?.contains("256 entries of the level-0 table 0x4000 are not in the image") == true)
        #expect(outcome.errorLines.last?.contains("p_filesz") == true)
    }

    @Test func `says where a compressed image is truncated`() async throws {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: sample)))
        let path = try folder.write(Array(bytes.prefix(20_000)), to: "part.zst").path
        try await expectComplaint(["info", path], path, "offset 0x4e20", "zstd", "ends")
    }

    @Test func `says where a compressed image is corrupt`() async throws {
        var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: sample)))
        for place in 30_000..<30_100 { bytes[place] ^= 0x5a }
        let path = try folder.write(bytes, to: "corrupt.zst").path
        try await expectComplaint(["info", path], path, "offset 0x", "zstd", "corrupt")
    }

    @Test func `says which description is missing or broken, and where`() async throws {
        let missing = folder.path("missing.json")
        try await expectComplaint(["dump", sample, "--description", missing], missing, "No such file")
        func broken(_ json: String, _ parts: String...) async throws {
            let path = try folder.write(Array(json.utf8), to: "broken.json").path
            let outcome = try await expectComplaint(["dump", sample, "--description", path], path)
            for part in parts { #expect(outcome.errors.contains(part), "no '\(part)' in \(outcome.errors)") }
        }
        try await broken("{", "JSON")
        try await broken("[]", "JSON")
        try await broken(#"{"roots": []}"#, "architecture", "missing")
        try await broken(#"{"architecture": "z80"}"#, "architecture", "z80", "s390x")
        try await broken(#"{"architecture": "s390x", "byteOrder": "middle"}"#, "byteOrder", "middle")
        try await broken(#"{"architecture": "s390x", "registers": {"ASCE": "many"}}"#, "registers.ASCE", "many")
        try await broken(#"{"architecture": "s390x", "registers": {"ASCE": 4096}}"#, "registers.ASCE")
        try await broken(#"{"architecture": "s390x", "roots": [{"name": "A"}, {"name": 7}]}"#, "roots[1].name")
        try await broken(
            #"{"architecture": "s390x", "roots": [{"name": "A", "paging": "fancy"}]}"#, "roots[0].paging", "fancy")
        try await broken(
            #"{"architecture": "s390x", "roots": [{"name": "A", "registers": {"ASCE": "x"}}]}"#,
            "roots[0].registers.ASCE")
        try await broken(
            #"{"architecture": "um", "memory": [{"physical": "0x0", "bytes": "all", "offset": "0x0"}]}"#,
            "memory[0].bytes")
    }

    @Test func `does not let the name of a file break the line`() async throws {
        try await expectComplaint(["info", folder.path("two\nlines")], "two?lines")
    }

    // MARK: roots

    @Test(arguments: [["dump"], ["translate", "0x1000"], ["find", "0x1000"], ["audit"]])
    func `lists the roots where it cannot choose one`(command: [String]) async throws {
        let outcome = try await PagewalkProgram.run([command[0], sample] + command.dropFirst())
        #expect(outcome.status == 2)
        #expect(outcome.output == "")
        #expect(outcome.errorLines.first?.contains("\(sample): has 6 roots") == true)
        let listed = outcome.errorLines.dropFirst(2).compactMap { $0.split(separator: " ").first }
        #expect(listed == ["cpu0", "kernel", "A", "A.child", "B", "C"])
    }

    @Test(arguments: ["info", "roots", "stats"])
    func `takes all roots where it need not choose`(command: String) async throws {
        let outcome = try await PagewalkProgram.run(command, sample)
        #expect(outcome.status == 0)
        for name in ["cpu0", "kernel", "A.child"] { #expect(outcome.output.contains(name)) }
    }

    @Test func `says that there is no such root`() async throws {
        try await expectComplaint(["dump", sample, "--root", "Z"], sample, "root Z", "cpu0, kernel, A, A.child, B, C")
    }

    @Test func `says that a root is outside memory`() async throws {
        try await expectComplaint(
            ["dump", sample, "--root", "0x123456789000"], sample, "0x123456789000", "not in the image")
        try await expectComplaint(["stats", sample, "--root", "0x123456789000"], "not in the image")
    }

    @Test func `goes on with the other roots where one is outside memory`() async throws {
        let json =
            #"{"architecture": "x86_64", "roots": [{"name": "bad", "registers": {"CR3": "0x99000"}}, "#
            + #"{"name": "none", "registers": {}}, {"name": "good", "registers": {"CR3": "0x1000"}}]}"#
        let image = try folder.write(SmallMachine.x86().elfCore(), to: "image").path
        try folder.write(Array(json.utf8), to: "image.json")
        let outcome = try await PagewalkProgram.run("dump", image, "--all-roots", "--json")
        #expect(outcome.status == 2)
        #expect(try outcome.objects().map { $0["root"]?.text } == ["good", "good", "good"])
        #expect(outcome.errorLines.contains { $0.contains(image) && $0.contains("root bad") && $0.contains("0x99000") })
        #expect(outcome.errorLines.contains { $0.contains(image) && $0.contains("root none") && $0.contains("CR3") })
        let roots = try await PagewalkProgram.run("roots", image, "--json")
        #expect(roots.status == 2)
        #expect(try roots.objects().map { $0["name"]?.text } == ["bad", "good"])
    }

    @Test func `says what a software-walked tree lacks`() async throws {
        let json = #"{"architecture": "mips64", "roots": [{"name": "A", "registers": {"PGD": "0x1000"}}]}"#
        let image = try folder.write(SmallMachine.x86().elfCore(), to: "image").path
        try folder.write(Array(json.utf8), to: "image.json")
        try await expectComplaint(["dump", image], image, "root A", "--paging")
    }

    @Test func `says what to do with an image that names no root`() async throws {
        let image = try folder.write(SmallMachine.x86().elfCore(), to: "image").path
        try await expectComplaint(["dump", image], image, "--root", "--description")
    }

    // MARK: arguments

    @Test(arguments: ["xyz", "", "0x", "12345678123456781", "-1", "0x1_"])
    func `says which address is malformed`(address: String) async throws {
        let asked = ["translate", sample, "--root", "A", "--", "0x1000", address, "0x2000"]
        if address == "0x1_" {
            // Underscores group digits.
            #expect(try await PagewalkProgram.run(asked).lines.count == 3)
            return
        }
        let outcome = try await expectComplaint(asked, "'\(address)'", "hexadecimal")
        #expect(outcome.lines.count == 1, "the answers before it are printed")
    }

    @Test(arguments: ["ASCE", "=0x1000", "ASCE=", "ASCE=ten", "ASCE=0x12345678123456781"])
    func `says which register is malformed`(register: String) async throws {
        try await expectComplaint(["dump", sample, "--register", register], "--register \(register)", "NAME=VALUE")
    }

    @Test func `says that there is no such format`() async throws {
        try await expectComplaint(["dump", sample, "--paging", "x86-65"], "x86-65", "pagewalk formats")
    }

    @Test(arguments: ["5", "5-", "-5", "7-5", "5-5", "a-b-c", "x-y"])
    func `says which range is malformed`(range: String) async throws {
        try await expectComplaint(["dump", sample, "--root", "A", "--range=\(range)"], "--range", "pagewalk:")
    }

    @Test(arguments: ["x", "9-8", "1-2-3"])
    func `says which physical range is malformed`(range: String) async throws {
        try await expectComplaint(["find", sample, "--root", "A", range])
    }

    @Test func `says which base of raw memory is malformed`() async throws {
        try await expectComplaint(["dump", sample, "--raw-base", "low"], "--raw-base", "'low'")
    }

    @Test(arguments: [
        ["paint"], ["dump"], ["find", "image"], ["dump", "image", "--colour"], ["formats", "image"],
        ["dump", "image", "another"], ["dump", "image", "--view", "mine"], ["dump", "image", "--user", "--kernel"],
        ["dump", "image", "--root", "A", "--all-roots"], ["dump", "image", "--root"],
    ])
    func `explains wrong use with status 2`(arguments: [String]) async throws {
        let outcome = try await PagewalkProgram.run(arguments)
        #expect(outcome.status == 2)
        #expect(outcome.output == "")
        #expect(outcome.errors.contains("Usage: pagewalk"))
    }

    // MARK: help

    @Test(arguments: ["info", "roots", "translate", "dump", "find", "stats", "audit", "formats"])
    func `helps with every command, with examples`(command: String) async throws {
        let outcome = try await PagewalkProgram.run(command, "--help")
        #expect(outcome.status == 0)
        #expect(outcome.errors == "")
        #expect(outcome.output.contains("Examples:"))
        #expect(outcome.output.contains("  pagewalk \(command)"))
    }

    @Test func `tells its commands and its version`() async throws {
        let help = try await PagewalkProgram.run("--help")
        #expect(help.status == 0)
        #expect(help.output.contains("Examples:"))
        for command in ["info", "roots", "translate", "dump", "find", "stats", "audit", "formats"] {
            #expect(help.lines.contains { $0.hasPrefix("  \(command) ") })
        }
        let version = try await PagewalkProgram.run("--version")
        #expect(version.status == 0)
        #expect(version.output.split(separator: ".").count == 3)
    }
}
