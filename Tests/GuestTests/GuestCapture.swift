import Foundation
import MemoryImages
import PageTableWalk
import PageTables

/// A folder with a capture of a real Linux machine and what others than this package say about it:
/// - `pagemap.txt`: what the processes read from `/proc/self/pagemap` and `smaps`;
/// - `gva2gpa.txt`, `info-tlb-cpuN.txt`, `info-mem-cpuN.txt`: what the monitor of the emulator answered;
/// - the content of the pages that the processes tagged.
struct GuestCapture: Sendable, CustomStringConvertible {
    let folder: URL
    var name: String { folder.lastPathComponent }
    var description: String { name }

    /// The names of the captures in the repository.
    static let names = [
        "arm64-16k", "arm64-4k", "armhf-lpae", "armhf-short", "i386", "i386-pae", "mips64el", "ppc64le-hash",
        "ppc64le-radix", "ppc64le-radix4k", "riscv64-sv39", "riscv64-sv48", "riscv64-sv57", "s390x", "s390x-large",
        "uml", "x86_64-4level", "x86_64-5level",
    ]

    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures")

    static let all = names.map { GuestCapture(folder: fixtures.appendingPathComponent($0)) }

    /// Opens one form of the capture, with the description that lies in the folder.
    func open(_ image: String) throws -> InspectedImage {
        try InspectedImage(
            path: folder.appendingPathComponent(image).path,
            descriptionPath: folder.appendingPathComponent("description.json").path)
    }

    func has(_ file: String) -> Bool {
        FileManager.default.fileExists(atPath: folder.appendingPathComponent(file).path)
    }

    /// The lines of a text, which may be compressed.
    func lines(_ file: String) throws -> [Substring] {
        let path = folder.appendingPathComponent(has(file) ? file : file + ".zst").path
        let text = String(decoding: try MappedFile.decompressedBytes(path: path), as: UTF8.self)
        return text.split(whereSeparator: \.isNewline)
    }

    func process() throws -> PagemapReport { try PagemapReport(lines("pagemap.txt")) }
}

/// What the processes of a guest said about themselves.
struct PagemapReport {
    struct Process {
        let pid: Int
        let name: String
        let cpu: Int
        let parent: Int
        let pageBytes: UInt64
        var regions: [Region] = []
        var runs: [Run] = []
    }

    /// A region of memory with its rights, from `smaps`.
    struct Region {
        let range: VirtualRange
        let rights: String
        /// Linux's pagemap leaves out regions of bare frames.
        let isFrameMap: Bool
    }

    /// Pages whose frames follow one another.
    struct Run {
        let first: UInt64
        let pages: UInt64
        let frame: UInt64
        let isPresent: Bool
    }

    var processes: [Process] = []

    init(_ lines: [Substring]) throws {
        func number(_ text: Substring, _ radix: Int = 16) -> UInt64 { UInt64(text, radix: radix) ?? 0 }
        for line in lines {
            let words = line.split(separator: " ")
            switch words.first {
            case "T":
                var values: [Substring: Substring] = [:]
                for word in words.dropFirst(3) {
                    let parts = word.split(separator: "=", maxSplits: 1)
                    if parts.count == 2 { values[parts[0]] = parts[1] }
                }
                processes.append(
                    Process(
                        pid: Int(words[1]) ?? 0, name: String(words[2]), cpu: Int(values["cpu"] ?? "0") ?? 0,
                        parent: Int(values["ppid"] ?? "0") ?? 0, pageBytes: number(values["ps"] ?? "1000")))
            case "V":
                let range = VirtualRange(
                    first: VirtualAddress(number(words[2])), last: VirtualAddress(number(words[3]) - 1))
                let flags = words.first { $0.hasPrefix("vf=") }?.dropFirst(3).split(separator: ",") ?? []
                update(words[1]) {
                    $0.regions.append(
                        Region(range: range, rights: String(words[4]), isFrameMap: flags.contains("pf")))
                }
            case "P":
                let run = Run(
                    first: number(words[2]), pages: number(words[3]), frame: number(words[4]),
                    isPresent: number(words[5]) & 0x100 != 0)
                update(words[1]) { $0.runs.append(run) }
            default: break
            }
        }
    }

    private mutating func update(_ pid: Substring, _ change: (inout Process) -> Void) {
        guard let index = processes.firstIndex(where: { "\($0.pid)" == pid }) else { return }
        change(&processes[index])
    }
}
