import Foundation
import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

/// Demands of every leaf that it maps frames or the device of its address.
struct LeafVisitor<Format: StressFormat>: PageWalkVisitor {
    let shared: StressSpace<Format>
    /// The first thing that is wrong.
    private(set) var wrong: String?
    /// How many leaf tables it enters before it lets another thread run, with the table not yet read; `nil` for never.
    private var tablesBeforePause: Int?

    init(_ shared: StressSpace<Format>, pausingIn table: Int? = nil) {
        self.shared = shared
        tablesBeforePause = table
    }

    mutating func enter(_ visit: TableVisit) -> WalkAction {
        guard visit.level == .leafTable, let left = tablesBeforePause else { return .proceed }
        if left == 0 { sched_yield() }
        tablesBeforePause = left > 0 ? left - 1 : nil
        return .proceed
    }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        let physical = format.physical(of: entry, at: visit.level, for: first)
        let bytes = last.rawValue &- first.rawValue &+ 1
        guard let wrong = shared.wrong(physical, at: first.rawValue, size: bytes) else { return .proceed }
        self.wrong = wrong
        return .stop
    }

    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction {
        wrong = "\(first): \(entry) at level \(visit.level) is malformed"
        return .stop
    }
}

/// Asks for some of the large leaves that it finds to be split.
struct SplittingVisitor<Format: StressFormat>: PageWalkVisitor {
    var leaves: LeafVisitor<Format>
    var random: SplitMix64

    init(_ shared: StressSpace<Format>, _ random: SplitMix64) {
        leaves = LeafVisitor(shared)
        self.random = random
    }

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress,
        last: VirtualAddress
    ) -> WalkAction {
        if visit.level > .leafTable, random.once(in: 2) { return .split }
        return leaves.leaf(entry, format, at: index, in: visit, first: first, last: last)
    }

    mutating func malformed(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit, first: VirtualAddress
    ) -> WalkAction { leaves.malformed(entry, format, at: index, in: visit, first: first) }
}
