import Foundation
import MemoryImages
import PageTableWalk
import PageTables
import Testing

/// Compact captures made from captures of real machines.
@Suite("An extraction of page tables")
struct ExtractionTests {
    @Test("walks the same from every root, in both views", arguments: GuestCapture.all)
    func walks(_ capture: GuestCapture) throws {
        let folder = try TemporaryFolder()
        let original = try capture.open("pagetables.elf.zst")
        let path = folder.url.appendingPathComponent("tables.elf").path
        let extraction = try #require(TableExtraction(of: original, roots: original.roots))
        let files = try extraction.write(to: path)
        #expect(files == [path, path + ".json"])
        let copy = try InspectedImage(path: path)
        #expect(copy.problems == [])
        #expect(Set(copy.image.notes).isSuperset(of: original.image.notes))
        for root in original.roots {
            let twin = try copy.root(root.name)
            #expect(twin.process == root.process)
            #expect(twin.space.paging == root.space.paging)
            for view in View.allCases {
                let expected = root.space.survey(view: view, in: original.image.contents)
                let found = twin.space.survey(view: view, in: copy.image.contents)
                #expect(found.ranges == expected.ranges)
                #expect(found.tables == expected.tables)
                #expect(found.oddities == expected.oddities)
            }
        }
    }

    @Test("holds tables and nothing else", arguments: GuestCapture.all)
    func contents(_ capture: GuestCapture) throws {
        let original = try capture.open("pagetables.elf.zst")
        let extraction = try #require(TableExtraction(of: original, roots: original.roots))
        let tables = original.roots.flatMap { root in
            View.allCases.flatMap { root.space.survey(view: $0, in: original.image.contents).tables }
        }
        // No table is smaller or less aligned than 16 bytes.
        var blocks: Set<UInt64> = []
        for table in Set(tables.map(\.physicalRange)) {
            blocks.formUnion(table.first.rawValue >> 4...table.last.rawValue >> 4)
        }
        for range in extraction.ranges {
            let inside = (range.first.rawValue >> 4...range.last.rawValue >> 4).allSatisfy(blocks.contains)
            #expect(inside)
        }
        #expect(extraction.byteCount <= tables.reduce(0) { $0 + UInt64($1.byteCount) })
    }

    /// QEMU leaves the VMCOREINFO note out of ppc64 dumps; the kernel keeps a copy in its memory.
    @Test("needs no description where the kernel's own notes are in memory")
    func scan() throws {
        let capture = GuestCapture(folder: GuestCapture.fixtures.appendingPathComponent("ppc64le-radix4k"))
        let path = capture.folder.appendingPathComponent("pagetables.elf.zst").path
        let kernel = try #require(try InspectedImage(path: path).roots.first)
        #expect(kernel.name == "kernel")
        #expect(kernel.source == .vmcoreinfo)
        let described = try capture.open("pagetables.elf.zst").root("kernel")
        #expect(kernel.space.trees == described.space.trees)
    }
}

/// A folder that is removed with everything in it when nobody needs it any more.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("pagewalk-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
}
