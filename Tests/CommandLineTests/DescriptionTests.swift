import Foundation
import Testing

/// Who says where a machine's tables are, and who wins.
@Suite("pagewalk learns the roots")
struct DescriptionTests {
    private let folder: ScratchFolder
    private let image: String

    init() throws {
        folder = try ScratchFolder()
        image = try folder.write(SmallMachine.x86().elfCore(), to: "image").path
    }

    private func describe(_ name: String, root: String, _ rest: String = "") throws -> String {
        let json =
            #"{"architecture": "x86_64", "roots": [{"name": "\#(root)", "registers": {"CR3": "0x1000"}}]\#(rest)}"#
        return try folder.write(Array(json.utf8), to: name).path
    }

    private func roots(_ arguments: String...) async throws -> [[String: JSONValue]] {
        try await PagewalkProgram.run(["roots", "--json"] + arguments).objects()
    }

    @Test func `from the file beside the image`() async throws {
        _ = try describe("image.json", root: "beside")
        #expect(try await roots(image).map { $0["name"]?.text } == ["beside"])
    }

    @Test func `from --description, which wins over the file beside the image`() async throws {
        _ = try describe("image.json", root: "beside")
        let other = try describe("other.json", root: "other")
        #expect(try await roots(image, "--description", other).map { $0["name"]?.text } == ["other"])
    }

    @Test func `from the notes of a dump without a description`() async throws {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: RepositoryImage.sample)))
        let file = try folder.write(bytes, to: "alone").path
        let found = try await roots(file)
        #expect(found.map { $0["name"]?.text } == ["cpu0", "kernel", "cpu1", "cpu2", "cpu3", "cpu4"])
        #expect(found.allSatisfy { $0["source"]?.text == "cpu notes" })
        #expect(found.map { $0["levels"]?.number } == [3, 3, 3, 3, 4, 5])
    }

    @Test func `from the value of a root register`() async throws {
        _ = try describe("image.json", root: "beside")
        func starts(_ root: String) async throws -> [String?] {
            try await PagewalkProgram.run("dump", image, "--root", root, "--json").objects().map { $0["start"]?.text }
        }
        #expect(try await starts("0x1000") == starts("beside"))
        // The second table, taken for a root.
        #expect(try await starts("0x6000") == ["0x0"])
    }

    @Test func `from --register, which wins over all`() async throws {
        _ = try describe("image.json", root: "beside")
        let overridden = try await PagewalkProgram.run(
            "dump", image, "--root", "beside", "--register", "CR3=0x6000", "--json")
        #expect(try overridden.objects().map { $0["start"]?.text } == ["0x0"])
        let alone = try await PagewalkProgram.run("dump", image, "--register", "CR3=0x6000", "--json")
        #expect(try alone.objects() == overridden.objects())
        let listed = try await roots(image, "--register", "CR3=0x6000")
        #expect(listed.map { $0["registers"]?.object?["CR3"]?.text } == ["0x6000"])
    }

    @Test func `and their format from --paging, which wins over all`() async throws {
        _ = try describe("image.json", root: "beside")
        #expect(try await roots(image).map { $0["format"]?.text } == ["x86-64"])
        let listed = try await roots(image, "--paging", "x86-64-5level")
        #expect(listed.map { $0["format"]?.text } == ["x86-64-5level"])
        #expect(listed.map { $0["levels"]?.number } == [5])
    }

    @Test func `of raw memory with --raw-base`() async throws {
        let raw = try folder.write(SmallMachine.x86().rawMemory(), to: "raw").path
        let arguments = ["--paging", "x86-64", "--root", "0x1000", "--json"]
        let core = try await PagewalkProgram.run(["dump", image] + arguments)
        let plain = try await PagewalkProgram.run(["dump", raw, "--raw-base", "0x0"] + arguments)
        #expect(plain.status == 0)
        #expect(plain.output == core.output)
        #expect(!plain.output.isEmpty)
        // Everything from the first table on.
        let tail = try folder.write(Array(SmallMachine.x86().rawMemory().dropFirst(0x1000)), to: "tail").path
        #expect(try await PagewalkProgram.run(["dump", tail, "--raw-base", "1000"] + arguments).output == core.output)
    }

    @Test func `of raw memory that a description places`() async throws {
        let memory = SmallMachine.x86().rawMemory()
        // The upper part first.
        let raw = try folder.write(Array(memory[0x4000...] + memory[..<0x4000]), to: "raw").path
        let upper = String(memory.count - 0x4000, radix: 16)
        _ = try describe(
            "raw.json", root: "A",
            #", "memory": [{"physical": "0x4000", "bytes": "0x\#(upper)", "offset": "0x0"}, "#
                + #"{"physical": "0x0", "bytes": "0x4000", "offset": "0x\#(upper)"}]"#)
        let core = try await PagewalkProgram.run("dump", image, "--root", "0x1000", "--json")
        let placed = try await PagewalkProgram.run("dump", raw, "--json")
        #expect(placed.status == 0)
        #expect(placed.output == core.output)
        #expect(try await PagewalkProgram.run("info", raw).output.contains("raw"))
    }

    @Test(arguments: CompressedForm.allCases)
    func `of a compressed image as of the image itself`(form: CompressedForm) async throws {
        let packed = try folder.write(form.pack(SmallMachine.x86().elfCore()), to: "packed").path
        let arguments = ["--register", "CR3=0x1000", "--json"]
        let core = try await PagewalkProgram.run(["dump", image] + arguments)
        let opened = try await PagewalkProgram.run(["dump", packed] + arguments)
        #expect(opened.output == core.output)
        #expect(opened.status == 0)
        #expect(try await PagewalkProgram.run("info", packed).output.contains("core, \(form.rawValue)"))
    }
}
