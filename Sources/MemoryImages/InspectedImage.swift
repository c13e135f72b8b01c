import PageTables

/// An image with all the roots that are known for it.
public struct InspectedImage: Sendable {
    public let image: MemoryImage
    public let description: ImageDescription?
    /// From the description, then from the notes of CPUs, then from VMCOREINFO; each name and each space once.
    public let roots: [Root]
    /// Roots that were named and make no address space.
    public let problems: [RootResolutionError]
    /// `nil` where neither the image nor the user says it.
    public let architecture: Architecture?

    private let paging: Paging?
    private let overrides: Registers
    /// Registers that say how to walk and not where: taken from whoever knows them when only a root's value is given.
    private let modes: Registers

    /// Opens an image and finds its roots.
    ///
    /// - Parameters:
    ///   - descriptionPath: `nil` for `path` with `.json`, if there is such a file.
    ///   - paging: The format of every root, over what is known of them.
    ///   - overrides: Registers of every root, over what is known of them.
    ///   - rawBase: The file is raw memory from this physical address on.
    /// - Throws: `ImageError` if the image or the description cannot be read.
    public init(
        path: String, descriptionPath: String? = nil, paging: Paging? = nil, overrides: Registers = Registers(),
        rawBase: UInt64? = nil
    ) throws(ImageError) {
        if let descriptionPath {
            description = try ImageDescription(path: descriptionPath)
        } else if MappedFile.exists(path + ".json") {
            description = try ImageDescription(path: path + ".json")
        } else {
            description = nil
        }
        var raw = description?.memory.map {
            RawSegment(physical: PhysicalAddress($0.physical), byteCount: $0.bytes, offset: $0.offset)
        }
        if let rawBase { raw = [RawSegment(physical: PhysicalAddress(rawBase))] }
        image = try MemoryImage.open(path: path, rawSegments: raw?.isEmpty == true ? nil : raw)
        let is64Bit = image.is64Bit ?? true
        architecture =
            description?.architecture ?? paging?.architecture
            ?? image.machine.flatMap { Architecture(elfMachine: $0, is64Bit: is64Bit) }
        self.paging = paging
        self.overrides = overrides
        guard let architecture else {
            roots = []
            problems = []
            modes = Registers()
            return
        }
        var finder = RootFinder(
            image: image, description: description, resolver: Self.resolver(architecture, description, image),
            paging: paging, overrides: overrides)
        finder.find()
        roots = finder.roots
        problems = finder.problems
        modes = finder.modes
    }

    private static func resolver(
        _ architecture: Architecture, _ description: ImageDescription?, _ image: MemoryImage
    ) -> RootResolver {
        RootResolver(
            architecture: architecture, byteOrder: description?.byteOrder,
            encryptionMask: image.vmcoreinfo?.number("sme_mask").map { UInt64(bitPattern: $0) } ?? 0,
            pageBytes: image.vmcoreinfo?.pageBytes)
    }

    /// The root of a name, or the one whose root register has a value.
    ///
    /// - Parameter text: A name of `roots`, or a hexadecimal value.
    /// - Throws: `RootResolutionError` if there is no such name and the value makes no space.
    public func root(_ text: String) throws(RootResolutionError) -> Root {
        if let root = roots.first(where: { $0.name == text }) { return root }
        if let problem = problems.first(where: { $0.root == text }) { throw problem }
        guard let value = UInt64(hexadecimal: text) else {
            let names = roots.map(\.name).joined(separator: ", ")
            throw RootResolutionError(
                root: text,
                reason: "no such name and no hexadecimal value; the roots are \(names.isEmpty ? "none" : names)")
        }
        guard let architecture else {
            throw RootResolutionError(root: text, reason: "the image does not say its architecture (--paging does)")
        }
        var registers = modes
        if let description { registers = registers.overridden(by: description.registers) }
        registers[paging?.rootRegister ?? architecture.rootRegister] = value
        return try make(registers.overridden(by: overrides), name: text, architecture)
    }

    /// The root that the overriding registers define by themselves; `nil` if none of them is a root register.
    public func rootOfOverrides() throws(RootResolutionError) -> Root? {
        guard let architecture else { return nil }
        let names: Set<String> = [
            "CR3", "ASCE", "TTBR0_EL1", "TTBR1_EL1", "TTBR0", "TTBR1", "satp", "PRTE0", "PRTE0_KERNEL", "PGD",
        ]
        guard overrides.values.contains(where: { names.contains($0.name) }) else { return nil }
        var registers = modes
        if let description { registers = registers.overridden(by: description.registers) }
        return try make(registers.overridden(by: overrides), name: "registers", architecture)
    }

    private func make(
        _ registers: Registers, name: String, _ architecture: Architecture
    ) throws(RootResolutionError) -> Root {
        let resolver = Self.resolver(architecture, description, image)
        let space = try resolver.resolve(registers, name: name, paging: paging, in: image.contents)
        return Root(name: name, process: nil, registers: registers, source: .commandLine, space: space)
    }

    /// The first top table of a root that is not in the image at all; `nil` if at least one of its trees can be walked.
    public func missingTopTable(of root: Root) -> PhysicalAddress? { image.missingTopTable(of: root.space) }
}

extension MemoryImage {
    func missingTopTable(of space: AnyAddressSpace) -> PhysicalAddress? {
        let trees = space.trees
        let found = trees.contains { tree in
            let start = UInt64(tree.limits.first) * UInt64(space.paging.entryBytes)
            return !bytes(at: PhysicalAddress(tree.table.rawValue &+ start), count: 1).isEmpty
        }
        return found ? nil : trees.first?.table
    }
}
