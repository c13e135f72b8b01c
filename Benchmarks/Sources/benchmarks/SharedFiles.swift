import CMeasure
import CReference
import Foundation
import HostMemory
import PageTables
import TableMemory
import VirtualMemory

// Pages of a file that are mapped shared: the fault of the first write to a clean page, and the way of dirty pages to what is
// behind the file. The kernel's file is in the temporary directory, as is that of `HostFile`: a file system in memory would not
// have to hear of writes.

private let pageBytes: UInt64 = 4096
private let pageCount: UInt64 = 1024
private let base: UInt64 = 0x40_0000_0000

/// A file in a space, all of whose pages are in memory.
private final class Subject<Store: BackingStore>: @unchecked Sendable {
    // Unchecked because of the store, which is used with the file's lock held.

    let processors: HostProcessors
    let space: LiveX86
    let file: CachedFile<Store>

    init(_ store: Store) throws {
        let processors = HostProcessors(arena: try HostArena(byteCount: 16 << 20))
        self.processors = processors
        guard let layout = PhysicalLayout(log2FrameBytes: 12, byteCount: 16 << 20, fileCount: 1) else {
            fatalError("no frames")
        }
        let references = layout.makeReferences()
        let range = VirtualRange(
            first: VirtualAddress(base), last: VirtualAddress(base + pageCount * pageBytes - 1))
        (space, file) = try processors.withProcessor { memory throws in
            let space = try LiveX86.make(X86_64(), references, words: layout.spaceWords(), in: memory)
            let file = try CachedFile.open(store, words: layout.fileWords(), references, in: memory)
            let attributes = space.format.attributes([.read, .write])
            try space.add(Region(range, .file(FileView(file, .shared)), attributes), in: memory)
            return (space, file)
        }
    }

    /// A fault for writing at each page.
    func touch(_ memory: HostMemory) -> UInt64 {
        var touched: UInt64 = 0
        for page in 0..<pageCount {
            memory.withReadLock(space.words.lock) { lock in
                do throws(SpaceError<Never>) {
                    try space.fault(VirtualAddress(base &+ page &* pageBytes), for: .write, lock: lock)
                    touched &+= 1
                } catch {}
            }
        }
        return touched
    }

    func writeBack(_ memory: HostMemory) -> UInt64 {
        do { try file.writeBack(in: memory) } catch { return 0 }
        return pageCount
    }

    func prepare(isDirty: Bool) {
        processors.withProcessor { memory in
            _ = touch(memory)
            if !isDirty { _ = writeBack(memory) }
        }
    }

    func close() throws {
        try processors.withProcessor { memory throws in
            space.tearDown(in: memory)
            try file.close(in: memory)
        }
    }
}

/// A file of the kernel's.
private final class KernelFile: @unchecked Sendable {
    // Unchecked: only one thread at a time uses the file.

    private let file: UnsafeMutablePointer<kernel_file>

    init?(_ path: String) {
        file = .allocate(capacity: 1)
        file.initialize(to: kernel_file())
        guard kernel_file_open(file, path, pageCount) == 0 else {
            file.deallocate()
            return nil
        }
    }

    deinit {
        kernel_file_close(file)
        file.deallocate()
    }

    func touch() -> UInt64 { kernel_file_touch(file) }
    func writeBack() -> UInt64 { kernel_file_sync(file) }

    func prepare(isDirty: Bool) {
        _ = touch()
        if !isDirty { _ = writeBack() }
    }

    /// Whether the first write to each clean page is a fault.
    func hearsOfWrites() -> Bool {
        prepare(isDirty: false)
        let before = measure_minor_faults()
        _ = touch()
        return measure_minor_faults() - before >= pageCount
    }
}

private func measure<Store: BackingStore>(
    _ storeName: String, _ store: Store, _ kernel: KernelFile, _ show: (Contest, HostProcessors) throws -> Void
) throws {
    let subject = try Subject(store)
    func contest(_ name: String, isDirty: Bool, _ ours: @escaping Contest.Work, _ other: @escaping Contest.Work)
        -> Contest
    {
        Contest(
            name: name, unit: "page", count: Int(pageCount), clock: .processor, answer: pageCount,
            prepare: { isOurs in isOurs ? subject.prepare(isDirty: isDirty) : kernel.prepare(isDirty: isDirty) },
            ours: ours, other: other)
    }
    try show(
        contest("write to clean page, \(storeName)", isDirty: false, { subject.touch($1) }, { _, _ in kernel.touch() }),
        subject.processors)
    try show(
        contest("write back, \(storeName)", isDirty: true, { subject.writeBack($1) }, { _, _ in kernel.writeBack() }),
        subject.processors)
    try subject.close()
}

/// Shared pages of a file, beside the kernel that this runs on. Processor time: the kernel's `msync` also waits for the disk.
func measureSharedFiles(_ options: Options) throws {
    let names = ["write to clean page, memory", "write back, memory", "write to clean page, file", "write back, file"]
    guard names.contains(where: options.wants) else { return }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pagewalk-benchmark-files-\(getpid())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let kernel = KernelFile(folder.appendingPathComponent("kernel").path)
    guard let kernel, kernel.hearsOfWrites() else {
        let reason = "left out, because \(folder.path) is in a file system that does not hear of writes to mapped pages"
        FileHandle.standardError.write(Data("write to clean page, write back: \(reason)\n".utf8))
        return
    }
    let output = Output(json: options.json)
    output.title(ours: "Swift ns", other: "kernel ns")
    func show(_ contest: Contest, _ processors: HostProcessors) throws {
        guard options.wants(contest.name) else { return }
        output.show(try contest.run(on: processors, repetitions: options.repetitions))
    }
    try measure("memory", MemoryStore([UInt8](repeating: 0, count: Int(pageCount * pageBytes))), kernel, show)
    let store = try HostFile(path: folder.appendingPathComponent("host").path, .create)
    try store.resize(to: pageCount * pageBytes)
    try measure("file", store, kernel, show)
}
