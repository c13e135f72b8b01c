import Foundation
import MemoryImages
import Testing

/// One form of one capture in a folder that the environment names: the whole memory, in every container it was saved in.
struct CaptureForm: Sendable, CustomTestStringConvertible {
    let capture: GuestCapture
    let image: String
    var testDescription: String { "\(capture.name)/\(image)" }

    private static let images = [
        "pagetables.elf", "pagetables.elf.zst", "vmcore.elf", "vmcore.elf.zst", "vmcore.kdump", "vmcore.diskdump",
        "ram.raw", "ram.raw.zst",
    ]

    /// All forms below `PAGEWALK_GUESTS` (`make check-guests DIR=…`); none without it.
    static let all: [CaptureForm] = {
        guard let folder = ProcessInfo.processInfo.environment["PAGEWALK_GUESTS"] else { return [] }
        let base = URL(fileURLWithPath: folder)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: base.path)) ?? []
        return names.sorted().flatMap { name in
            let capture = GuestCapture(folder: base.appendingPathComponent(name))
            return images.filter { capture.has("pagemap.txt") && capture.has($0) }
                .map { CaptureForm(capture: capture, image: $0) }
        }
    }()
}

/// Full captures are too large for the repository. One at a time: each may take a gigabyte of temporary space.
@Suite("FullCaptureTests", .serialized)
struct FullCaptureTests {
    @Test("agrees with every oracle, whatever its container", arguments: CaptureForm.all)
    func oracles(_ form: CaptureForm) throws {
        let oracles = try GuestOracles(form.capture, image: form.image)
        let pagemap = oracles.pagemap()
        #expect(pagemap.disagreements == [])
        if let pages = CompactCaptureTests.pages[form.capture.name] {
            #expect(pagemap.agreed == pages.hardware)
            #expect(pagemap.agreedForLinuxOnly == pages.linux)
        }
        let tags = oracles.tags()
        #expect(tags.disagreements == [])
        #expect(tags.agreed > 300)
        let translations = try oracles.monitorTranslations()
        #expect(translations.disagreements == [])
        for cpu in 0..<8 {
            if form.capture.has("info-tlb-cpu\(cpu).txt.zst"), form.capture.isX86 {
                #expect(try oracles.monitorEntries(cpu: cpu).disagreements == [])
            }
            if form.capture.has("info-mem-cpu\(cpu).txt.zst") {
                let verdict =
                    form.capture.isX86 ? try oracles.monitorRights(cpu: cpu) : try oracles.monitorRanges(cpu: cpu)
                #expect(verdict.disagreements == [])
            }
        }
        print(
            "\(form.testDescription): \(pagemap.agreed) pages and \(pagemap.agreedForLinuxOnly) of Linux only, "
                + "\(tags.agreed) tags, \(translations.agreed) translations")
    }
}
