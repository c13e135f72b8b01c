import PageTableWalk
import PageTables

/// A compact capture: the page tables of some roots, and what a reader needs to find them again, without the contents of
/// memory.
public struct TableExtraction: Sendable {
    /// The exact bytes of the tables: sorted, disjoint, and in the image.
    public let ranges: [PhysicalRange]
    public let tableCount: Int
    /// The image's notes, VMCOREINFO among them if it is known.
    public let notes: [Note]
    private let roots: [Root]
    private let image: MemoryImage
    private let architecture: Architecture
    private let byteOrder: ByteOrder?

    /// Collects the tables that the roots reach, as hardware and as Linux read them (on 32-bit arm Linux has tables of its
    /// own).
    ///
    /// - Returns: `nil` if the image's architecture is not known.
    /// - Complexity: The tables of all roots.
    public init?(of inspected: InspectedImage, roots: [Root]) {
        guard let architecture = inspected.architecture else { return nil }
        self.architecture = architecture
        self.roots = roots
        image = inspected.image
        byteOrder = inspected.description?.byteOrder
        var places: Set<PhysicalRange> = []
        for root in roots {
            for view in View.allCases {
                let survey = root.space.survey(view: view, in: inspected.image.contents)
                places.formUnion(survey.tables.map(\.physicalRange))
            }
        }
        tableCount = places.count
        ranges = Self.present(Self.merged(places), in: inspected.image.physicalRanges)
        var notes = inspected.image.notes
        if let information = inspected.image.vmcoreinfo, !notes.contains(where: { $0.name == "VMCOREINFO" }) {
            notes.append(Note(name: "VMCOREINFO", type: 0, bytes: Array(information.text.utf8)))
        }
        self.notes = notes
    }

    private static func merged(_ places: Set<PhysicalRange>) -> [PhysicalRange] {
        var result: [PhysicalRange] = []
        for place in places.sorted(by: { $0.first < $1.first }) {
            if let last = result.last, last.last.rawValue == .max || place.first.rawValue <= last.last.rawValue + 1 {
                result[result.count - 1] = PhysicalRange(first: last.first, last: max(last.last, place.last))
            } else {
                result.append(place)
            }
        }
        return result
    }

    /// What two sorted lists of disjoint ranges have in common.
    private static func present(_ wanted: [PhysicalRange], in there: [PhysicalRange]) -> [PhysicalRange] {
        var result: [PhysicalRange] = []
        var index = 0
        for range in wanted {
            while index < there.count, there[index].last < range.first { index += 1 }
            var next = index
            while next < there.count, there[next].first <= range.last {
                if let shared = there[next].intersection(range) { result.append(shared) }
                next += 1
            }
        }
        return result
    }

    /// Bytes of all tables.
    public var byteCount: UInt64 { ranges.reduce(0) { $0 &+ ($1.byteCount ?? .max) } }

    /// Writes an ELF core file, and beside it the description of roots that the notes do not tell.
    ///
    /// - Returns: The paths of the files that were written.
    /// - Throws: `ImageError` if a file cannot be written.
    public func write(to path: String) throws(ImageError) -> [String] {
        let order = image.byteOrder ?? (architecture == .s390x ? .big : .little)
        let writer = ELFCoreWriter(machine: image.machine ?? architecture.elfMachine, byteOrder: order)
        try writer.write(to: path, notes: notes, ranges: ranges, from: image)
        let described = roots.filter { $0.source == .description || $0.source == .commandLine }
        guard !described.isEmpty else { return [path] }
        let json = ImageDescription.json(architecture: architecture, byteOrder: byteOrder, roots: described)
        try NewFile.write(json, to: path + ".json")
        return [path, path + ".json"]
    }
}

extension Architecture {
    /// `e_machine` (System V gABI). User-mode Linux has none of its own: the host's.
    var elfMachine: UInt16 {
        switch self {
        case .amd64, .um: 62
        case .i386: 3
        case .s390x: 22
        case .arm64: 183
        case .arm: 40
        case .riscv64, .riscv32: 243
        case .ppc64: 21
        case .mips64: 8
        }
    }
}
