import PageTables
import VirtualMemory

/// Writes what is mapped of the regions of a live space: text as Linux's /proc/PID/smaps has it (v6.19, fs/proc/task_mmu.c), or
/// JSON Lines.
public struct RegionReport: Sendable {
    private let executes: Bool
    /// By level, what a leaf maps.
    private let leafBytes: [UInt64]

    public init<Format: WritableFormat>(of format: Format) {
        executes = Format.notions.execute
        leafBytes = (0...4).map { 1 << min(format.shift(Level($0)), 63) }
    }

    /// The lines of one region: what has no meaning here (swap, locks, merging of equal pages) is left out, and behind them is how
    /// much leaves of each size map. Memory of a device is mapped, and not resident.
    ///
    ///     00400000-00410000 rw-p 00000000 00:00 0
    ///     Size:                 64 kB
    ///     …
    ///     Leaves4kB:            12 kB
    public func appendText(_ region: RegionSummary, to buffer: inout ReportBuffer) {
        appendHeader(region.region, to: &buffer)
        let frames = region.summary.frames ?? FrameUse()
        let page = leafBytes[0]
        line("Size", size(of: region.region), to: &buffer)
        line("KernelPageSize", page, to: &buffer)
        line("MMUPageSize", page, to: &buffer)
        line("Rss", frames.residentBytes, to: &buffer)
        line("Pss", frames.share >> SpaceSummary.log2Share, to: &buffer)
        line("Pss_Dirty", frames.dirtyShare >> SpaceSummary.log2Share, to: &buffer)
        line("Shared_Clean", frames.sharedCleanBytes, to: &buffer)
        line("Shared_Dirty", frames.sharedDirtyBytes, to: &buffer)
        line("Private_Clean", frames.privateCleanBytes, to: &buffer)
        line("Private_Dirty", frames.privateDirtyBytes, to: &buffer)
        line("Referenced", frames.referencedBytes, to: &buffer)
        line("Anonymous", frames.anonymousBytes, to: &buffer)
        line("AnonHugePages", frames.largeAnonymousBytes, to: &buffer)
        for leaf in leaves(of: region.summary) { line("Leaves\(leaf.pageBytes >> 10)kB", leaf.bytes, to: &buffer) }
    }

    /// The line that Linux's /proc/PID/maps has as well: addresses, rights, the offset in the file and the file's number.
    private func appendHeader(_ region: Region, to buffer: inout ReportBuffer) {
        let rights = region.attributes.rights
        var (offset, number, isShared) = (UInt64(0), UInt64(0), false)
        if case .file(let view) = region.content {
            (offset, number, isShared) = (view.offset, view.file.number, view.sharing == .shared)
        }
        let last = region.range.last.rawValue
        buffer.append(text: padded(region.range.first.rawValue))
        buffer.append("-")
        buffer.append(text: last == .max ? "10000000000000000" : padded(last + 1))
        buffer.append(text: " \(rights.canRead ? "r" : "-")\(rights.canWrite ? "w" : "-")")
        buffer.append(
            text: "\(rights.canExecute ? "x" : "-")\(isShared ? "s" : "p") \(padded(offset)) 00:00 \(number) \n")
    }

    /// Hexadecimal digits, eight at least.
    private func padded(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(8 - digits.count, 0)) + digits
    }

    private func line(_ name: String, _ bytes: UInt64, to buffer: inout ReportBuffer) {
        buffer.append(text: name + ":", width: 16)
        buffer.append(text: "\(bytes >> 10)", width: 8, right: true)
        buffer.append(" kB\n")
    }

    /// As JSON: sizes in bytes, shares rounded down.
    public func appendJSON(_ region: RegionSummary, to buffer: inout ReportBuffer) {
        let frames = region.summary.frames ?? FrameUse()
        let rights = region.region.attributes.rights
        buffer.json { line in
            line.address("start", region.region.range.first.rawValue)
            line.end("end", after: region.region.range.last.rawValue)
            line.flag("read", rights.canRead)
            line.flag("write", rights.canWrite)
            if executes { line.flag("execute", rights.canExecute) }
            appendContent(region.region.content, to: &line)
            line.number("bytes", size(of: region.region))
            line.number("mappedBytes", region.summary.mappedBytes)
            line.number("residentBytes", frames.residentBytes)
            line.number("shareBytes", frames.share >> SpaceSummary.log2Share)
            line.number("dirtyShareBytes", frames.dirtyShare >> SpaceSummary.log2Share)
            line.number("sharedCleanBytes", frames.sharedCleanBytes)
            line.number("sharedDirtyBytes", frames.sharedDirtyBytes)
            line.number("privateCleanBytes", frames.privateCleanBytes)
            line.number("privateDirtyBytes", frames.privateDirtyBytes)
            line.number("referencedBytes", frames.referencedBytes)
            line.number("anonymousBytes", frames.anonymousBytes)
            line.number("fileBytes", frames.fileBytes)
            line.objects("leaves", leaves(of: region.summary)) { line, leaf in
                line.number("pageBytes", leaf.pageBytes)
                line.number("pages", leaf.bytes / leaf.pageBytes)
                line.number("bytes", leaf.bytes)
            }
        }
    }

    private func appendContent(_ content: Region.Content, to line: inout JSONLine) {
        switch content {
        case .anonymous: line.string("content", "anonymous")
        case .device(let start):
            line.string("content", "device")
            line.address("physical", start.rawValue)
        case .file(let view):
            line.string("content", view.file.kind == .file ? "file" : "sharedMemory")
            line.number("file", view.file.number)
            line.number("offset", view.offset)
            line.flag("shared", view.sharing == .shared)
        }
    }

    private func size(of region: Region) -> UInt64 { region.range.byteCount ?? .max }

    private func leaves(of summary: SpaceSummary) -> [(pageBytes: UInt64, bytes: UInt64)] {
        zip(leafBytes, summary.bytesByLevel).map { (pageBytes: $0, bytes: $1) }.filter { $0.bytes > 0 }
    }
}
