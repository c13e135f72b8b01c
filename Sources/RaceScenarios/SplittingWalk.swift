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
private struct SplittingVisitor: PageWalkVisitor {
    typealias Format = MiniatureFormat

    let split: (Entry, EntryPosition, VirtualAddress) throws(Abandoned) -> Bool
    let pageBytes: UInt64
    var pages = SplitPages()
    /// What ended the walk: a callback cannot throw.
    var failure: Abandoned?

    mutating func leaf(
        _ entry: Entry, _ format: MiniatureFormat, at index: Int, in visit: borrowing TableVisit,
        first: VirtualAddress, last: VirtualAddress
    ) -> WalkAction {
        if visit.level == .leafTable {
            pages.small += 1
            return .proceed
        }
        do throws(Abandoned) { _ = try split(entry, visit.position(index), first) } catch {
            failure = error
            return .stop
        }
        return .split
    }

    mutating func hole(first: VirtualAddress, last: VirtualAddress, in visit: borrowing TableVisit) -> WalkAction {
        pages.missing += Int((last.rawValue - first.rawValue + 1) / pageBytes)
        return .proceed
    }
}

extension SpaceMachine {
    /// Walks pages with the lock held for reading, and splits.
    func walkSplitting(_ first: Int, _ last: Int, on processor: Int) throws(Abandoned) -> SplitPages {
        try memory(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            let view = try space.view(in: lock)
            return try lending({ (leaf, position, address) throws(Abandoned) in
                try space.split(leaf, at: position, of: address, lock: lock)
            }) { (split) throws(Abandoned) in
                var visitor = SplittingVisitor(split: split, pageBytes: pageBytes)
                try view.walk(pages(first, last), in: lock, visitor: &visitor)
                if let failure = visitor.failure { throw failure }
                return visitor.pages
            }
        }
    }

    /// A visitor is copyable and cannot hold the lock itself, which `split` needs: it is lent what splits.
    private func lending(
        _ split: (Entry, EntryPosition, VirtualAddress) throws(Abandoned) -> Bool,
        to body: (@escaping (Entry, EntryPosition, VirtualAddress) throws(Abandoned) -> Bool) throws(Abandoned) ->
            SplitPages
    ) throws(Abandoned) -> SplitPages {
        try withoutActuallyEscaping(split, do: body)
    }
}
