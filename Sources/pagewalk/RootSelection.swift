import ArgumentParser
import MemoryImages
import PageTables
import Reports

extension InspectedImage {
    /// The root that options name, or the only one there is.
    ///
    /// - Throws: With status 2 and the list of roots, if there are several and none was named.
    func select(_ options: RootOptions) throws -> Root {
        if let text = options.root { return try walkable(root(text)) }
        if let root = try rootOfOverrides() { return try walkable(root) }
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
        if let problem = problems.first { return InputError("\(image.path): \(problem)") }
        guard architecture != nil else {
            return InputError(
                "\(image.path): does not say its architecture; name the format (--paging) and the root (--root), "
                    + "or describe the image (--description)")
        }
        return InputError(
            "\(image.path): names no root; give one with --root, or describe the image (--description)")
    }

    /// A root whose top table the image has.
    func walkable(_ root: Root) throws -> Root {
        if let table = missingTopTable(of: root) {
            throw InputError("\(image.path): root \(root.name): its top table \(table) is not in the image")
        }
        return root
    }

    /// Says what was found wrong with the image so far.
    ///
    /// - Throws: With status 2 if some of the image could not be read, after the results that could be had.
    func finish(openingWarnings: Int) throws {
        for warning in image.warnings { StandardError.write(text: "pagewalk: \(image.path): \(warning)\n") }
        if image.isTruncated || image.warnings.count > openingWarnings { throw ExitCode(2) }
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
        for problem in problems {
            StandardError.write(text: "pagewalk: \(image.path): \(problem)\n")
            failed = true
        }
        if failed { throw ExitCode(2) }
    }
}
