import Foundation
import Testing

@Suite("pagewalk translate")
struct TranslateTests {
    private let folder: ScratchFolder
    private let machine: [String]

    init() throws {
        folder = try ScratchFolder()
        machine = [
            "translate", try folder.write(SmallMachine.x86().elfCore(), to: "image").path, "--register", "CR3=0x1000",
            "--json",
        ]
    }

    private func translate(_ arguments: String..., input: String = "") async throws -> [[String: JSONValue]] {
        let outcome = try await PagewalkProgram.run(machine + arguments, input: input)
        #expect(outcome.errors == "")
        #expect(outcome.status == 0)
        return try outcome.objects()
    }

    @Test func `a mapped address has its place with the offset, and its rights`() async throws {
        let answer = try #require(try await translate("0x234567").first)
        #expect(
            answer == [
                "virtual": .text("0x234567"), "mapped": .flag(true), "physical": .text("0x434567"),
                "pageBytes": .number(Double(2 << 20)), "level": .number(1), "read": .flag(true), "write": .flag(true),
                "execute": .flag(true), "user": .flag(true),
            ])
        let kernel = try #require(try await translate("ffff800000000008").first)
        #expect(kernel["user"] == .flag(false))
        #expect(kernel["write"] == .flag(false))
        #expect(kernel["execute"] == .flag(false))
    }

    @Test(arguments: [
        ("0x1000", "notPresent"), ("0x2000", "notHardwareValid"), ("0x400000", "absentFromImage"),
        ("0x40000000", "malformed"), ("0x800000000000", "outOfRange"),
    ])
    func `an address that is not mapped has its reason`(address: String, reason: String) async throws {
        let answer = try await translate(address)
        #expect(answer == [["virtual": .text(address), "mapped": .flag(false), "reason": .text(reason)]])
    }

    @Test func `Linux has pages that the MMU does not see`() async throws {
        let answer = try #require(try await translate("--view", "linux", "0x2010").first)
        #expect(answer["mapped"] == .flag(true))
        #expect(answer["physical"] == .text("0x7010"))
    }

    @Test func `steps are the entries from the top`() async throws {
        func entry(_ table: String, _ index: Double, _ value: String, _ level: Double) -> JSONValue {
            .object(["table": .text(table), "index": .number(index), "value": .text(value), "level": .number(level)])
        }
        let answers = try await translate("--steps", "0x10", "0x40000000", "0x800000000000")
        #expect(
            answers.map { $0["entries"] } == [
                .list([
                    entry("0x1000", 0, "0x2067", 3), entry("0x2000", 0, "0x3067", 2), entry("0x3000", 0, "0x4067", 1),
                    entry("0x4000", 0, "0x8000000000005067", 0),
                ]),
                .list([entry("0x1000", 0, "0x2067", 3), entry("0x2000", 1, "0x400020e7", 2)]),
                .list([]),
            ])
        let text = try await PagewalkProgram.run(machine.dropLast() + ["--steps", "0x10"])
        #expect(
            text.lines == [
                "  level 3  table 0x1000  index 0  entry 0x2067", "  level 2  table 0x2000  index 0  entry 0x3067",
                "  level 1  table 0x3000  index 0  entry 0x4067",
                "  level 0  table 0x4000  index 0  entry 0x8000000000005067", "0x10 -> 0x5010  4 KiB  user rw-",
            ])
    }

    @Test func `there is one answer per address, in the order asked`() async throws {
        let addresses = ["0x200000", "0x0", "0x200000", "0x1000", "0xffff800000000000"]
        let given = try await PagewalkProgram.run(machine + addresses)
        #expect(try given.objects().map { $0["virtual"]?.text } == addresses)
        let read = try await translate(input: addresses.joined(separator: "\n") + "\n")
        #expect(try read == given.objects())
    }

    @Test func `addresses from standard input may lack the last newline and have blank lines`() async throws {
        let read = try await translate(input: "  0x10\r\n\n200000")
        #expect(read.map { $0["virtual"]?.text } == ["0x10", "0x200000"])
        #expect(try await translate(input: "").isEmpty)
    }

    @Test func `a malformed address from standard input ends the answers with its line's number`() async throws {
        let outcome = try await PagewalkProgram.run(machine, input: "0x10\n\nnowhere\n0x20\n")
        #expect(outcome.status == 2)
        #expect(try outcome.objects().map { $0["virtual"]?.text } == ["0x10"])
        #expect(outcome.errorLines.count == 1)
        #expect(outcome.errors.contains("standard input, line 3: 'nowhere'"))
    }

    @Test func `ten thousand addresses have ten thousand answers`() async throws {
        let input = (0..<10_000).map { String($0 * 0x321, radix: 16) }.joined(separator: "\n")
        #expect(try await translate(input: input).count == 10_000)
    }

    @Test func `old pages of a child are present to Linux and invalid to hardware`() async throws {
        let arguments = [RepositoryImage.sample, "--root", "A.child", "--json"]
        let hardware = try await PagewalkProgram.run(["dump"] + arguments).objects().compactMap { $0["start"]?.text }
        let linux = try await PagewalkProgram.run(["dump", "--view", "linux"] + arguments).objects()
        let old = try #require(linux.first { !hardware.contains($0["start"]?.text ?? "") })
        let address = try #require(old["start"]?.text)
        let seen = try await PagewalkProgram.run(["translate"] + arguments + [address]).objects()
        #expect(seen.first?["reason"]?.text == "notHardwareValid")
        let meant = try await PagewalkProgram.run(["translate", "--view", "linux"] + arguments + [address]).objects()
        #expect(meant.first?["physical"] == old["physical"])
    }
}
