import Foundation
import MemoryImages
import PageTableWalk
import PageTables
import Reports
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Damaged images: whatever a file says, reading it ends, costs no more than the file is worth, and never crashes.
///
/// - `PAGEWALK_FUZZ_INPUTS`: how many inputs (2,000).
/// - `PAGEWALK_SEED`: the seed of a case that failed, to run just that one. A crash ends the process; the seed of the case
///   that ran is then in the file whose name the test prints first.
@Suite("MutationTests: a damaged image")
struct MutationTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let inputs = environment["PAGEWALK_FUZZ_INPUTS"].flatMap { Int($0) } ?? 2_000
    private static let replayed = environment["PAGEWALK_SEED"].flatMap { UInt64($0) }
    private static let firstSeed = UInt64.random(in: 0 ... .max)
    private static let workers = replayed == nil ? 2 : 1

    @Test("neither crashes nor hangs a reader, nor takes more than its share", arguments: 0..<workers)
    func survives(worker: Int) throws {
        let seeds = MutationSeed.all
        try #require(seeds.count >= GuestCapture.names.count)
        let scratch = try MutationScratch()
        if let seed = Self.replayed {
            var mutation = try MutationCase(seed: seed, seeds, scratch)
            mutation.run()
            report(mutation)
            return
        }
        print("MutationTests: worker \(worker) notes the seed of each case in \(scratch.notePath)")
        let before = Self.peakBytes()
        var random = CaseRandom(seed: Self.firstSeed &+ UInt64(worker))
        var slowest = (seconds: 0.0, seed: 0 as UInt64, name: "")
        var opened = 0
        for _ in 0..<Self.inputs / Self.workers {
            let seed = random.next()
            scratch.note(seed)
            var mutation = try MutationCase(seed: seed, seeds, scratch)
            let start = DispatchTime.now().uptimeNanoseconds
            mutation.run()
            let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
            if seconds > slowest.seconds { slowest = (seconds, seed, mutation.start.name) }
            if mutation.wasOpened { opened += 1 }
            report(mutation)
        }
        #expect(Self.peakBytes() - before < 1536 << 20, "bytes of memory")
        // Most damage must leave an image that can be walked, or the test tests little.
        #expect(opened * 3 > Self.inputs / Self.workers)
        print(
            "MutationTests: worker \(worker): \(Self.inputs / Self.workers) inputs, \(opened) opened, "
                + "slowest \(Int(slowest.seconds * 1000)) ms: \(slowest.name), PAGEWALK_SEED=\(slowest.seed)")
    }

    private func report(_ mutation: MutationCase) {
        for failure in mutation.failures {
            Issue.record("\(failure); replay: PAGEWALK_SEED=\(mutation.seed) swift test --filter MutationTests")
        }
    }

    /// The most memory that the process had until now.
    private static func peakBytes() -> Int {
        var usage = rusage()
        #if canImport(Darwin)
            getrusage(RUSAGE_SELF, &usage)
        #else
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        #endif
        #if os(Linux)
            return Int(usage.ru_maxrss) << 10
        #else
            return Int(usage.ru_maxrss)
        #endif
    }
}

/// The files of one worker, written anew for each case.
final class MutationScratch: Sendable {
    let folder: URL
    let imagePath: String
    let notePath: String

    init() throws {
        // Memory where there is such a folder: a case writes hundreds of kilobytes.
        let memory = URL(fileURLWithPath: "/dev/shm")
        let base =
            FileManager.default.isWritableFile(atPath: memory.path) ? memory : FileManager.default.temporaryDirectory
        folder = base.appendingPathComponent("pagewalk-mutations-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        imagePath = folder.appendingPathComponent("image").path
        notePath =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("pagewalk-mutation-\(UUID().uuidString).seed").path
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
        try? FileManager.default.removeItem(atPath: notePath)
    }

    func note(_ seed: UInt64) { Self.write(Array("PAGEWALK_SEED=\(seed)\n".utf8), notePath) }

    func write(_ image: [UInt8], _ description: [UInt8]?) {
        Self.write(image, imagePath)
        unlink(imagePath + ".json")
        if let description { Self.write(description, imagePath + ".json") }
    }

    func open(paging: Paging? = nil, overrides: Registers = Registers()) throws(ImageError) -> InspectedImage {
        try InspectedImage(path: imagePath, paging: paging, overrides: overrides)
    }

    private static func write(_ bytes: [UInt8], _ path: String) {
        // A new file each time: a mapping of the old one must not change.
        unlink(path)
        guard let file = fopen(path, "w") else { return }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
}
