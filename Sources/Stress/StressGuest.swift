import HostMemory
import PageTables
import TableMemory
import VirtualMemory

/// A guest of a round, and at which of its addresses it sees the areas of its parent.
struct StressGuest<Format: StressFormat>: Sendable {
    /// An area of the parent's, all of it.
    struct Window: Sendable {
        let first: UInt64
        let area: StressArea
    }

    let space: GuestSpace<Format, SoundStructure>
    let windows: [Window]

    /// Makes a guest that sees all areas which the least depth has room for.
    init(
        of areas: StressAreas<Format>, over parent: Space<Format>, _ words: MirrorWords, in memory: HostMemory
    ) {
        let format = areas.format
        space = insisting { () throws(SpaceError<Never>) in
            try GuestSpace.make(over: parent, words: GuestWords(words), in: memory)
        }
        windows = Self.windows(areas).filter { format.covers(range($0), topLevel: format.topLevels.lowerBound) }
        for window in windows {
            let range = range(window)
            let first = VirtualAddress(window.area.first)
            insisting { [space] () throws(SpaceError<Never>) in
                try space.show(range, from: first, in: memory)
            }
        }

        func range(_ window: Window) -> VirtualRange {
            let bytes = window.area.pageCount << UInt64(format.log2FrameBytes)
            return VirtualRange(first: VirtualAddress(window.first), last: VirtualAddress(window.first + (bytes - 1)))
        }
    }

    /// One behind the other; leaf tables of the guest have pages of several of the parent's, and the other way round.
    private static func windows(_ areas: StressAreas<Format>) -> [Window] {
        let log2Page = UInt64(areas.format.log2FrameBytes)
        let gap: UInt64 = 1 << areas.format.shift(Level(1)) + 3 << log2Page
        var next = gap
        return areas.all.filter { $0.content != .devices }.map { area in
            defer { next += area.pageCount << log2Page + gap }
            return Window(first: next, area: area)
        }
    }

    /// Where the guest sees an address of its parent's; `nil` if it does not.
    func address(of parent: UInt64) -> UInt64? {
        let window = windows.first { parent >= $0.area.first && parent - $0.area.first < bytes(of: $0) }
        return window.map { $0.first + (parent - $0.area.first) }
    }

    /// Where in the parent's an address of the guest is.
    func parent(of address: UInt64) -> UInt64? {
        let window = windows.first { address >= $0.first && address - $0.first < bytes(of: $0) }
        return window.map { $0.area.first + (address - $0.first) }
    }

    private func bytes(of window: Window) -> UInt64 {
        window.area.pageCount << UInt64(space.parent.format.log2FrameBytes)
    }
}
