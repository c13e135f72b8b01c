import PageTables

/// A root of an image: an address space with a name.
public struct Root: Sendable {
    /// Where a root was found.
    public enum Source: String, Sendable {
        case description
        case cpuNotes = "cpu notes"
        case vmcoreinfo = "VMCOREINFO"
        case commandLine = "command line"
    }

    public let name: String
    public let process: Int?
    /// The registers that the space was made from.
    public let registers: Registers
    public let source: Source
    public let space: AnyAddressSpace
}

/// Why registers do not make an address space.
public struct RootResolutionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The name of the root, or the value that was given for it.
    public let root: String
    public let reason: String

    public var description: String { "root \(root): \(reason)" }
}
