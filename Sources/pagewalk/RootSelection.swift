import ArgumentParser
import MemoryImages
import PageTables
import Reports

extension InspectedImage {
    /// The root that options name, or the only one there is.
    ///
    /// - Throws: With status 2 and the list of roots, if there are several and none was named.
    func select(_ options: RootOptions) throws -> Root {
        let asked: Root?
        do throws(RootResolutionError) {
            asked = if let text = options.root { try root(text) } else { try rootOfOverrides() }
        } catch {
            throw complaint("\(error)")
        }
        if let asked { return try walkable(asked) }
        switch roots.count {
        case 1: return try walkable(roots[0])
        case 0: throw noRoots()
        default:
            var list = ReportBuffer()
            RootReport().appendText(roots, to: &list)
            throw InputError(
                "\(image.path): has \(roots.count) roots; choose one with --root\n"
                    + String(decoding: list.bytes.dropLast(), as: UTF8.self))
        }
    }

    func noRoots() -> InputError {
        if let problem = problems.first { return complaint("\(problem)") }
        guard architecture != nil else {
            return complaint(
                "does not say its architecture; name the format (--paging) and the root (--root), "
                    + "or describe the image (--description)")
        }
        return complaint("names no root; give one with --root, or describe the image (--description)")
    }

    /// What is wrong with the image, and that some of it is missing, which may be why.
    private func complaint(_ text: String) -> InputError {
        let loss = image.isTruncated ? image.warnings.first.map { "; \($0)" } : nil
        return InputError("\(image.path): \(text)\(loss ?? "")")
    }

    /// A root whose top table the image has.
    func walkable(_ root: Root) throws -> Root {
        if let table = missingTopTable(of: root) {
            throw complaint("root \(root.name): its top table \(table) is not in the image")
        }
        return root
    }

    /// Says in one line what was found wrong with the image so far.
    ///
    /// - Throws: With status 2 if some of the image could not be read, after the results that could be had.
    func finish(openingWarnings: Int) throws {
        let warnings = image.warnings
        if let first = warnings.first {
            let more =
                switch warnings.count {
                case 1: ""
                case ...openingWarnings: " (`pagewalk info` says what else)"
                default: " (and \(warnings.count - 1) more)"
                }
            StandardError.write(text: "pagewalk: \(image.path): \(first)\(more)\n")
        }
        if image.isTruncated || warnings.count > openingWarnings { throw ExitCode(2) }
    }

    /// Asks several roots, and goes on if one cannot be walked.
    ///
    /// - Throws: With status 2 at the end if one could not.
    func forEach(_ roots: [Root], _ body: (Root) throws -> Void) throws {
        var failed = false
        for root in roots {
            do {
                try body(walkable(root))
            } catch let error as InputError {
                StandardError.write(text: "pagewalk: \(error.description)\n")
                failed = true
            }
        }
        try requireNoProblems()
        if failed { throw ExitCode(2) }
    }

    /// Says which of the roots that were named make no address space.
    ///
    /// - Throws: With status 2 if there is one.
    func requireNoProblems() throws {
        for problem in problems { StandardError.write(text: "pagewalk: \(image.path): \(problem)\n") }
        if !problems.isEmpty { throw ExitCode(2) }
    }
}
