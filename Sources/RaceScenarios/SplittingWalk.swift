import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

/// What a walk that splits large leaves has come by.
struct SplitPages: Equatable {
    var small = 0
    var missing = 0
}

/// A walk that wants small leaves, and splits the large ones that it comes by.
struct SplittingVisitor<Format: WritableFormat>: PageWalkVisitor {
    let pageBytes: UInt64
    var pages = SplitPages()

    mutating func leaf(
        _ entry: Entry, _ format: Format, at index: Int, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        if visit.level > .leafTable { return .split }
        pages.small += 1
        return .proceed
    }

    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction {
        pages.missing += Int((last.rawValue - first.rawValue + 1) / pageBytes)
        return .proceed
    }
}

extension SpaceMachine {
    /// Walks pages with the lock held for reading, and splits.
    func walkSplitting(_ first: Int, _ last: Int, on processor: Int) throws -> SplitPages {
        var visitor = SplittingVisitor<MiniatureFormat>(pageBytes: pageBytes)
        try memory(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            do throws(SpaceError<Abandoned>) {
                try space.walk(pages(first, last), lock: lock, visitor: &visitor)
            } catch {
                if case .memory(let abandoned) = error { throw abandoned }
                try machine.violate("a walk has no memory for a table")
            }
        }
        return visitor.pages
    }
}
