import ArgumentParser
import MemoryImages
import PageTables

extension View: ExpressibleByArgument {}

/// Which image, and what the user says about it.
struct ImageOptions: ParsableArguments {
    @Argument(help: "The dump or capture.")
    var image: String

    @Option(
        help: ArgumentHelp("Registers and named roots of the image, as JSON (default: IMAGE.json).", valueName: "file"))
    var description: String?

    @Option(help: ArgumentHelp("The format of the page tables; `pagewalk formats` lists them.", valueName: "format"))
    var paging: String?

    @Option(
        name: .customLong("register"), parsing: .singleValue,
        help: ArgumentHelp("A control register, over what the image says; may be repeated.", valueName: "name=value"))
    var registers: [String] = []

    @Option(
        help: ArgumentHelp("Treat the image as raw memory that starts at this physical address.", valueName: "address"))
    var rawBase: String?

    /// Opens the image and finds its roots.
    func open() throws -> InspectedImage {
        var overrides = Registers()
        for text in registers {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, let value = UInt64(hexadecimal: parts[1]) else {
                throw InputError("--register \(text): expected NAME=VALUE with a hexadecimal value")
            }
            overrides[String(parts[0])] = value
        }
        var format: Paging?
        if let paging {
            guard let known = Paging(rawValue: paging) else {
                throw InputError("--paging \(paging): no such format; `pagewalk formats` lists them")
            }
            format = known
        }
        var base: UInt64?
        if let rawBase { base = try address(rawBase, "--raw-base") }
        let progress = Progress("opening \(image)")
        defer { progress.done() }
        return try InspectedImage(
            path: image, descriptionPath: description, paging: format, overrides: overrides, rawBase: base)
    }
}

/// Reads a hexadecimal address.
func address(_ text: some StringProtocol, _ what: String) throws -> UInt64 {
    guard let value = UInt64(hexadecimal: text) else {
        throw InputError("\(what): '\(text)' is not a hexadecimal address of at most 64 bits")
    }
    return value
}

/// Which root of an image.
struct RootOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A root's name, or the value of its register.", valueName: "name|value"))
    var root: String?
}

/// Which root of an image, or all of them.
struct RootsOptions: ParsableArguments {
    @OptionGroup var one: RootOptions

    @Flag(help: "All roots, one after the other.")
    var allRoots = false

    func validate() throws {
        if allRoots && one.root != nil { throw ValidationError("--root and --all-roots exclude each other") }
    }
}

struct ViewOptions: ParsableArguments {
    @Option(help: "What the MMU would do (hardware), or what Linux means (linux).")
    var view: View = .hardware
}

struct JSONOptions: ParsableArguments {
    @Flag(help: "Write JSON Lines: one object a line.")
    var json = false
}
