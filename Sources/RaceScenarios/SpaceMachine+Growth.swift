import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

extension SpaceMachine {
    /// Makes the space deep enough for a page, with the lock held for reading.
    ///
    /// - Returns: Why it is not; `nil` if it is.
    func grow(toCover page: Int, on processor: Int) throws -> Refusal? {
        try memory(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            do throws(SpaceError<Abandoned>) {
                try space.grow(toCover: pages(page), lock: lock)
                return nil
            } catch {
                switch error {
                case .memory(let failure): throw failure
                case .refused(let refusal): return refusal
                }
            }
        }
    }

    /// What is at a page of the space by a walk without a lock.
    func translate(_ page: Int, on processor: Int) throws -> Translation {
        try memory(processor).withInterruptsBlocked { (section) throws(Abandoned) in
            try space.view(in: section).translate(address(page), in: section)
        }
    }

    /// The page is mapped to the frame.
    func require(_ page: Int, isAt frame: Frame, on processor: Int) throws {
        switch try translate(page, on: processor) {
        case .mapped(let mapping):
            try require(
                mapping.physical == layout.map.address(of: frame), "page \(page) is translated to \(mapping.physical)")
        case .unmapped(let fault):
            try require(false, "page \(page) is mapped and not translated: \(fault.reason) at level \(fault.level)")
        }
    }
}
