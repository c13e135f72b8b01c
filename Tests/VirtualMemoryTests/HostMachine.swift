import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

/// Real memory with two x86-64 spaces and a file. Its own memory is for the thread that made it.
final class HostMachine<Store: BackingStore>: @unchecked Sendable {
    // Unchecked: the memory is used by one thread only.

    let memory: HostMemory
    let references: FrameReferences
    let spaces: [VirtualMemory.Space<X86_64>]
    let file: CachedFile<Store>
    let processors: HostProcessors
    private let frameCount: UInt32

    init(_ store: Store, _ kind: PageCache.Kind = .file, frames: UInt32 = 200) throws {
        processors = HostProcessors(arena: try HostArena(byteCount: max(2 << 20, (Int(frames) + 200) << 12)))
        let memory = processors.attach()
        self.memory = memory
        frameCount = frames
        let layout = PhysicalLayout(log2FrameBytes: 12, frameCount: frames, spaceCount: 2, fileCount: 1)
        let references = layout.makeReferences()
        self.references = references
        spaces = try (0...1).map { try .make(X86_64(), references, words: layout.spaceWords($0), in: memory) }
        file = try .open(store, kind, words: layout.fileWords(), references, in: memory)
    }

    deinit { memory.detach() }

    /// Where an address is after a fault for an access to it.
    func touch(
        _ address: VirtualAddress, for access: PageAccess, in space: VirtualMemory.Space<X86_64>
    ) -> Result<PhysicalAddress, Refusal> {
        memory.withReadLock(space.words.lock) { touch(address, for: access, in: space, lock: $0) }
    }

    func touch(
        _ address: VirtualAddress, for access: PageAccess, in space: VirtualMemory.Space<X86_64>,
        lock: borrowing ReadLockHeld<HostMemory>
    ) -> Result<PhysicalAddress, Refusal> {
        do throws(SpaceError<Never>) { try space.fault(address, for: access, lock: lock) } catch {
            switch error {
            case .refused(let refusal): return .failure(refusal)
            case .memory: return .failure(.outOfMemory)
            }
        }
        guard case .mapped(let found) = space.view(in: lock).translate(address, in: lock) else {
            return .failure(.notMapped(address))
        }
        return .success(found.physical)
    }

    /// What pinning the pages of a range comes to.
    func pin(
        _ range: VirtualRange, for access: PageAccess, longTerm: Bool, in space: VirtualMemory.Space<X86_64>,
        memory: HostMemory? = nil
    ) -> Result<[Pin], Refusal> {
        var pins: [Pin] = []
        do throws(SpaceError<Never>) {
            try space.pin(range, for: access, longTerm: longTerm, in: memory ?? self.memory, into: &pins)
            return .success(pins)
        } catch {
            switch error {
            case .refused(let refusal): return .failure(refusal)
            case .memory: return .failure(.outOfMemory)
            }
        }
    }

    func bytes(_ count: Int, at address: PhysicalAddress) -> [UInt8] {
        (0..<UInt64(count)).map { offset in
            let place = address.rawValue + offset
            let word = memory.load(Word<UInt64>(PhysicalAddress(place & ~7)), .relaxed)
            return UInt8(truncatingIfNeeded: UInt64(littleEndian: word) >> (8 * (place & 7)))
        }
    }

    func write(_ bytes: [UInt8], at address: PhysicalAddress) {
        for (offset, byte) in bytes.enumerated() {
            let place = address.rawValue + UInt64(offset)
            let shift = 8 * (place & 7)
            _ = memory.update(
                Word<UInt64>(PhysicalAddress(place & ~7)), clearing: (0xff << shift as UInt64).littleEndian,
                setting: (UInt64(byte) << shift).littleEndian, .relaxed)
        }
    }

    /// Tears everything down; how many frames are then not free.
    func lostFrames() throws -> UInt64 {
        for space in spaces { space.tearDown(in: memory) }
        try file.close(in: memory)
        return UInt64(frameCount) - references.allocator.freeFrameCount(in: memory)
    }
}
