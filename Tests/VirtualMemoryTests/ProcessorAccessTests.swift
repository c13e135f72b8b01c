import Foundation
import HostMemory
import PageTables
import TableMemory
import Testing

@testable import VirtualMemory

/// A space of some format in real memory, and a file of a page.
private final class FormatMachine<Format: WritableFormat> {
    let hostProcessors: HostProcessors
    let memory: HostMemory
    let space: VirtualMemory.Space<Format>
    let file: CachedFile<MemoryStore>

    init(_ format: Format) throws {
        let layout = PhysicalLayout(log2FrameBytes: format.log2FrameBytes, frameCount: 100, fileCount: 1)
        hostProcessors = HostProcessors(arena: try HostArena(byteCount: (Int(layout.byteCount) + 0xffff) & ~0xffff))
        memory = hostProcessors.attach()
        let references = layout.makeReferences()
        space = try .make(format, references, words: layout.spaceWords(), in: memory)
        let store = MemoryStore([UInt8](repeating: 0, count: 1 << Int(format.log2FrameBytes)))
        file = try .open(store, words: layout.fileWords(), references, in: memory)
    }

    deinit { memory.detach() }

    func page(_ number: UInt64) -> VirtualRange {
        let first = number * space.format.pageBytes
        return VirtualRange(first: VirtualAddress(first), last: VirtualAddress(first + space.format.pageBytes - 1))
    }

    func add(_ page: UInt64, _ content: Region.Content, _ rights: Rights) throws {
        var attributes = space.format.attributes(.read)
        attributes.rights = rights
        try space.add(Region(self.page(page), content, attributes), in: memory)
    }

    /// What an access of a new processor to a page comes to.
    func access(_ page: UInt64, for access: ProcessorAccess, _ mode: ProcessorMode = .user) -> Refusal? {
        var processor = VirtualProcessor(space, mode: mode, in: memory)
        var refusal: Refusal?
        do throws(SpaceError<Never>) {
            try processor.access(self.page(page).first, for: access) { _ throws(Never) in }
        } catch {
            switch error {
            case .refused(let found): refusal = found
            }
        }
        processor.leave()
        return refusal
    }
}

@Suite("An access of a processor")
struct ProcessorAccessTests {
    @Test("executes what may only be executed")
    func executeOnly() throws {
        let machine = try FormatMachine(RISCVSv39())
        try machine.add(1, .anonymous, .userExecute)
        let page = machine.page(1).first
        #expect(machine.access(1, for: .read) == .accessDenied(page))
        #expect(machine.access(1, for: .write) == .accessDenied(page))
        #expect(machine.access(1, for: .execute) == nil)
        #expect(machine.access(1, for: .read) == .accessDenied(page))
        #expect(machine.access(1, for: .execute) == nil)
    }

    @Test("is refused if the region allows it to the other mode only, and maps nothing then")
    func otherMode() throws {
        let machine = try FormatMachine(RISCVSv39())
        try machine.add(1, .anonymous, machine.space.format.attributes([.read, .execute]).rights)
        try machine.add(2, .anonymous, [.supervisorRead, .supervisorWrite])
        for (page, access, mode) in [
            (1, ProcessorAccess.execute, ProcessorMode.supervisor), (1, .write, .user), (2, .read, .user),
            (2, .execute, .supervisor),
        ] as [(UInt64, ProcessorAccess, ProcessorMode)] {
            #expect(machine.access(page, for: access, mode) == .accessDenied(machine.page(page).first))
        }
        let summary = machine.memory.withRCUReader { machine.space.summary(of: .all, in: $0) }
        #expect(summary.mappedBytes == 0)
        #expect(machine.access(1, for: .execute) == nil)
        #expect(machine.access(2, for: .write, .supervisor) == nil)
        #expect(machine.access(3, for: .read) == .notMapped(machine.page(3).first))
    }

    @Test(
        "is refused if the entry does not have the right, whatever the region says",
        arguments: [ProcessorAccess.write, .execute])
    func entryWithout(_ access: ProcessorAccess) throws {
        let machine = try FormatMachine(X86_64())
        let rights = machine.space.format.attributes([.read, .write, .execute]).rights
        let page = machine.page(1)
        // What was mapped before the region was there stays; of a file's region too, where rights to write come and go.
        try machine.space.map(
            page, to: PhysicalAddress(1 << 40), machine.space.format.attributes(.read), in: machine.memory)
        try machine.add(1, .file(FileView(machine.file, .shared)), rights)
        #expect(machine.access(1, for: .read) == nil)
        #expect(machine.access(1, for: access) == .accessDenied(page.first))
        // No region says anything of this one.
        try machine.space.map(
            machine.page(2), to: PhysicalAddress(1 << 40), machine.space.format.attributes(.read), in: machine.memory)
        #expect(machine.access(2, for: access) == .accessDenied(machine.page(2).first))
        #expect(machine.access(2, for: .read) == nil)
    }

    @Test("gets back the right to write that was taken from the page of a file")
    func writeProtected() throws {
        let machine = try FormatMachine(X86_64())
        try machine.add(
            1, .file(FileView(machine.file, .shared)), machine.space.format.attributes([.read, .write]).rights)
        for _ in 0..<3 {
            #expect(machine.access(1, for: .write) == nil)
            var written = PageBitmap(0...0)
            #expect(machine.file.writeProtect(0...0, into: &written, in: machine.memory) == 1)
        }
    }

    @Test("is never refused what the region allows, while others take the right away all the time")
    func writeProtectedByOthers() throws {
        let store = MemoryStore([UInt8](repeating: 0, count: 4096))
        let machine = try HostMachine(store)
        let space = machine.spaces[0]
        let page = VirtualRange(first: VirtualAddress(0x1000), last: VirtualAddress(0x1fff))
        let region = Region(page, .file(FileView(machine.file, .shared)), space.format.attributes([.read, .write]))
        try space.add(region, in: machine.memory)
        let ends = DispatchSemaphore(value: 0)
        let writes: UInt64 = 20_000
        Thread.detachNewThread {
            machine.processors.withProcessor { memory in
                var processor = VirtualProcessor(machine.spaces[0], in: memory)
                for number in 1...writes {
                    do throws(SpaceError<Never>) {
                        try processor.access(page.first, for: .write) { (physical) throws(Never) in
                            memory.store(number.littleEndian, to: Word(physical), .relaxed)
                        }
                    } catch {
                        Issue.record("write \(number): \(error)")
                        break
                    }
                }
                processor.leave()
            }
            ends.signal()
        }
        repeat {
            var written = PageBitmap(0...0)
            machine.file.writeProtect(0...0, into: &written, in: machine.memory)
        } while ends.wait(timeout: .now()) == .timedOut
        try machine.file.writeBack(in: machine.memory)
        #expect(store.bytes[0..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) } == writes)
        #expect(try machine.lostFrames() == 0)
    }
}
