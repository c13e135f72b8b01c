import PageTables

/// Collects the roots of an image from everybody who knows one.
struct RootFinder {
    let image: MemoryImage
    let description: ImageDescription?
    let resolver: RootResolver
    let paging: Paging?
    let overrides: Registers

    private(set) var roots: [Root] = []
    private(set) var problems: [RootResolutionError] = []
    private(set) var modes = Registers()

    init(
        image: MemoryImage, description: ImageDescription?, resolver: RootResolver, paging: Paging?,
        overrides: Registers
    ) {
        self.image = image
        self.description = description
        self.resolver = resolver
        self.paging = paging
        self.overrides = overrides
    }

    mutating func find() {
        for root in description?.roots ?? [] {
            learnModes(root.registers)
            add(root.registers, root.name, root.process, .description, root.paging, root.levels, isNamed: true)
        }
        if let description, description.roots.isEmpty {
            // Registers without a list of roots are those of one machine: its only root.
            add(description.registers, "registers", nil, .description, nil, nil, isNamed: false)
        }
        for cpu in image.cpus { addRoots(of: cpu) }
        if let information = image.vmcoreinfo {
            addKernel(information)
        } else if roots.isEmpty && problems.isEmpty, let information = image.scanForVMCoreInfo() {
            addKernel(information)
        }
    }

    private mutating func learnModes(_ registers: Registers) {
        for name in ["CR0", "CR4", "EFER", "TCR_EL1", "MAIR_EL1", "TTBCR"] where modes[name] == nil {
            modes[name] = registers[name]
        }
    }

    /// - Parameter isNamed: Whether somebody asked for the root by giving it a name: then it must work, and may be the same
    ///   space as another.
    private mutating func add(
        _ registers: Registers, _ name: String, _ process: Int?, _ source: Root.Source, _ paging: Paging?,
        _ levels: Int?, isNamed: Bool
    ) {
        let registers = registers.overridden(by: overrides)
        do throws(RootResolutionError) {
            let space = try resolver.resolve(
                registers, name: name, paging: self.paging ?? paging, levels: levels, in: image.contents)
            if !isNamed {
                guard !roots.contains(where: { $0.name == name }) else { return }
                // A register may point into memory that the image leaves out: then nobody can walk from it.
                guard image.missingTopTable(of: space) == nil else { return }
                // What a CPU ran is of interest only if no name tells it; the kernel's name always does.
                let isKnown = roots.contains { Set($0.space.trees) == Set(space.trees) }
                guard !isKnown || name == Self.kernel else { return }
            }
            roots.append(Root(name: name, process: process, registers: registers, source: source, space: space))
        } catch {
            if isNamed { problems.append(error) }
        }
    }

    private mutating func addRoots(of cpu: CPURegisters) {
        let known = Registers(cpu.values.map { ($0.name, $0.value) })
        learnModes(known)
        let name = "cpu\(cpu.cpu)"
        switch resolver.architecture {
        case .amd64, .i386:
            // Notes have no EFER: what a description knows of it holds for all.
            add(modes.overridden(by: known), name, nil, .cpuNotes, nil, nil, isNamed: false)
        case .s390x:
            for (register, name) in [("CR1", name), ("CR13", Self.kernel)] {
                guard let value = known[register] else { continue }
                var registers = Registers([("ASCE", value)])
                registers["CR0"] = known["CR0"]
                add(registers, name, nil, .cpuNotes, nil, nil, isNamed: false)
            }
        default: break
        }
    }

    private static let kernel = "kernel"

    private mutating func addKernel(_ information: VMCoreInfo) {
        guard
            let kernel = information.kernelRoot(
                of: resolver.architecture, firstPhysical: image.physicalRanges.first?.first.rawValue,
                load: { [image] address in
                    let bytes = image.bytes(at: PhysicalAddress(address), count: 8)
                    return bytes.count == 8 ? bytes.reduce(0) { $0 << 8 | UInt64($1) } : nil
                })
        else { return }
        add(kernel.registers, Self.kernel, nil, .vmcoreinfo, kernel.paging, nil, isNamed: false)
    }
}
