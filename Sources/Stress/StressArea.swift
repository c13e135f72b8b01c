import PageTables
import VirtualMemory

/// A window of virtual addresses that threads fight for.
struct StressArea: Sendable {
    let first: UInt64
    let pageCount: UInt64
    /// The number of its first page among the pages of all areas; `nil` if it is too wide for frames.
    let firstPage: UInt64?
    /// Where a device is at the first address: an address has one device, whoever maps it and however often.
    let device: UInt64

    /// Above all frames.
    static var deviceBase: UInt64 { 1 << 45 }
}

/// The areas of a format: side by side, across the borders of tables, at the ends of what spaces of each depth translate.
struct StressAreas<Format: StressFormat>: Sendable {
    let format: Format
    /// In the order of addresses, so that a space that can grow does.
    let all: [StressArea]
    /// log2 of the frames of a leaf one level above pages.
    let largeOrder: Int

    init(_ format: Format) {
        self.format = format
        let log2Page = UInt64(format.log2FrameBytes)
        largeOrder = Int(format.shift(Level(1)) - log2Page)
        let large: UInt64 = 1 << format.shift(Level(1))
        let huge: UInt64 = 1 << format.shift(Level(2))
        let (bytes, half) = (4 * large, 2 * large)
        let top = format.topLevels.upperBound
        let bits = format.shift(top) + format.indexBits(top)
        var starts: [UInt64] = [8 * large, 8 * large + bytes, huge - half, 0 &- bytes]
        for level in 3...4 { starts.append(1 << format.shift(Level(level)) &- half) }
        if bits < 64 {
            starts.append(1 << bits &- bytes)
            starts.append(1 << (bits - 1) &- bytes)
        }
        let wide: UInt64 = 1 << 38
        var areas: [StressArea] = []
        var nextPage: UInt64 = 0
        for (number, start) in Set(starts + [wide]).sorted().enumerated() {
            let isWide = start == wide
            let count = (isWide ? 4 * huge : bytes) >> log2Page
            let last = VirtualAddress(start &+ (count << log2Page - 1))
            guard last.rawValue > start,
                format.covers(VirtualRange(first: VirtualAddress(start), last: last), topLevel: top)
            else { continue }
            let device = StressArea.deviceBase + UInt64(number) << 40 + start & (huge - 1)
            areas.append(
                StressArea(first: start, pageCount: count, firstPage: isWide ? nil : nextPage, device: device))
            if !isWide { nextPage += count }
        }
        precondition(nextPage <= PageTags<Format>.pageLimit, "tags cannot name all pages")
        all = areas
    }

    func area(_ address: UInt64) -> StressArea? {
        all.first { address >= $0.first && address - $0.first < $0.pageCount << UInt64(format.log2FrameBytes) }
    }

    /// The device at an address.
    func device(_ address: UInt64) -> UInt64? { area(address).map { $0.device + (address - $0.first) } }

    /// The number of the page of an address among those that can have frames.
    func page(_ address: UInt64) -> UInt64? {
        guard let area = area(address), let first = area.firstPage else { return nil }
        return first + (address - area.first) >> UInt64(format.log2FrameBytes)
    }
}
