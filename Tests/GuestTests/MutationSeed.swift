import Foundation
import MemoryImages
import PageTableWalk
import PageTables

/// A file that mutations start from, and what a mutation should know of it.
struct MutationSeed: Sendable {
    let name: String
    let bytes: [UInt8]
    /// Headers, notes, bitmaps, descriptors: where a container's reader is steered from.
    let structure: [Range<Int>]
    /// Words of page tables, empty where they are not in the file as they are.
    let tables: Range<Int>
    /// Physical addresses that tables have.
    let tableAddresses: [UInt64]
    let entryBytes: Int
    let order: ByteOrder
    /// `nil` where the file names its roots itself, or names none.
    let description: [UInt8]?

    static let all: [MutationSeed] = {
        var seeds: [MutationSeed] = []
        for capture in GuestCapture.all {
            guard let reduced = ReducedCapture(capture) else { continue }
            seeds.append(reduced.core)
            switch capture.name {
            case "s390x", "x86_64-4level": seeds += [reduced.lime, reduced.gzip, reduced.start]
            case "armhf-short": seeds.append(reduced.lime)
            case "mips64el", "uml": seeds.append(reduced.raw)
            case "ppc64le-hash": seeds.append(reduced.stored)
            default: break
            }
        }
        return seeds + kdumps
    }()

    /// Dumps that QEMU and makedumpfile wrote.
    private static let kdumps: [MutationSeed] = {
        let files = FileManager.default.enumerator(at: GuestCapture.fixtures, includingPropertiesForKeys: nil)
        let dumps = (files?.allObjects ?? []).compactMap { $0 as? URL }.filter { file in
            [".kdump", ".diskdump", ".kdump.zst", ".diskdump.zst"].contains { file.lastPathComponent.hasSuffix($0) }
        }
        return dumps.sorted { $0.path < $1.path }.compactMap { file in
            // Beyond this size a case would take longer to write than to read.
            guard let bytes = try? MappedFile.decompressedBytes(path: file.path), bytes.count < 512 << 10 else {
                return nil
            }
            return MutationSeed(
                name: file.lastPathComponent, bytes: bytes,
                structure: [0..<min(512, bytes.count), min(400, bytes.count)..<min(24 << 10, bytes.count)],
                tables: 0..<0, tableAddresses: [], entryBytes: 8, order: .little, description: nil)
        }
    }()
}

/// The tables of one root of a capture, as many as keep a case short, in several containers.
private struct ReducedCapture {
    let name: String
    let description: [UInt8]
    let image: MemoryImage
    let entryBytes: Int
    let order: ByteOrder
    let storedFile: URL
    /// Memory by its first address: sorted, disjoint.
    var pieces: [(first: UInt64, bytes: [UInt8])] = []
    var tableAddresses: [UInt64] = []

    private static let tableBytes = 64 << 10

    init?(_ capture: GuestCapture) {
        guard let inspected = try? capture.open("pagetables.elf.zst"),
            let root = inspected.roots.first(where: { $0.name == "A" }) ?? inspected.roots.first,
            let text = Self.describe(capture, root: root.name)
        else { return nil }
        name = capture.name
        image = inspected.image
        description = text
        entryBytes = root.space.paging.entryBytes
        let bigEndian = [.s390x, .ppc64].contains(inspected.architecture)
        order = bigEndian ? .big : .little
        storedFile = capture.folder.appendingPathComponent("pagetables.elf.zst")

        // The walk meets tables depth first: any first part of them has whole paths.
        var ranges: [PhysicalRange] = []
        for view in View.allCases {
            var total = 0
            for table in root.space.survey(view: view, in: image.contents).tables where total < Self.tableBytes {
                total += table.byteCount
                ranges.append(table.physicalRange)
                tableAddresses.append(table.address.rawValue)
            }
        }
        var last: UInt64 = 0
        for range in ranges.sorted(by: { $0.first < $1.first }) {
            let first = pieces.isEmpty ? range.first.rawValue : max(range.first.rawValue, last + 1)
            guard range.last.rawValue >= first else { continue }
            let bytes = image.bytes(at: PhysicalAddress(first), count: Int(range.last.rawValue - first + 1))
            guard !bytes.isEmpty else { continue }
            if let previous = pieces.last, previous.first + UInt64(previous.bytes.count) == first {
                pieces[pieces.count - 1].bytes += bytes
            } else {
                pieces.append((first, bytes))
            }
            last = range.last.rawValue
        }
        forgetAbsentTables(capture, root: root.name)
    }

    /// The description with one root.
    private static func describe(_ capture: GuestCapture, root: String) -> [UInt8]? {
        let file = capture.folder.appendingPathComponent("description.json")
        guard let data = try? Data(contentsOf: file),
            var object = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
            let roots = object["roots"] as? [[String: Any]]
        else { return nil }
        object["roots"] = roots.filter { $0["name"] as? String == root }
        object["memory"] = nil
        return try? Array(JSONSerialization.data(withJSONObject: object, options: .sortedKeys))
    }

    /// Clears the entries that lead to tables left out: looking for one takes longer than reading one.
    private mutating func forgetAbsentTables(_ capture: GuestCapture, root: String) {
        guard let scratch = try? MutationScratch() else { return }
        for _ in 0..<8 {
            scratch.write(core.bytes, description)
            guard let inspected = try? scratch.open(), let root = try? inspected.root(root) else { return }
            var cleared = false
            for view in View.allCases {
                let survey = root.space.survey(view: view, in: inspected.image.contents)
                for oddity in survey.oddities {
                    guard case .absent = oddity.kind,
                        let step = root.space.translate(
                            oddity.address, view: view, in: inspected.image.contents, steps: true
                        ).steps.last
                    else { continue }
                    cleared = true
                    clear(step.position.table.rawValue + UInt64(step.position.index * entryBytes))
                }
            }
            if !cleared { return }
        }
    }

    private mutating func clear(_ address: UInt64) {
        for number in pieces.indices {
            let offset = address &- pieces[number].first
            guard offset < UInt64(pieces[number].bytes.count) else { continue }
            let end = min(Int(offset) + entryBytes, pieces[number].bytes.count)
            for place in Int(offset)..<end { pieces[number].bytes[place] = 0 }
        }
    }

    private func seed(
        _ container: String, _ bytes: [UInt8], _ structure: [Range<Int>], tables: Range<Int> = 0..<0,
        description: [UInt8]? = nil
    ) -> MutationSeed {
        MutationSeed(
            name: "\(name), \(container)", bytes: bytes, structure: structure, tables: tables,
            tableAddresses: tableAddresses, entryBytes: entryBytes, order: order,
            description: description ?? self.description)
    }

    /// An ELF core in the class and byte order of the original, with its notes.
    var core: MutationSeed {
        let wide = image.is64Bit ?? true
        let order = image.byteOrder ?? .little
        var notes: [UInt8] = []
        for note in image.notes {
            let name = Array(note.name.utf8) + [0]
            notes.append(UInt32(name.count), order)
            notes.append(UInt32(note.bytes.count), order)
            notes.append(note.type, order)
            for part in [name, note.bytes] { notes += part + [UInt8](repeating: 0, count: -part.count & 3) }
        }
        let headers = (wide ? 64 : 52) + (pieces.count + 1) * (wide ? 56 : 32)
        var file: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, order == .little ? 1 : 2, 1]
        file += [UInt8](repeating: 0, count: 9)
        func word(_ value: Int) { wide ? file.append(UInt64(value), order) : file.append(UInt32(value), order) }
        file.append(4 as UInt16, order)
        file.append(image.machine ?? 0, order)
        file.append(1 as UInt32, order)
        word(0)
        word(wide ? 64 : 52)
        word(0)
        file.append(0 as UInt32, order)
        for field in [wide ? 64 : 52, wide ? 56 : 32, pieces.count + 1, 0, 0, 0] { file.append(UInt16(field), order) }
        var offset = headers
        for piece in [(first: UInt64(0), bytes: notes)] + pieces {
            let type: UInt32 = offset == headers ? 4 : 1
            let size = piece.bytes.count
            file.append(type, order)
            if wide { file.append(6 as UInt32, order) }
            word(offset)
            word(0)
            word(Int(piece.first))
            word(size)
            word(size)
            if !wide { file.append(6 as UInt32, order) }
            word(0)
            offset += size
        }
        file += notes
        let start = file.count
        for piece in pieces { file += piece.bytes }
        return seed("ELF", file, [0..<64, 64..<headers, headers..<start], tables: start..<file.count)
    }

    var lime: MutationSeed {
        var file: [UInt8] = []
        var structure: [Range<Int>] = []
        for piece in pieces {
            structure.append(file.count..<file.count + 32)
            file.append(0x4c69_4d45 as UInt32, .little)
            file.append(1 as UInt32, .little)
            file.append(piece.first, .little)
            file.append(piece.first + UInt64(piece.bytes.count) - 1, .little)
            file.append(0 as UInt64, .little)
            file += piece.bytes
        }
        return seed("LiME", file, structure, tables: 0..<file.count)
    }

    /// Bytes without headers, which the description places.
    var raw: MutationSeed {
        var file: [UInt8] = []
        var memory: [[String: String]] = []
        for piece in pieces {
            memory.append([
                "physical": hexadecimal(piece.first), "bytes": hexadecimal(UInt64(piece.bytes.count)),
                "offset": hexadecimal(UInt64(file.count)),
            ])
            file += piece.bytes
        }
        var object = (try? JSONSerialization.jsonObject(with: Data(description)) as? [String: Any]) ?? [:]
        object["memory"] = memory
        let text = (try? JSONSerialization.data(withJSONObject: object, options: .sortedKeys)) ?? Data()
        return seed("raw", file, [], tables: 0..<file.count, description: Array(text))
    }

    /// RFC 1952 around stored blocks of RFC 1951.
    var gzip: MutationSeed {
        let bytes = core.bytes
        var file: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
        var rest = bytes[...]
        while !rest.isEmpty {
            let block = rest.prefix(0xffff)
            rest = rest.dropFirst(0xffff)
            file.append(rest.isEmpty ? 1 : 0)
            file.append(UInt16(block.count), .little)
            file.append(~UInt16(block.count), .little)
            file += block
        }
        var check = UInt32.max
        for byte in bytes {
            check ^= UInt32(byte)
            for _ in 0..<8 { check = check & 1 == 1 ? check >> 1 ^ 0xedb8_8320 : check >> 1 }
        }
        file.append(~check, .little)
        file.append(UInt32(truncatingIfNeeded: bytes.count), .little)
        return seed("gzip", file, [0..<20, file.count - 8..<file.count])
    }

    /// The first part of the whole capture: thousands of program headers.
    var start: MutationSeed {
        let bytes = ((try? MappedFile.decompressedBytes(path: storedFile.path)) ?? []).prefix(320 << 10)
        return seed("start of the whole", Array(bytes), [0..<64, 64..<min(200_000, bytes.count)])
    }

    /// The file of the repository as it is, compressed with zstd.
    var stored: MutationSeed {
        let bytes = (try? Data(contentsOf: storedFile)).map(Array.init) ?? []
        return seed("zstd", bytes, [0..<min(32, bytes.count)])
    }
}

extension [UInt8] {
    mutating func append<Value: FixedWidthInteger>(_ value: Value, _ order: ByteOrder) {
        Swift.withUnsafeBytes(of: order == .little ? value.littleEndian : value.bigEndian) { append(contentsOf: $0) }
    }
}
