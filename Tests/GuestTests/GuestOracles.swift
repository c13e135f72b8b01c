import Foundation
import MemoryImages
import PageTableWalk
import PageTables

/// What a comparison with an oracle came to.
struct Verdict: Equatable {
    var agreed = 0
    /// Present to Linux, invalid to hardware, with the right frame.
    var agreedForLinuxOnly = 0
    /// The first few disagreements, in words.
    var disagreements: [String] = []
    var disagreementCount = 0

    mutating func disagree(_ text: @autoclosure () -> String) {
        disagreementCount += 1
        if disagreements.count < 5 { disagreements.append(text()) }
    }
}

/// Compares everything that can be asked of a capture with everything that others said about it.
struct GuestOracles {
    let capture: GuestCapture
    let inspected: InspectedImage
    let report: PagemapReport

    init(_ capture: GuestCapture, image: String) throws {
        self.capture = capture
        inspected = try capture.open(image)
        report = try capture.process()
    }

    private var contents: MemoryImage.Contents { inspected.image.contents }

    func root(of process: PagemapReport.Process) -> Root? {
        inspected.roots.first { $0.process == process.pid }
    }

    func root(ofCPU cpu: Int) -> Root? {
        if let process = report.processes.first(where: { $0.cpu == cpu }) { return root(of: process) }
        return inspected.roots.first { $0.name == "cpu\(cpu)" }
    }

    /// Every page of every process, against Linux's own pagemap, in both directions.
    func pagemap() -> Verdict {
        var verdict = Verdict()
        for process in report.processes {
            guard let root = root(of: process) else {
                verdict.disagree("no root for process \(process.pid)")
                continue
            }
            var listed: Set<UInt64> = []
            for run in process.runs where run.isPresent {
                for page in 0..<run.pages {
                    let address = VirtualAddress(run.first + page * process.pageBytes)
                    let expected = (run.frame + page) * process.pageBytes
                    listed.insert(address.rawValue)
                    let meant = root.space.translate(address, view: .linux, in: contents)
                    guard meant.page?.physical.rawValue == expected else {
                        verdict.disagree("\(process.name) \(address): \(meant), pagemap says \(hexadecimal(expected))")
                        continue
                    }
                    let done = root.space.translate(address, view: .hardware, in: contents)
                    if done.page?.physical.rawValue == expected {
                        verdict.agreed += 1
                    } else if done.reason == .notHardwareValid {
                        verdict.agreedForLinuxOnly += 1
                    } else {
                        verdict.disagree("\(process.name) \(address): hardware \(done)")
                    }
                }
            }
            backwards(process, root, listed, &verdict)
        }
        return verdict
    }

    /// What the tables map and no oracle lists; and no page may be usable in a way that its region forbids.
    private func backwards(
        _ process: PagemapReport.Process, _ root: Root, _ listed: Set<UInt64>, _ verdict: inout Verdict
    ) {
        guard let user = root.space.userHalf else { return }
        let survey = root.space.survey(user, view: .linux, in: contents)
        for range in survey.ranges {
            var address = range.first.rawValue
            while address <= range.last.rawValue {
                let region = process.regions.first { $0.range.contains(VirtualAddress(address)) }
                if !listed.contains(address), region?.isFrameMap != true, !isKernels(address, range) {
                    verdict.disagree("\(process.name) \(hexadecimal(address)) is mapped, and pagemap does not list it")
                }
                if let region, range.attributes.rights.isUser {
                    let rights = range.attributes.rights
                    let writes = rights.canWrite && !region.rights.contains("w")
                    let executes = hasNoExecute && rights.canExecute && !region.rights.contains("x")
                    if writes || executes {
                        verdict.disagree("\(process.name) \(hexadecimal(address)): more rights than \(region.rights)")
                    }
                }
                address += process.pageBytes
            }
        }
    }

    /// The processor of the mips machine cannot forbid execution, user-mode Linux has no bit for it, and on i386 old programs
    /// may execute what they can read.
    private var hasNoExecute: Bool { ![.mips64, .i386, .um].contains(inspected.architecture) }

    /// Machines of one tree keep kernel pages in it below what other machines call the kernel half.
    private func isKernels(_ address: UInt64, _ range: MappedRange) -> Bool {
        switch inspected.architecture {
        case .arm, .i386: !range.attributes.rights.isUser || address >= 0xbf00_0000
        default: false
        }
    }

    /// The first bytes of every page that a process tagged.
    func tags() -> Verdict {
        var verdict = Verdict()
        let tagger = PageTag(order: guestOrder)
        for process in report.processes {
            guard let root = root(of: process) else { continue }
            for run in process.runs where run.isPresent {
                for page in 0..<run.pages {
                    let address = VirtualAddress(run.first + page * process.pageBytes)
                    guard let place = root.space.translate(address, view: .linux, in: contents).page?.physical
                    else { continue }
                    guard let tag = tagger.read(inspected.image.bytes(at: place, count: 32)) else { continue }
                    let owners = [process.pid, process.parent]
                    if !tag.isConsistent {
                        verdict.disagree("\(process.name) \(address): damaged tag")
                    } else if owners.contains(tag.pid), tag.address == address.rawValue {
                        verdict.agreed += 1
                    } else if !isShared(address, process) {
                        verdict.disagree(
                            "\(process.name) \(address): the page of \(tag.pid) at \(hexadecimal(tag.address))")
                    }
                }
            }
        }
        return verdict
    }

    /// Regions that several processes share, or one maps twice, have the tags of whoever wrote them first.
    private func isShared(_ address: VirtualAddress, _ process: PagemapReport.Process) -> Bool {
        process.regions.contains { $0.range.contains(address) && $0.rights.hasSuffix("s") }
    }

    private var guestOrder: ByteOrder { inspected.architecture == .s390x ? .big : .little }

    /// The monitor's answers to "which physical address?".
    func monitorTranslations() throws -> Verdict {
        var verdict = Verdict()
        guard capture.has("gva2gpa.txt") else { return verdict }
        for line in try capture.lines("gva2gpa.txt") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            guard words.count == 3, let cpu = Int(words[0]), let address = UInt64(hexadecimal: words[1]) else {
                continue
            }
            // Where software walks the tables no register names a root, and the monitor looks into a cache of the tables of
            // whichever process ran: what it knows must be true of one of them.
            guard let root = root(ofCPU: cpu) else {
                // The kernel of the hash machine maps its memory by the hash table alone.
                if words[2] == "-" || address >> 60 == 0xc { continue }
                let found = report.processes.compactMap(root(of:)).map {
                    $0.space.translate(VirtualAddress(address), view: .hardware, in: contents).page?.physical.rawValue
                }
                if found.contains(UInt64(hexadecimal: words[2])) {
                    verdict.agreed += 1
                } else {
                    verdict.disagree("\(words[1]): the monitor says \(words[2])")
                }
                continue
            }
            var answer = root.space.translate(VirtualAddress(address), view: .hardware, in: contents)
            if answer.reason == .outOfRange, let kernel = inspected.roots.first(where: { $0.name == "kernel" }) {
                // The root of a process has the lower half only.
                answer = kernel.space.translate(VirtualAddress(address), view: .hardware, in: contents)
            }
            let found = answer.page.map { absolute($0.physical.rawValue, cpu: cpu) }
            if words[2] == "-" {
                if let page = answer.page, !isSilent(about: page, cpu: cpu) {
                    verdict.disagree("cpu \(cpu) \(words[1]): \(answer), the monitor has none")
                } else {
                    verdict.agreed += 1
                }
            } else if found == UInt64(hexadecimal: words[2]) {
                verdict.agreed += 1
            } else {
                verdict.disagree("cpu \(cpu) \(words[1]): \(answer), the monitor says \(words[2])")
            }
        }
        return verdict
    }

    /// The monitor walks with the rights of the CPU as it was, in user mode but for CPU 0, and on two machines it looks
    /// into a cache of the tables only.
    private func isSilent(about page: ImageTranslation.Page, cpu: Int) -> Bool {
        switch inspected.architecture {
        case .arm64, .arm, .riscv64: cpu != 0 && !page.rights.contains(.userRead)
        case .ppc64:
            cpu != 0 && !page.rights.contains(.userRead)
                || inspected.roots.first?.space.paging == .ppc64LinuxHash64K
        case .mips64: true
        default: false
        }
    }

    /// On s390x the monitor answers with absolute addresses, for which the CPU's prefix swaps two areas of 8 KiB.
    private func absolute(_ real: UInt64, cpu: Int) -> UInt64 {
        guard inspected.architecture == .s390x,
            let prefix = inspected.image.cpus.first(where: { $0.cpu == cpu })?["PREFIX"]
        else { return real }
        if real < 0x2000 { return real + prefix }
        if real >= prefix && real < prefix + 0x2000 { return real - prefix }
        return real
    }
}

/// The 32 bytes at the start of a page that a process of a guest wrote.
struct PageTag {
    let order: ByteOrder

    struct Tag {
        let address: UInt64
        let pid: Int
        let isConsistent: Bool
    }

    func read(_ bytes: [UInt8]) -> Tag? {
        guard bytes.count == 32, bytes[24..<32].elementsEqual("PAGEWALK".utf8) else { return nil }
        func number(_ range: Range<Int>) -> UInt64 {
            let ordered = order == .big ? Array(bytes[range]) : bytes[range].reversed()
            return ordered.reduce(0) { $0 << 8 | UInt64($1) }
        }
        let (tag, address, pid) = (number(0..<8), number(8..<16), number(16..<20))
        let expected = address &* 0x9E37_79B9_7F4A_7C15 ^ pid &* 0xC2B2_AE3D_27D4_EB4F
        return Tag(address: address, pid: Int(pid), isConsistent: tag == expected)
    }
}
