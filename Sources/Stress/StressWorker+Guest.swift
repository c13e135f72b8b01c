import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// What runs in a guest: it finds the pages of its parent, whatever happens to them meanwhile, and none that was given up.

extension StressWorker {
    func useGuest() {
        guard let guest = shared.guest else { return }
        for _ in 0..<3 {
            let page = likelyPage()
            guard let address = guest.address(of: page) else { continue }
            let wanted = anyAccess()
            if access(address, of: page, wanted, guest) { continue }
            memory.withReadLock(space.words.lock) { lock in
                fault(address + random.below(shared.pageBytes), of: page, wanted, guest, lock)
            }
            _ = access(address, of: page, wanted, guest)
        }
    }

    /// - Returns: Whether the guest has the page.
    func access(
        _ address: UInt64, of page: UInt64, _ access: PageAccess, _ guest: StressGuest<Format>
    ) -> Bool {
        let epoch = shared.fileEpoch(at: page)
        let found: Void? = guest.space.access(VirtualAddress(address), for: access, in: memory) { physical in
            counts.guestAccesses += 1
            inspectKept(physical, at: page, access, epoch)
        }
        return found != nil
    }

    func fault(
        _ address: UInt64, of page: UInt64, _ access: PageAccess, _ guest: StressGuest<Format>,
        _ lock: borrowing ReadLockHeld<Memory>
    ) {
        let result: Refusal?
        do throws(SpaceError<Never>) {
            try guest.space.fault(VirtualAddress(address), for: access, lock: lock)
            result = nil
        } catch {
            switch error {
            case .refused(let refusal): result = refusal
            }
        }
        note(result)
        // Its own tables need memory, whatever the page is.
        if result != .outOfMemory { judgeFault(page + (address & (shared.pageBytes - 1)), access, result, lock) }
    }
}
