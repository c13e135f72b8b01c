import MemoryImages
import Testing

/// Captures of real Linux machines, in their compact form: the tables, and the first bytes of the processes' pages.
@Suite("A capture of a real machine")
struct CompactCaptureTests {
    static let image = "pagetables.elf.zst"

    /// What an independent decoder counted: pages whose frame is right, and those of them that only Linux sees.
    static let pages: [String: (hardware: Int, linux: Int)] = [
        "x86_64-4level": (14930, 12), "x86_64-5level": (14965, 12), "s390x": (7380, 2164), "s390x-large": (11483, 3191),
        "arm64-4k": (14855, 12), "arm64-16k": (14409, 12), "ppc64le-radix": (1362, 0), "ppc64le-radix4k": (14993, 0),
        "ppc64le-hash": (870, 0), "riscv64-sv57": (14728, 12), "riscv64-sv48": (14748, 12), "riscv64-sv39": (14673, 12),
        "i386-pae": (14860, 12), "i386": (22545, 12), "armhf-lpae": (14595, 12), "armhf-short": (4794, 2149),
        "mips64el": (8089, 5239), "uml": (7208, 12),
    ]

    @Test("maps just the pages that Linux's pagemap lists", arguments: GuestCapture.all)
    func pagemap(_ capture: GuestCapture) throws {
        let verdict = try GuestOracles(capture, image: Self.image).pagemap()
        #expect(verdict.disagreements == [])
        #expect(verdict.agreed == Self.pages[capture.name]?.hardware)
        #expect(verdict.agreedForLinuxOnly == Self.pages[capture.name]?.linux)
    }

    @Test("has the right content behind every tagged page", arguments: GuestCapture.all)
    func tags(_ capture: GuestCapture) throws {
        let verdict = try GuestOracles(capture, image: Self.image).tags()
        #expect(verdict.disagreements == [])
        #expect(verdict.agreed > 300)
    }

    @Test("translates as the emulator's monitor does", arguments: GuestCapture.all.filter { $0.has("gva2gpa.txt") })
    func monitorTranslations(_ capture: GuestCapture) throws {
        let verdict = try GuestOracles(capture, image: Self.image).monitorTranslations()
        #expect(verdict.disagreements == [])
        // Of the mips machine the monitor sees what is in its TLB.
        #expect(verdict.agreed >= (capture.name == "mips64el" ? 3 : 600))
    }

    @Test("has every entry of the monitor's `info tlb`, and no other", arguments: GuestCapture.x86)
    func monitorEntries(_ capture: GuestCapture) throws {
        let oracles = try GuestOracles(capture, image: Self.image)
        for cpu in 0..<4 {
            let verdict = try oracles.monitorEntries(cpu: cpu)
            #expect(verdict.disagreements == [])
            #expect(verdict.agreed > 4000)
        }
    }

    @Test("has every page of the monitor's `info mem`, and no other", arguments: GuestCapture.riscv)
    func monitorRanges(_ capture: GuestCapture) throws {
        let oracles = try GuestOracles(capture, image: Self.image)
        for cpu in 0..<4 {
            let verdict = try oracles.monitorRanges(cpu: cpu)
            #expect(verdict.disagreements == [])
            #expect(verdict.agreed > 4000)
        }
    }

    /// With five levels the monitor's list does not end within minutes: there is none.
    @Test(
        "grants the rights of the monitor's `info mem`",
        arguments: GuestCapture.x86.filter { $0.name != "x86_64-5level" })
    func monitorRights(_ capture: GuestCapture) throws {
        let oracles = try GuestOracles(capture, image: Self.image)
        for cpu in 0..<4 {
            let verdict = try oracles.monitorRights(cpu: cpu)
            #expect(verdict.disagreements == [])
            #expect(verdict.agreed > 4000)
        }
    }
}

extension GuestCapture {
    var isX86: Bool { name.hasPrefix("x86_64") || name.hasPrefix("i386") }
    static let x86 = all.filter(\.isX86)
    static let riscv = all.filter { $0.name.hasPrefix("riscv64") }
}
