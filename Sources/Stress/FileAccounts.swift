import HostMemory
import PageTableWalk
import PageTables
import TableMemory
import VirtualMemory

// The reckoning of files when no thread runs: what threads have written last is in the store and in the pages, what was cut off is
// gone, and what was written to private regions is nowhere.

struct FileAccounts<Format: StressFormat> {
    let shared: StressSpace<Format>
    let memory: HostMemory
    /// Of each thread, for each file and half of a page.
    let writes: [[[UInt64: FileWrite]]]

    init(_ shared: StressSpace<Format>, _ writes: [[[UInt64: FileWrite]]], _ memory: HostMemory) {
        self.shared = shared
        self.writes = writes
        self.memory = memory
    }

    private func violation(_ message: @autoclosure () -> String) {
        shared.log.add("files at the end of a round: \(message())")
    }

    /// Writes everything back, and compares the stores byte for byte where the bytes are known.
    func compareStores() {
        for file in shared.files where file.hasStore {
            file.store.stopFailing()
            do throws(FileError<Never, StressStore.Failure>) { try file.cache.writeBack(in: memory) } catch {
                violation("a store that does not fail has failed")
            }
            let bytes = file.store.bytes
            if UInt64(bytes.count) != file.cache.size(in: memory) {
                violation("a store has \(bytes.count) bytes, its file \(file.cache.size(in: memory))")
            }
            for half in 0..<file.model.halves {
                compare(file, half, "the store") { word in
                    let start = Int(half / 2 * shared.pageBytes + word * 8)
                    guard start + 8 <= bytes.count else { return nil }
                    return bytes[start..<start + 8].withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
                }
            }
        }
    }

    /// Maps each file anew, all of it, and compares what is there.
    func compareMappings() {
        for area in shared.areas.all { unmap(area) }
        for file in shared.files {
            guard
                let area = shared.areas.all.first(where: { $0.file?.index == file.index && $0.file?.sharing == .shared }
                )
            else { continue }
            let last = area.first + (area.pageCount * shared.pageBytes - 1)
            let view = FileView(file.cache, .shared)
            let region = Region(
                VirtualRange(first: VirtualAddress(area.first), last: VirtualAddress(last)), .file(view),
                shared.format.attributes([.read]))
            insist("a region of a file") { () throws(SpaceError<Never>) in try shared.space.add(region, in: memory) }
            for half in 0..<file.model.halves {
                let address = area.first + half / 2 * shared.pageBytes
                guard let physical = fault(address) else { continue }
                compare(file, half, "a page") { word in
                    memory.load(Word<UInt64>(PhysicalAddress(physical + word * 8)), .relaxed)
                }
            }
            unmap(area)
        }
    }

    /// Gives up the pages that are in memory. No region shows them any more.
    func close() {
        for file in shared.files {
            do throws(FileError<Never, StressStore.Failure>) { try file.cache.close(in: memory) } catch {
                violation("a file could not be closed")
            }
        }
    }

    /// Compares the words that threads have, and one that nobody has.
    private func compare(
        _ file: StressFile<Format>, _ half: UInt64, _ place: StaticString, _ load: (UInt64) -> UInt64?
    ) {
        let isUpper = half & 1 == 1
        let moment = file.model.moment(half)
        let original = shared.tags.tag(file.firstPage + half / 2, PageTags<Format>.faulted)
        for thread in -1..<writes.count {
            let write = thread < 0 ? nil : writes[thread][file.index][half]
            let word =
                thread < 0
                ? (isUpper ? shared.pageBytes / 8 - 1 : 2) : file.ownWord(of: thread, isUpper: isUpper)
            let expected = FileWrite.expected(write, moment, original: original)
            let found = load(word)
            if found == nil || !expected.contains(found ?? 0) {
                violation(
                    "word \(word) of half \(half) of file \(file.index) in \(place) is "
                        + "\(found.map(shared.tags.description) ?? "not there"), "
                        + "expected \(expected.map(shared.tags.description).joined(separator: " or "))")
            }
        }
    }

    /// Faults a page in, and says where it is.
    private func fault(_ address: UInt64) -> UInt64? {
        insist(hexadecimal(address)) { () throws(SpaceError<Never>) in
            try memory.withReadLock(shared.space.words.lock) { lock in
                Result { () throws(SpaceError<Never>) in
                    try shared.space.fault(VirtualAddress(address), for: .read, lock: lock)
                }
            }.get()
        }
        return memory.withReadLock(shared.space.words.lock) { lock in
            guard case .mapped(let mapping) = shared.translation(of: address, lock) else {
                violation("\(hexadecimal(address)) was faulted, and is not mapped")
                return nil
            }
            return mapping.physical.rawValue
        }
    }

    private func unmap(_ area: StressArea) {
        let last = VirtualAddress(area.first + (area.pageCount * shared.pageBytes - 1))
        let range = VirtualRange(first: VirtualAddress(area.first), last: last)
        insist("unmapping \(range)") { () throws(SpaceError<Never>) in try shared.space.unmap(range, in: memory) }
    }

    /// Does what may fail because a failure was injected, until it does not.
    private func insist(_ what: String, _ body: () throws(SpaceError<Never>) -> Void) {
        for _ in 0..<20 {
            do throws(SpaceError<Never>) { return try body() } catch {
                switch error {
                case .refused(.outOfMemory): continue
                case .refused(let refusal): return violation("\(what): \(refusal)")
                }
            }
        }
        violation("\(what): there is no memory")
    }
}
