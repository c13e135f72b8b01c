import ExploredMemory
import Interleaving
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// What scenarios about tables do: memory of a device is mapped, so that nothing is in the way but tables.

extension SpaceMachine {
    /// Physical memory that is no frame, and is never to be looked at: whoever takes it for a table touches no living object.
    var device: PhysicalAddress { PhysicalAddress(1 << 32) }

    /// The page that a mapping or a region of pages `0...` has at a page.
    func devicePage(_ page: Int) -> PhysicalAddress { PhysicalAddress(device.rawValue + address(page).rawValue) }

    var smallLeaf: PageSize { PageSize(log2Bytes: Int(format.log2FrameBytes)) }
    var anyLeaf: PageSize { PageSize(log2Bytes: 63) }

    /// Maps pages of the device, with leaf tables.
    func mapDevice(_ first: Int, _ last: Int, largestLeaf: PageSize? = nil, on processor: Int = 0) throws {
        try space.map(
            pages(first, last), to: devicePage(first), writable, largestLeaf: largestLeaf ?? smallLeaf,
            in: memory(processor))
    }

    /// As `mapDevice`, where it is all right if no frame is free because somebody else holds the last one.
    func mapDeviceIfPossible(_ first: Int, _ last: Int, on processor: Int = 0) throws {
        do { try mapDevice(first, last, on: processor) } catch let error as SpaceError<Abandoned> {
            guard case .refused(.outOfMemory) = error else { throw error }
        }
    }

    func unmap(_ first: Int, _ last: Int, on processor: Int) throws {
        try space.unmap(pages(first, last), in: memory(processor))
    }

    func addRegion(_ first: Int, _ last: Int, _ content: Region.Content, largestLeaf: PageSize? = nil) throws {
        let region = Region(pages(first, last), content, writable, largestLeaf: largestLeaf ?? anyLeaf)
        try space.add(region, in: memory(0))
    }

    /// Maps a page on demand, and says where it then is: nobody unmaps it before the lock is released.
    func fault(_ page: Int, atMost largestLeaf: PageSize? = nil, on processor: Int) throws -> PhysicalAddress? {
        let address = address(page)
        let largestLeaf = largestLeaf ?? anyLeaf
        return try memory(processor).withReadLock(space.words.lock) { (lock) throws(Abandoned) in
            do throws(SpaceError<Abandoned>) {
                try space.fault(address, for: .read, atMost: largestLeaf, lock: lock)
            } catch {
                switch error {
                case .memory(let abandoned): throw abandoned
                case .refused(let refusal): try machine.violate("the fault at page \(page) is refused: \(refusal)")
                }
            }
            return try physical(of: page, lock: lock)
        }
    }

    /// Where a page is, if it is mapped, as whoever holds the lock for reading sees it.
    func physical(of page: Int, lock: borrowing ReadLockHeld<ExploredMemory>) throws(Abandoned) -> PhysicalAddress? {
        Self.physical(try space.view(in: lock).translate(address(page), in: lock))
    }

    /// Where a page is, if it is mapped.
    func physical(of page: Int, on processor: Int = 0) throws -> PhysicalAddress? {
        try memory(processor).withRCUReader { (section) throws(Abandoned) in
            Self.physical(try space.view(in: section).translate(address(page), in: section))
        }
    }

    private static func physical(_ translation: Translation) -> PhysicalAddress? {
        if case .mapped(let mapping) = translation { mapping.physical } else { nil }
    }

    /// Tears the space down, and looks whether every frame came back and none is listed for fragments that it has no more.
    func requireTablesFree() throws {
        try requireAllFree()
        for log2Count in 1...8 {
            let first = try memory(0).load(space.words.fragmentList(log2Count), .relaxed)
            try require(first == 0, "frame \(first &- 1) is free, and listed as one with free fragments")
        }
    }
}
