import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// A small space without random operations, and what a test wants of it.
extension SpaceRun where F == SmallFormat<UInt64> {
    static func plain(_ purpose: String, policy: ReclaimPolicy = .rcu) throws -> SpaceRun {
        try SpaceRun(SmallFormat(), "small", purpose, policy: policy)
    }
}

extension SpaceRun {
    /// Pages `first ... last`.
    func pages(_ first: UInt64, _ last: UInt64? = nil) -> VirtualRange {
        VirtualRange(
            first: VirtualAddress(first * model.pageBytes),
            last: VirtualAddress((last ?? first) * model.pageBytes + (model.pageBytes - 1)))
    }

    func address(_ page: UInt64) -> VirtualAddress { VirtualAddress(page * model.pageBytes) }

    func device(_ page: UInt64) -> PhysicalAddress { PhysicalAddress(places.devices + page * model.pageBytes) }

    func attributes(_ protection: Protection) -> EntryAttributes { format.attributes(protection) }

    @discardableResult
    func map(
        _ range: VirtualRange, to physical: PhysicalAddress, _ protection: Protection = [.read, .write],
        atMost largest: PageSize = PageSize(log2Bytes: 63)
    ) throws -> Refusal? {
        try refusal { () throws(SpaceError<MemoryMisuse>) in
            try space.map(range, to: physical, attributes(protection), largestLeaf: largest, in: memory)
        }
    }

    /// Maps a new block, whose only references are then the mapping's.
    @discardableResult
    func mapNew(_ range: VirtualRange, order: Int = 0, _ protection: Protection = [.read, .write]) throws -> Frame {
        let head = try #require(try references.allocator.allocate(FrameOrder(order), in: memory))
        let refusal = try map(range, to: layout.map.address(of: head), protection)
        try #require(refusal == nil)
        try references.drop(on: head, in: memory)
        return head
    }

    func add(
        _ range: VirtualRange, _ content: Region.Content, _ protection: Protection = [.read, .write],
        atMost largest: PageSize = PageSize(log2Bytes: 63)
    ) throws -> Refusal? {
        try refusal { () throws(SpaceError<MemoryMisuse>) in
            try space.add(Region(range, content, attributes(protection), largestLeaf: largest), in: memory)
        }
    }

    func fault(_ address: VirtualAddress, for access: PageAccess) throws -> Refusal? {
        try refusal { () throws(SpaceError<MemoryMisuse>) in
            try underReadLock { (lock) throws(SpaceError<MemoryMisuse>) in
                try space.fault(address, for: access, lock: lock)
            }
        }
    }

    func physical(_ address: VirtualAddress) throws -> PhysicalAddress? {
        guard case .mapped(let mapping) = try translate(address.rawValue) else { return nil }
        return mapping.physical
    }

    func usedFrames() throws -> UInt64 {
        UInt64(layout.map.frameCount) - (try references.allocator.freeFrameCount(in: memory))
    }

    func referenceCount(_ head: Frame) throws -> UInt32 {
        try memory.load(layout.map.descriptor(of: head).references, .relaxed)
    }
}
